"""Each kind of rule beyond ranges and categories: what breaks it, and what does not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.contract import Checker, Violations, compile_contract, compile_outputs
from gateway.contract.joint import JointDistance
from gateway.protocol.refusal import label
from registry.datatypes import Datatype
from registry.distribution import Feature, Joint, Numeric, Reference
from registry.manifest import (
    WHOLE_ROWS,
    Action,
    Contract,
    OutputRule,
    Rule,
    RuleKind,
    Signature,
    TensorSpec,
)
from registry.rules import check_rules
from registry.tensors import NUMPY_TYPES, Tensor

NAN = float("nan")
NUMBERS = Numeric(minimum=0, maximum=1, mean=0, std=1, edges=(), bin_counts=(1,))


def spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=Datatype(datatype), shape=shape or (-1,))


def rule(kind: RuleKind, action: Action = Action.FLAG, name: str = "x", **more: Any) -> Rule:
    return Rule(input=name, kind=kind, action=action, **more)


def compiled(
    inputs: tuple[TensorSpec, ...], *rules: Rule, reference: Reference | None = None
) -> Checker:
    signature, contract = Signature(inputs=inputs, outputs=()), Contract(rules=rules)
    check_rules(signature, contract, reference)
    return compile_contract(signature, contract, reference)


def array(datatype: str, values: Any) -> Tensor:
    return np.array(values, NUMPY_TYPES[Datatype(datatype)])


def flagged(checker: Checker, tensor: Tensor) -> list[str]:
    return [label(one) for one in checker.check({"x": tensor}).flagged]


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_a_fraction_is_no_integer_and_what_is_missing_or_infinite_breaks_nothing(
    datatype: str,
) -> None:
    checker = compiled((spec("x", datatype),), rule(RuleKind.INTEGER))

    values = array(datatype, [1, 1.5, NAN, np.inf, -np.inf, -0.5, -2])

    assert flagged(checker, values) == ["integer x[1]", "integer x[5]"]
    assert checker.is_clean({"x": values[[0, 2, 3, 4, 6]]})


def test_integers_are_asked_of_the_columns_that_rules_name() -> None:
    rules = [rule(RuleKind.INTEGER, column=column) for column in (0, 2)]
    checker = compiled((spec("x", "FP32", -1, 3),), *rules)

    assert flagged(checker, array("FP32", [[0.5, 0.5, 0.5]])) == [
        "integer x[0,0]",
        "integer x[0,2]",
    ]
    assert checker.check({"x": array("FP32", [[1, 0.5, 1]])}) is Violations.NONE


def test_every_value_of_an_integer_is_whole() -> None:
    checker = compiled((spec("x", "INT64"),), rule(RuleKind.INTEGER))
    assert checker.check({"x": array("INT64", [-1, 0, 7])}) is Violations.NONE


def test_the_length_of_a_text_is_counted_in_characters() -> None:
    checker = compiled((spec("x", "BYTES", -1, 1),), rule(RuleKind.LENGTH, low=2, high=3))
    texts = array("BYTES", [["ab"], ["ÄÖÜ"], ["日本語"], ["a"], ["abcd"], [""]])

    found = checker.check({"x": texts})

    assert [label(one) for one in found.flagged] == ["length x[3]", "length x[4]"]
    assert found.flagged[0].expected == "a text of between 2 and 3 characters"
    assert checker.check({"x": texts[:3]}) is Violations.NONE


def test_a_pattern_is_one_of_the_whole_text() -> None:
    pattern = rule(RuleKind.PATTERN, pattern="[A-Z]{2}[0-9]+")
    checker = compiled((spec("x", "BYTES"),), pattern)

    texts = array("BYTES", ["AA1", "AA", "xAA1", "AA1\n", "", "ZZ007"])

    assert flagged(checker, texts) == ["pattern x[1]", "pattern x[2]", "pattern x[3]"]


def test_a_missing_rate_is_never_judged_of_one_request() -> None:
    checker = compiled((spec("x", "FP32"),), rule(RuleKind.MISSING_RATE, Action.OBSERVE, high=0.0))
    assert checker.check({"x": array("FP32", [NAN, NAN])}) is Violations.NONE


def joint_of(features: list[tuple[str, int | None]], *, high: float, **members: Any) -> Any:
    reference = Reference(
        rows=100,
        features=tuple(
            Feature(input=name, column=column, count=1, missing=0, distribution=NUMBERS)
            for name, column in features
        ),
        joint=Joint(features=tuple(range(len(features))), edges=(), bin_counts=(100,), **members),
    )
    return reference, rule(RuleKind.JOINT, name=WHOLE_ROWS, high=high)


@given(
    arrays.arrays(np.float64, (5, 3), elements=st.floats(-100, 100)),
    arrays.arrays(np.float64, (8, 3), elements=st.floats(-50, 50, width=32)),
    st.floats(0.1, 20),
)
def test_the_distance_of_a_row_is_that_of_mahalanobis(
    rows: Tensor, current: Tensor, high: float
) -> None:
    covariance = np.cov(rows.T) + np.eye(3)
    inverse, mean = np.linalg.inv(covariance), rows.mean(axis=0)
    # L with L'L = the inverse: the Cholesky factor of the reversed matrix, reversed again.
    lower = np.linalg.cholesky(inverse[::-1, ::-1])[::-1, ::-1].T
    assert np.allclose(lower.T @ lower, inverse)
    reference, far = joint_of(
        [("x", 0), ("x", 1), ("n", None)],
        high=high,
        mean=tuple(mean.tolist()),
        whitening=tuple(lower[np.tril_indices(3)].tolist()),
    )
    checker = compiled(
        (spec("x", "FP64", -1, 2), spec("n", "FP64", -1, 1)), far, reference=reference
    )

    found = checker.check({"x": current[:, :2].copy(), "n": current[:, 2:].copy()})

    deltas = current - mean
    distances = np.einsum("ij,jk,ik->i", deltas, inverse, deltas)
    clear = np.abs(distances - high) > 1e-9 * (1 + distances)
    expected = [f"joint *[{row}]" for row in range(8) if distances[row] > high and clear[row]]
    assert set(expected) <= {label(one) for one in found.flagged}
    assert found.flagged_total <= len(expected) + np.count_nonzero(~clear)


def test_single_precision_calls_no_row_near_that_double_calls_far() -> None:
    """Rows lie close together far from 0, features differ by orders of magnitude."""
    rng = np.random.default_rng(3)
    features = [("x", column) for column in range(4)]
    for _ in range(300):
        scale = 2.0 ** rng.uniform(-90, 90, 4)
        mean = rng.uniform(-1e4, 1e4, 4) / scale
        rows = (mean + rng.normal(size=(40, 4)) / scale).astype(np.float32)
        whitening = (np.tril(rng.uniform(-1, 1, (4, 4)), -1) + np.eye(4)) * scale
        lower = tuple(whitening[np.tril_indices(4)].tolist())
        reference, _ = joint_of(features, high=1, mean=tuple(mean.tolist()), whitening=lower)
        distance = JointDistance(reference)
        farthest = float(distance.squared({"x": rows}).max())

        assert not distance.is_within({"x": rows}, farthest * (1 - 1e-9))
        assert distance.is_within({"x": rows}, farthest)


def test_ordinary_rows_are_found_near_in_single_precision() -> None:
    rng = np.random.default_rng(5)
    rows = (rng.normal(size=(3_000, 30)) * np.geomspace(1e-3, 1e3, 30)).astype(np.float32)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(rows.T)))
    features = [("x", column) for column in range(30)]
    lower = tuple(whitening[np.tril_indices(30)].tolist())
    mean = tuple(rows.mean(axis=0, dtype=np.float64).tolist())
    reference, _ = joint_of(features, high=1, mean=mean, whitening=lower)
    distance = JointDistance(reference)
    bound = float(distance.squared({"x": rows}).max())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(distance, "_farthest", lambda _: pytest.fail("double precision was asked"))
        assert distance.is_within({"x": rows}, 1.1 * bound)


def far_of(features: list[tuple[str, int | None]]) -> Any:
    size = len(features)
    identity = np.eye(size)[np.tril_indices(size)]
    return joint_of(features, high=9.0, mean=(0.0,) * size, whitening=tuple(identity.tolist()))


@pytest.mark.parametrize(
    ("row", "is_far"),
    [
        ([1, 2], False),
        ([3, 1], True),
        ([NAN, 2.9], False),
        ([NAN, 3.1], True),
        ([np.inf, 0], True),
        ([-np.inf, NAN], True),
        ([3e38, 3e38], True),
    ],
)
def test_what_is_missing_counts_as_the_mean_and_what_is_infinite_is_far(
    row: list[float], is_far: bool
) -> None:
    reference, far = far_of([("x", 0), ("x", 1)])
    checker = compiled((spec("x", "FP32", -1, 2),), far, reference=reference)

    assert flagged(checker, array("FP32", [row])) == (["joint *[0]"] if is_far else [])


def test_distances_need_rows_and_the_same_number_of_each_input() -> None:
    reference, far = far_of([("x", None), ("n", None)])
    checker = compiled((spec("x", "FP32"), spec("n", "INT64")), far, reference=reference)
    for rows, others in ((0, 0), (2, 3)):
        given = {"x": np.full(rows, 99, np.float32), "n": np.full(others, 99)}
        assert checker.check(given) is Violations.NONE
    assert checker.check({"x": np.full(1, 99, np.float32), "n": np.zeros(1, np.int64)}).flagged


def test_distances_find_their_columns_among_others() -> None:
    reference, far = far_of([("x", 2), ("x", 0)])
    checker = compiled((spec("x", "FP32", -1, 3),), far, reference=reference)

    assert checker.check({"x": array("FP32", [[1, 99, 1]])}) is Violations.NONE
    assert flagged(checker, array("FP32", [[0, 0, 9]])) == ["joint *[0]"]


def test_a_repair_is_told_apart_from_what_is_flagged() -> None:
    rules = (
        rule(RuleKind.RANGE, Action.CLIP, low=0, high=10),
        rule(RuleKind.RANGE, Action.FLAG, low=2, high=8),
        rule(RuleKind.MISSING, Action.IMPUTE, value=5.0),
    )
    checker = compiled((spec("x", "FP32"),), *rules)

    found = checker.check({"x": array("FP32", [11, 9, NAN])})

    assert [label(one) for one in found.repaired] == ["range x[0]", "missing x[2]"]
    assert [label(one) for one in found.flagged] == ["range x[0]", "range x[1]"]
    assert (found.repaired_total, found.total) == (2, 4)


def outputs(*rules: OutputRule) -> Checker:
    signature = Signature(inputs=(), outputs=(spec("score", "FP32", -1, 1), spec("label", "INT64")))
    contract = Contract(outputs=rules)
    check_rules(signature, contract)
    return compile_outputs(signature, contract)


def test_outputs_are_held_against_rules_of_their_own() -> None:
    checker = outputs(
        OutputRule(input="score", kind=RuleKind.FINITE, action=Action.REJECT),
        OutputRule(input="score", kind=RuleKind.RANGE, action=Action.FLAG, low=0, high=1),
        OutputRule(
            input="label", kind=RuleKind.CATEGORIES, action=Action.OBSERVE, values=("0", "1")
        ),
    )
    scores = array("FP32", [[0.5], [NAN], [2], [-np.inf]])

    found = checker.check({"score": scores, "label": array("INT64", [0, 1, 2, 1])})

    assert [label(one) for one in found.rejected] == ["finite score[1]", "finite score[3]"]
    assert [label(one) for one in found.flagged] == ["range score[2]", "range score[3]"]
    assert [label(one) for one in found.observed] == ["categories label[2]"]
    assert checker.check({"score": scores[:1], "label": array("INT64", [0])}) is Violations.NONE


def test_rules_that_only_watch_say_what_they_would_have_done() -> None:
    rules = (
        rule(RuleKind.RANGE, Action.REJECT, high=10),
        rule(RuleKind.RANGE, Action.CLIP, low=0),
        rule(RuleKind.RANGE, Action.FLAG, high=5),
        rule(RuleKind.RANGE, Action.OBSERVE, high=9),
        rule(RuleKind.MISSING, Action.IMPUTE, value=5.0),
    )
    found = compiled((spec("x", "FP32"),), *rules).check({"x": array("FP32", [11, -1, NAN])})

    watched = found.only_observed()
    suspended = found.only_flagged()

    assert [label(one) for one in watched.observed] == [
        "range x[0] (would reject)",
        "range x[0] (would flag)",
        "range x[1] (would clip)",
        "missing x[2] (would impute)",
        "range x[0]",
    ]
    assert watched.total == watched.observed_total == 5
    assert (watched.rejected, watched.flagged, watched.repaired) == ((), (), ())
    assert [label(one) for one in suspended.flagged] == ["range x[0] (would reject)", "range x[0]"]
    assert (suspended.rejected_total, suspended.flagged_total) == (0, 2)
    assert suspended.repaired == found.repaired
    assert watched.effects() == {
        "would-reject range x",
        "would-flag range x",
        "would-clip range x",
        "would-impute missing x",
        "observed range x",
    }


def test_a_row_that_is_far_is_found_wherever_it_stands_in_a_large_request() -> None:
    reference, far = far_of([("x", 0), ("x", 1)])
    checker = compiled((spec("x", "FP32", -1, 2),), far, reference=reference)
    for place in (0, 255, 256, 700):
        rows = np.zeros((701, 2), np.float32)
        rows[place] = 9
        assert flagged(checker, rows) == [f"joint *[{place}]"]
