"""Plans of rollouts: what makes sense, what fits the versions, and where in a file the fault is."""

import json
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from registry.datatypes import Datatype
from registry.distribution import Categorical, Distribution, Feature, Numeric, Reference
from registry.errors import (
    AlreadyChampion,
    LatencyUnmeasured,
    ModelNotFound,
    PlanRejected,
    RegistryError,
    Rejected,
    SharesExceeded,
    SignatureDiffers,
    VersionNotFound,
)
from registry.manifest import Signature, TensorSpec
from registry.plan_check import check_plan
from registry.plan_fit import check_alike, fit_plan
from registry.rollout_file import RolloutFile, parse_plan, read_rollout_file
from registry.rollouts import Better, Finish, Guard, GuardKind, Plan, Step
from tests.rolled import ERRORS, SIGNATURE, make_manifest, make_plan, step

AGREEMENT = Guard(kind=GuardKind.AGREEMENT, margin=0.05, output="label")
LATENCY = Guard(kind=GuardKind.LATENCY, margin=1.5)
TRUTH = Guard(kind=GuardKind.TRUTH, margin=1.0, metric="absolute_error", better=Better.LOWER)
GOOD = """\
# Version 2 of a test.
challenger = 2
finish = "promote"

[shadow]
points = 10_000
min_requests = 500

[[steps]]
points = 100

[[steps]]
points = 2_500
min_s = 60

[[guards]]
kind = "errors"
margin = 2

[[guards]]
kind = "score"
output = "y"
margin = 0.5
better = "lower"
"""


def guard(kind: GuardKind, margin: float = 2.0, **fields: Any) -> Guard:
    return Guard(kind=kind, margin=margin, **fields)


def write(tmp_path: Path, text: str, name: str = "plan.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def fault(path: Path) -> str:
    """Read a file, hold it against itself and a signature, and return what is wrong with it."""
    with pytest.raises(Rejected) as caught:
        file = read_rollout_file(path)
        try:
            check_plan(file.plan)
            fit_plan(file.plan, make_manifest())
        except PlanRejected as found:
            raise file.locate(found) from found
    assert caught.value.check == "plan"
    return str(caught.value)


def test_a_plan_has_a_shadow_or_steps_or_both() -> None:
    for plan in (
        make_plan(),
        make_plan(steps=(), shadow=step(10_000)),
        make_plan(shadow=step(10_000), segment="region"),
        make_plan(guards=(ERRORS, LATENCY, TRUTH)),
        make_plan(shadow=step(1), guards=(ERRORS, AGREEMENT)),
        make_plan(steps=(step(1), step(9_999))),
    ):
        check_plan(plan)


@pytest.mark.parametrize(
    ("fields", "place", "text"),
    [
        ({"challenger": 0}, ("challenger",), "number of a version"),
        ({"guards": ()}, ("guards",), "needs a guard"),
        ({"guards": tuple(guard(GuardKind.LATENCY, quantile=0.9 + i / 1000) for i in range(21))},
         ("guards",), "at most 20"),
        ({"guards": (ERRORS, ERRORS)}, ("guards", 1), "another guard says the same"),
        ({"guards": (ERRORS, replace(ERRORS, margin=3.0))}, ("guards", 1), "says the same"),
        ({"guards": tuple(guard(GuardKind.LATENCY, quantile=q) for q in (0.95, 0.95 + 1e-9))},
         ("guards", 1), "says the same"),
        ({"steps": ()}, (), "needs a shadow, or a step"),
        ({"steps": (step(1),) * 51}, ("steps",), "at most 50"),
        ({"steps": (step(0),)}, ("steps", 0, "points"), "from 1 to 9,999"),
        ({"steps": (step(10), step(10_000))}, ("steps", 1, "points"), "no champion would be left"),
        ({"steps": (step(10), step(9))}, ("steps", 1, "points"), "does not fall"),
        ({"shadow": step(10_001)}, ("shadow", "points"), "from 1 to 10,000"),
        ({"shadow": Step(points=1, min_requests=0)}, ("shadow", "min_requests"), "from 1"),
        ({"steps": (Step(points=1, min_s=-1.0),)}, ("steps", 0, "min_s"), "seconds from 0"),
        ({"steps": (Step(points=1, min_s=nan),)}, ("steps", 0, "min_s"), "seconds from 0"),
        ({"alpha": 5e-324}, ("alpha",), "from 1e-12"),
        ({"alpha": 0.5}, ("alpha",), "to 0.2"),
        ({"alpha": nan}, ("alpha",), "from 1e-12"),
        ({"max_s": 0.0}, ("max_s",), "above 0"),
        ({"max_s": inf}, ("max_s",), "at most"),
        ({"max_s": 600.0, "steps": (Step(points=1),)}, ("max_s",), "last 600 seconds at least"),
        ({"segment": "region"}, ("segment",), "there is none"),
        ({"segment": "", "shadow": step(1)}, ("segment",), "request parameter"),
        ({"guards": (AGREEMENT,), "shadow": step(1)}, ("steps", 0), "judge in canary"),
        ({"guards": (LATENCY,), "shadow": step(1)}, ("shadow",), "judge in shadow"),
    ],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_with_place_and_reason(
    fields: dict[str, Any], place: tuple[str | int, ...], text: str
) -> None:
    with pytest.raises(PlanRejected, match=text) as caught:
        check_plan(make_plan(**fields))
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("bad", "member", "text"),
    [
        (guard(GuardKind.ERRORS, 1.0), "margin", "ratio of rates, above 1"),
        (guard(GuardKind.REFUSALS, inf), "margin", "ratio of rates"),
        (guard(GuardKind.SHIFT, nan), "margin", "ratio of rates"),
        (guard(GuardKind.LATENCY, 101.0), "margin", "at most 100"),
        (guard(GuardKind.AGREEMENT, 1.0), "margin", "share of pairs"),
        (guard(GuardKind.SCORE, 0.0), "margin", "unit of the output"),
        (guard(GuardKind.TRUTH, inf, metric="m"), "margin", "unit of the metric"),
        (guard(GuardKind.LATENCY, quantile=0.4), "quantile", "from 0.5 to 0.999"),
        (guard(GuardKind.SCORE, 1e-320), "margin", "from 1e-30"),
        (guard(GuardKind.TRUTH, 1e300, metric="m"), "margin", "to 1e30"),
        (guard(GuardKind.LATENCY, quantile=nan), "quantile", "from 0.5 to 0.999"),
        (guard(GuardKind.LATENCY, edge_ms=0.0), "edge_ms", "from 0.001"),
        (guard(GuardKind.LATENCY, edge_ms=nan), "edge_ms", "from 0.001"),
        (guard(GuardKind.AGREEMENT, 0.1, tolerance=-0.1), "tolerance", "from 0 on"),
        (guard(GuardKind.AGREEMENT, 0.1, tolerance=inf), "tolerance", "from 0 on"),
        (guard(GuardKind.TRUTH), "metric", "names one of"),
        (guard(GuardKind.TRUTH, metric="x" * 201), "metric", "names one of"),
        (guard(GuardKind.SCORE, column=-1), "column", "from 0"),
        (guard(GuardKind.SCORE, column=10**30), "column", "below 1,000,000"),
        (guard(GuardKind.ERRORS, output="y"), "output", "no `output`"),
        (guard(GuardKind.TRUTH, metric="m", column=0), "column", "no `column`"),
        (guard(GuardKind.ERRORS, quantile=0.5), "quantile", "no `quantile`"),
        (guard(GuardKind.SCORE, edge_ms=1.0), "edge_ms", "no `edge_ms`"),
        (guard(GuardKind.SCORE, tolerance=0.1), "tolerance", "no `tolerance`"),
        (guard(GuardKind.ERRORS, better=Better.LOWER), "better", "no `better`"),
        (guard(GuardKind.SCORE, metric="m"), "metric", "no `metric`"),
    ],
)
def test_a_guard_that_makes_no_sense_is_refused_with_its_member(
    bad: Guard, member: str, text: str
) -> None:
    with pytest.raises(PlanRejected, match=text) as caught:
        check_plan(make_plan(guards=(ERRORS, bad), shadow=step(1)))
    assert caught.value.place == ("guards", 1, member)
    assert str(caught.value).startswith(f"Guard 2 of the plan: {bad.kind}: ")


@pytest.mark.parametrize(
    ("given", "output", "column"),
    [
        ({}, "y", None),
        ({"output": "y", "column": 0}, "y", None),
        ({"output": "p"}, "p", 1),
        ({"output": "p", "column": 0}, "p", 0),
        ({"output": "open", "column": 7}, "open", 7),
    ],
)
def test_a_plan_that_fits_names_the_number_that_each_guard_compares(
    given: dict[str, Any], output: str, column: int | None
) -> None:
    plan = make_plan(guards=(ERRORS, guard(GuardKind.SCORE, **given)))
    fitted = fit_plan(plan, make_manifest())
    assert fitted.guards[0] == ERRORS
    assert (fitted.guards[1].output, fitted.guards[1].column) == (output, column)
    assert fit_plan(fitted, make_manifest()) == fitted


@pytest.mark.parametrize(
    ("given", "member", "text"),
    [
        ({"output": "z"}, "output", "no output 'z'; there is y, p, label"),
        ({"output": "label"}, "output", "has texts"),
        ({"output": "cube"}, "output", "3 dimensions"),
        ({"output": "open"}, "output", "say which `column`"),
        ({"output": "p", "column": 2}, "column", "no column 2"),
        ({"output": "p", "column": -1}, "column", "no column -1"),
        ({"output": "y", "column": 1}, "column", "no column 1"),
    ],
)
def test_a_guard_on_what_is_not_answered_is_refused(
    given: dict[str, Any], member: str, text: str
) -> None:
    with pytest.raises(PlanRejected, match=text) as caught:
        fit_plan(make_plan(guards=(guard(GuardKind.SCORE, **given),)), make_manifest())
    assert caught.value.place == ("guards", 0, member)


@pytest.mark.parametrize(
    "given", [({}, {"output": "y"}), ({"output": "p"}, {"output": "p", "column": 1})]
)
def test_a_guard_that_turns_out_to_compare_the_same_as_another_is_refused(
    given: tuple[dict[str, Any], ...],
) -> None:
    guards = tuple(guard(GuardKind.SCORE, **one) for one in given)
    with pytest.raises(PlanRejected, match="another guard says the same") as caught:
        fit_plan(make_plan(guards=guards), make_manifest())
    assert caught.value.place == ("guards", 1)


def test_texts_can_agree() -> None:
    fitted = fit_plan(make_plan(guards=(AGREEMENT,)), make_manifest())
    assert fitted.guards == (AGREEMENT,)


def describe(output: str, column: int | None, found: Distribution) -> Reference:
    feature = Feature(input=output, column=column, count=2, missing=0, distribution=found)
    return Reference(rows=0, features=(), output_rows=2, outputs=(feature,))


def test_a_shift_is_counted_in_bins_that_the_challenger_was_published_with() -> None:
    numbers = Numeric(minimum=0, maximum=1, mean=0.5, std=0.1, edges=(0.5,), bin_counts=(1, 1))
    plan = make_plan(guards=(guard(GuardKind.SHIFT, output="p", column=1),))
    fit_plan(plan, make_manifest(reference=describe("p", 1, numbers)))

    for reference in (None, describe("p", 0, numbers), describe("y", None, numbers)):
        with pytest.raises(PlanRejected, match="no bins of output 'p'") as caught:
            fit_plan(plan, make_manifest(reference=reference))
        assert caught.value.place == ("guards", 0, "output")


def test_texts_have_bins_where_the_reference_kept_some() -> None:
    plan = make_plan(guards=(guard(GuardKind.SHIFT, output="label"),))
    kept = Categorical(values=("a",), counts=(2,), other=0)
    fit_plan(plan, make_manifest(reference=describe("label", None, kept)))

    rare = Categorical(values=(), counts=(), other=2, buckets=(2, *[0] * 63))
    with pytest.raises(PlanRejected, match="no bins of output 'label'"):
        fit_plan(plan, make_manifest(reference=describe("label", None, rare)))


X, Y = SIGNATURE.inputs[0], SIGNATURE.outputs[0]


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (Signature(inputs=(), outputs=(Y,)), "it has no input 'x'"),
        (Signature(inputs=(X,), outputs=(Y, replace(Y, name="z"))), "another output, 'z'"),
        (Signature(inputs=(replace(X, shape=(-1, 4)),), outputs=(Y,)),
         r"its input 'x' is FP32 \[-1, 4\], and not FP32 \[-1, 3\]"),
        (Signature(inputs=(replace(X, datatype=Datatype.FP64),), outputs=(Y,)), "FP64"),
        (Signature(inputs=(X,), outputs=(Y,), labels={"y": ("a",)}), "classes"),
    ],
)  # fmt: skip
def test_a_challenger_of_another_signature_is_refused_with_the_difference(
    other: Signature, text: str
) -> None:
    its = Signature(inputs=(X,), outputs=(Y,))
    check_alike("m", 1, its, 2, its)
    with pytest.raises(SignatureDiffers, match=text):
        check_alike("m", 1, its, 2, other)


def test_tensors_in_another_order_are_another_signature() -> None:
    second = TensorSpec(name="x2", datatype=Datatype.FP32, shape=(-1, 3))
    its = Signature(inputs=(X, second), outputs=(Y,))
    with pytest.raises(SignatureDiffers, match="another order"):
        check_alike("m", 1, its, 2, Signature(inputs=(second, X), outputs=(Y,)))


def test_a_file_in_toml_says_what_one_in_json_says(tmp_path: Path) -> None:
    as_json = {
        "challenger": 2,
        "finish": "promote",
        "shadow": {"points": 10_000, "min_requests": 500},
        "steps": [{"points": 100}, {"points": 2_500, "min_s": 60}],
        "guards": [
            {"kind": "errors", "margin": 2},
            {"kind": "score", "output": "y", "margin": 0.5, "better": "lower"},
        ],
    }

    found = read_rollout_file(write(tmp_path, GOOD)).plan

    assert found == read_rollout_file(write(tmp_path, json.dumps(as_json), "plan.json")).plan
    assert found == parse_plan(json.dumps(as_json).encode())
    assert found == Plan(
        challenger=2,
        finish=Finish.PROMOTE,
        shadow=Step(points=10_000, min_requests=500),
        steps=(Step(points=100), Step(points=2_500, min_s=60.0)),
        guards=(
            ERRORS,
            Guard(kind=GuardKind.SCORE, margin=0.5, output="y", better=Better.LOWER),
        ),
    )
    check_plan(found)


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ('kind = "errors"', 'kind = "speed"', 17, "no guard 'speed'; there are errors, refusals"),
        ('kind = "errors"', "kind = 3", 17, "Expected `str`"),
        ("margin = 2\n", 'margin = "2"\n', 18, "Expected `float`"),
        ("margin = 2\n", "margin = 1\n", 18, "above 1"),
        ("margin = 2\n", "margin = nan\n", 18, "above 1"),
        ("margin = 2\n", "", 16, "missing required field `margin`"),
        ("margin = 2\n", "margin = 2\ncolour = 1\n", 19, "no member 'colour'"),
        ('output = "y"', 'output = "z"', 22, "no output 'z'"),
        ('output = "y"', 'output = "label"', 22, "has texts"),
        ("points = 2_500", "points = 99", 13, "does not fall"),
        ("points = 2_500", "points = 10_000", 13, "no champion would be left"),
        ("points = 10_000", "points = 0", 6, "from 1 to 10,000"),
        ("challenger = 2", "challenger = 2\nalpha = 1", 3, "to 0.2"),
        ("challenger = 2", "", 1, "missing required field `challenger`"),
        ('finish = "promote"', 'finish = "now"', 3, "Invalid enum value 'now'"),
        ("challenger = 2", "challenger = = 2", 2, "no TOML"),
    ],
)  # fmt: skip
def test_a_fault_in_a_file_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, text: str
) -> None:
    assert old in GOOD
    found = fault(write(tmp_path, GOOD.replace(old, new, 1)))
    assert found.startswith(f"plan.toml, line {line}: ")
    assert text in found


def test_a_number_of_more_digits_than_are_read_is_a_fault_of_the_file(tmp_path: Path) -> None:
    for name, text in (
        ("plan.toml", f"challenger = {'9' * 5_000}"),
        ("plan.json", f'{{"challenger": {"9" * 5_000}}}'),
    ):
        found = fault(write(tmp_path, text, name))
        assert found.startswith(f"{name}, line 1: no {name[5:].upper()}: Exceeds the limit")


def test_a_file_that_begins_with_a_mark_of_its_encoding_is_read(tmp_path: Path) -> None:
    marked = read_rollout_file(write(tmp_path, "\ufeff" + GOOD))
    assert marked.plan == read_rollout_file(write(tmp_path, GOOD)).plan


def test_a_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    assert fault(tmp_path / "plan.toml") == "'plan.toml' cannot be read: No such file or directory."


def test_a_file_without_a_guard_is_refused(tmp_path: Path) -> None:
    assert "missing required field `guards`" in fault(
        write(tmp_path, "challenger = 2\n[[steps]]\npoints = 1\n")
    )
    assert "line 2: a rollout needs a guard" in fault(
        write(tmp_path, "challenger = 2\nguards = []\n")
    )


def test_a_fault_of_what_is_stored_is_told_with_the_line_that_asks_for_it(tmp_path: Path) -> None:
    latency = GOOD + '\n[[guards]]\nkind = "latency"\nmargin = 1.5\nquantile = 0.9\n'
    file = read_rollout_file(write(tmp_path, latency))

    faults: list[tuple[RegistryError, str]] = [
        (VersionNotFound("m", 2), "plan.toml, line 2: Model 'm' has no version 2."),
        (AlreadyChampion("m", 2), "plan.toml, line 2: Version 2 of 'm' is the champion already."),
        (SignatureDiffers("m", 2, 1, "it has no input 'x'"), "plan.toml, line 2: "),
        (SharesExceeded("m", 2_500, 99), "plan.toml, line 9: "),
        (LatencyUnmeasured("m", 1, 0.9), "plan.toml, line 26: "),
    ]

    for found, text in faults:
        assert str(file.locate(found)).startswith(text)
    missing = ModelNotFound("m")
    assert file.locate(missing) is missing


@pytest.mark.parametrize(
    ("members", "place", "text"),
    [
        ({"guards": [{"kind": "speed", "margin": 2}]}, ("guards", 0, "kind"), "no guard 'speed'"),
        ({"guards": [], "colour": 1}, ("colour",), "no member 'colour'"),
        ({"guards": 1}, ("guards",), "Expected `array`"),
    ],
)
def test_a_plan_in_a_request_is_refused_with_the_place(
    members: dict[str, Any], place: tuple[str | int, ...], text: str
) -> None:
    with pytest.raises(PlanRejected, match=text) as caught:
        parse_plan(json.dumps({"challenger": 2, **members}).encode())
    assert caught.value.place == place


@pytest.mark.parametrize("content", [b'{"segment": "\xff"}', b'{"\xff": 1}', b"", b"{"])
def test_a_plan_that_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(PlanRejected, match="no JSON"):
        parse_plan(content)


def test_a_located_fault_is_of_the_file_that_was_read(tmp_path: Path) -> None:
    file: RolloutFile = read_rollout_file(write(tmp_path, GOOD, "other.toml"))
    assert str(file.locate(PlanRejected((), "it is odd"))) == "other.toml, line 1: it is odd."
