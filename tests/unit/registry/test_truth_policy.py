from typing import Any

import pytest

from registry.datatypes import Datatype
from registry.errors import InvalidRequest
from registry.manifest import Signature, TensorSpec
from registry.truth_policy import (
    Form,
    LabelKind,
    Slice,
    Target,
    TruthPolicy,
    check_truth_policy,
    target_of,
)


def signature(*outputs: tuple[str, Datatype, tuple[int, ...]], **labels: Any) -> Signature:
    return Signature(
        inputs=(
            TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 3)),
            TensorSpec(name="c", datatype=Datatype.BYTES, shape=(-1, 1)),
        ),
        outputs=tuple(TensorSpec(name=n, datatype=d, shape=s) for n, d, s in outputs),
        labels=labels,
    )


SKLEARN = signature(
    ("label", Datatype.INT64, (-1,)), ("p", Datatype.FP32, (-1, 2)), p=("no", "yes")
)
ONE = signature(("y", Datatype.FP32, (-1, 1)))
NUMBERED = signature(("p", Datatype.FP32, (-1, 2)), p=("1", "2"))


@pytest.mark.parametrize(
    ("policy", "of", "output", "form"),
    [
        (TruthPolicy(), SKLEARN, "p", Form.PROBABILITIES),
        (TruthPolicy(output="label"), SKLEARN, "label", Form.CLASS),
        (TruthPolicy(kind=LabelKind.NUMBERS), SKLEARN, "p", Form.NUMBER),
        (TruthPolicy(), ONE, "y", Form.NUMBER),
        (TruthPolicy(kind=LabelKind.CLASSES), ONE, "y", Form.PROBABILITY),
        (TruthPolicy(), signature(("y", Datatype.FP32, (-1,))), "y", Form.NUMBER),
        (TruthPolicy(), signature(("y", Datatype.FP32, (-1, -1))), "y", Form.PROBABILITIES),
        (TruthPolicy(), signature(("y", Datatype.BYTES, (-1, 1))), "y", Form.CLASS),
        (TruthPolicy(column=1), SKLEARN, "p", Form.PROBABILITIES),
    ],
)
def test_the_signature_says_what_is_scored_where_the_policy_does_not(
    policy: TruthPolicy, of: Signature, output: str, form: Form
) -> None:
    found = target_of(policy, of)

    assert found is not None
    assert (found.output, found.form) == (output, form)
    assert found.classes == (("no", "yes") if form is Form.PROBABILITIES and of is SKLEARN else ())


@pytest.mark.parametrize(
    ("policy", "of"),
    [
        (TruthPolicy(output="z"), SKLEARN),
        (TruthPolicy(column=2), SKLEARN),
        (TruthPolicy(column=-1), SKLEARN),
        (TruthPolicy(), signature(("y", Datatype.FP32, (-1, 2, 2)))),
        (TruthPolicy(), signature(("y", Datatype.INT64, (-1, 3)))),
        (TruthPolicy(kind=LabelKind.NUMBERS), signature(("y", Datatype.BYTES, (-1,)))),
    ],
)
def test_a_version_without_such_an_output_has_no_target(policy: TruthPolicy, of: Signature) -> None:
    assert target_of(policy, of) is None


def target(policy: TruthPolicy, of: Signature) -> Target:
    found = target_of(policy, of)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("policy", "of", "taken", "refused"),
    [
        (
            TruthPolicy(), SKLEARN,
            {"yes": "yes", 1: "yes", 0: "no"},
            ["maybe", 2, -1, 0.5, None, [1], {}, 10**30],
        ),
        (TruthPolicy(), NUMBERED, {"1": "1", 1: "1", 2: "2"}, [0, 3, "one", False]),
        (TruthPolicy(), ONE, {1: 1.0, 2.5: 2.5}, [True, "1", None, 10**400, float("inf")]),
        (TruthPolicy(kind=LabelKind.CLASSES), ONE, {0: 0, 1: 1}, [2, "1", 0.5, None]),
        (TruthPolicy(output="label"), SKLEARN, {"a": "a", 3: "3"}, [0.5, "", "x" * 201, 2**64]),
        (
            TruthPolicy(), signature(("y", Datatype.FP32, (-1, -1))),
            {0: 0, 41: 41}, [-1, "a", 2**40, 1.5],
        ),
    ],
)  # fmt: skip
def test_labels_are_read_in_one_form_and_others_refused(
    policy: TruthPolicy, of: Signature, taken: dict[Any, Any], refused: list[Any]
) -> None:
    one = target(policy, of)

    assert {given: one.read_label(given) for given in taken} == taken
    assert [one.read_label(given) for given in refused] == [None] * len(refused)
    assert one.words


@pytest.mark.parametrize("value", ["yes", 1, 2.5, 0])
def test_a_label_that_was_kept_is_read_again_as_it_is(value: Any) -> None:
    for one in (target(TruthPolicy(), SKLEARN), target(TruthPolicy(), ONE)):
        first = one.read_label(value)
        assert first is None or one.read_label(first) == first


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        (TruthPolicy(horizon_s=-1), "horizon_s"),
        (TruthPolicy(horizon_s=float("nan")), "horizon_s"),
        (TruthPolicy(horizon_s=1e12), "horizon_s"),
        (TruthPolicy(threshold=0), "threshold"),
        (TruthPolicy(threshold=1), "threshold"),
        (TruthPolicy(least_rows=10), "least_rows"),
        (TruthPolicy(least_positives=0), "least_positives"),
        (TruthPolicy(least_positives=201), "least_positives"),
        (TruthPolicy(output="z"), "no version"),
        (TruthPolicy(column=7), "no version"),
        (TruthPolicy(slices=tuple(Slice(name=str(n)) for n in range(11))), "10 slices"),
        (TruthPolicy(slices=(Slice(name="a"), Slice(name="a"))), "name of its own"),
        (TruthPolicy(slices=(Slice(name=""),)), "1 to 200"),
        (TruthPolicy(slices=(Slice(name="a", column=1),)), "no input"),
        (TruthPolicy(slices=(Slice(name="a", edges=(1.0,)),)), "no input"),
        (TruthPolicy(slices=(Slice(name="a", input="x", column=0, edges=(2.0, 1.0)),)), "ascend"),
        (TruthPolicy(slices=(Slice(name="a", input="x"),)), "has the input"),
        (TruthPolicy(slices=(Slice(name="a", input="x", column=3),)), "has the input"),
        (TruthPolicy(slices=(Slice(name="a", input="c", edges=(1.0,)),)), "has the input"),
        (TruthPolicy(slices=(Slice(name="a", input="q"),)), "has the input"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_the_reason(
    policy: TruthPolicy, fault: str
) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        check_truth_policy(policy, [SKLEARN])


def test_a_policy_that_one_of_the_versions_meets_is_accepted() -> None:
    slices = (
        Slice(name="site"), Slice(name="carrier", input="c"),
        Slice(name="far", input="x", column=2, edges=(1.0, 2.0)),
    )  # fmt: skip

    policy = TruthPolicy(output="p", slices=slices)
    check_truth_policy(policy, [ONE, SKLEARN])

    assert policy.told == {"site"}
