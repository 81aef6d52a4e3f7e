"""Values against the contract: which are found, where, with which action, and which are not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.contract import Checker, Violations, compile_contract
from gateway.protocol.refusal import MAX_VIOLATIONS, Violation, label
from registry.datatypes import Datatype
from registry.distribution import Reference
from registry.manifest import Action, Contract, Rule, RuleKind, Signature, TensorSpec
from registry.rules import check_rules
from registry.tensors import NUMPY_TYPES, Tensor

NAN = float("nan")


def rule(kind: RuleKind, action: Action = Action.REJECT, name: str = "x", **more: Any) -> Rule:
    return Rule(input=name, kind=kind, action=action, **more)


def compiled(
    *inputs: tuple[str, str, tuple[int, ...]],
    rules: tuple[Rule, ...],
    reference: Reference | None = None,
    can_be_met: bool = True,
) -> Checker:
    specs = tuple(
        TensorSpec(name=name, datatype=Datatype(datatype), shape=shape)
        for name, datatype, shape in inputs
    )
    signature, contract = Signature(inputs=specs, outputs=()), Contract(rules=rules)
    if can_be_met:
        check_rules(signature, contract, reference)
    return compile_contract(signature, contract, reference)


def one(
    datatype: str, *rules: Rule, shape: tuple[int, ...] = (-1,), can_be_met: bool = True
) -> Checker:
    return compiled(("x", datatype, shape), rules=rules, can_be_met=can_be_met)


def array(datatype: str, values: Any) -> Tensor:
    return np.array(values, NUMPY_TYPES[Datatype(datatype)])


def rejected(checker: Checker, tensor: Tensor) -> list[str]:
    violations = checker.check({"x": tensor})
    assert violations.rejected_total == len(violations.rejected)
    return [label(violation) for violation in violations.rejected]


def test_a_clean_request_gets_the_one_empty_value() -> None:
    checker = one("FP32", rule(RuleKind.RANGE, low=0, high=1))
    assert checker.check({"x": array("FP32", [0, 0.5, 1])}) is Violations.NONE


def test_a_contract_without_rules_accepts_everything() -> None:
    assert one("FP32").check({"x": array("FP32", [NAN, np.inf])}) is Violations.NONE


def test_a_value_outside_its_range_is_named_with_what_was_expected() -> None:
    checker = one("FP32", rule(RuleKind.RANGE, low=0, high=4983))
    violations = checker.check({"x": array("FP32", [1, -1, 4983, 4984])})
    assert violations.rejected == (
        Violation(input="x", rule="range", expected="between 0 and 4983", row=1),
        Violation(input="x", rule="range", expected="between 0 and 4983", row=3),
    )


@pytest.mark.parametrize(
    ("limits", "text"), [({"low": 0.5}, "at least 0.5"), ({"high": -2}, "at most -2")]
)
def test_a_side_without_a_limit_is_open(limits: dict[str, float], text: str) -> None:
    checker = one("FP64", rule(RuleKind.RANGE, **limits))
    violations = checker.check({"x": array("FP64", [-np.inf, 0, np.inf])})
    assert {violation.expected for violation in violations.rejected} == {text}
    assert len(violations.rejected) == 2


def test_ranges_of_columns_are_kept_apart() -> None:
    ranges = [rule(RuleKind.RANGE, column=column, high=column) for column in (0, 2)]
    checker = one("FP32", *ranges, shape=(-1, 3))
    assert rejected(checker, array("FP32", [[1, 9, 2], [0, 9, 3]])) == [
        "range x[0,0]",
        "range x[1,2]",
    ]
    violations = checker.check({"x": array("FP32", [[0, 0, 3]])})
    assert violations.rejected[0].expected == "at most 2"


def test_a_rule_for_all_columns_and_one_for_a_column_both_hold() -> None:
    rules = rule(RuleKind.RANGE, low=0), rule(RuleKind.RANGE, column=1, low=-5, high=5)
    checker = one("FP32", *rules, shape=(-1, 2))
    assert rejected(checker, array("FP32", [[9, -1], [-1, 6]])) == [
        "range x[0,1]",
        "range x[1,0]",
        "range x[1,1]",
    ]


def test_a_missing_value_breaks_only_the_rule_missing() -> None:
    limits = rule(RuleKind.RANGE, low=0, high=1)
    assert rejected(one("FP32", limits), array("FP32", [NAN])) == []
    both = one("FP32", limits, rule(RuleKind.MISSING))
    assert rejected(both, array("FP32", [0, NAN])) == ["missing x[1]"]
    categories = rule(RuleKind.CATEGORIES, values=("a",))
    for empty in ("", b""):
        assert rejected(one("BYTES", categories), array("BYTES", ["a", empty])) == []
        texts = one("BYTES", categories, rule(RuleKind.MISSING))
        assert rejected(texts, array("BYTES", ["a", empty])) == ["missing x[1]"]


def test_missing_values_are_sought_only_in_the_columns_of_the_rules() -> None:
    rules = [rule(RuleKind.MISSING, column=column) for column in (0, 2)]
    checker = one("FP32", *rules, shape=(-1, 3))
    assert checker.check({"x": array("FP32", [[1, NAN, 1]])}) is Violations.NONE
    assert rejected(checker, array("FP32", [[NAN, NAN, NAN]])) == [
        "missing x[0,0]",
        "missing x[0,2]",
    ]
    texts = one("BYTES", *rules, shape=(-1, 3))
    assert rejected(texts, array("BYTES", [["a", "", "c"], ["", "", "c"]])) == ["missing x[1,0]"]


def test_integers_are_never_missing() -> None:
    checker = one("INT64", rule(RuleKind.MISSING))
    assert checker.check({"x": array("INT64", [0])}) is Violations.NONE


def test_a_text_outside_the_categories_is_named() -> None:
    carriers = tuple(f"A{number}" for number in range(16))
    checker = one("BYTES", rule(RuleKind.CATEGORIES, values=carriers), shape=(-1, 1))
    for unknown in ("ZZ", b"ZZ"):
        violations = checker.check({"x": array("BYTES", [["A1"], [b"A2"], [unknown]])})
        assert violations.rejected == (
            Violation(
                input="x",
                rule="categories",
                expected="one of A0, A1, A2, A3, A4, … (16 values)",
                row=2,
            ),
        )


def test_categories_of_one_column_leave_the_others_alone() -> None:
    checker = one("BYTES", rule(RuleKind.CATEGORIES, column=1, values=("a",)), shape=(-1, 2))
    assert rejected(checker, array("BYTES", [["z", "a"], ["a", "z"]])) == ["categories x[1,1]"]


@pytest.mark.parametrize(
    ("datatype", "values", "tensor"),
    [
        ("INT8", ("-1", "7"), [-1, 7, 8]),
        ("UINT64", (str(2**64 - 1), "0"), [2**64 - 1, 0, 2**64 - 2]),
        ("BOOL", ("true",), [True, True, False]),
    ],
)
def test_categories_of_numbers_and_truths_are_compared_exactly(
    datatype: str, values: tuple[str, ...], tensor: list[Any]
) -> None:
    checker = one(datatype, rule(RuleKind.CATEGORIES, values=values))
    assert rejected(checker, array(datatype, tensor)) == ["categories x[2]"]


def test_each_action_has_its_own_violations() -> None:
    checker = one(
        "FP32",
        rule(RuleKind.RANGE, Action.OBSERVE, high=1),
        rule(RuleKind.RANGE, Action.FLAG, high=2),
        rule(RuleKind.RANGE, Action.REJECT, high=3),
        rule(RuleKind.MISSING, Action.FLAG),
    )
    violations = checker.check({"x": array("FP32", [1, 2, 3, 4, NAN])})
    assert [label(found) for found in violations.rejected] == ["range x[3]"]
    assert [label(found) for found in violations.flagged] == [
        "range x[2]",
        "range x[3]",
        "missing x[4]",
    ]
    assert [label(found) for found in violations.observed] == [
        "range x[1]",
        "range x[2]",
        "range x[3]",
    ]
    totals = violations.rejected_total, violations.flagged_total, violations.observed_total
    assert totals == (1, 3, 3)


def test_rules_of_several_inputs_are_all_told() -> None:
    rules = rule(RuleKind.RANGE, low=0), rule(RuleKind.CATEGORIES, name="s", values=("a",))
    checker = compiled(("s", "BYTES", (-1,)), ("x", "FP32", (-1,)), rules=rules)
    violations = checker.check({"x": array("FP32", [-1]), "s": array("BYTES", ["b"])})
    assert [label(found) for found in violations.rejected] == ["categories s[0]", "range x[0]"]


def test_violations_beyond_the_limit_are_counted_but_not_listed() -> None:
    checker = one("FP32", rule(RuleKind.RANGE, low=0), rule(RuleKind.MISSING), shape=(-1, 2))
    tensor = np.full((1000, 2), -1, np.float32)
    tensor[:, 1] = NAN
    violations = checker.check({"x": tensor})
    assert (len(violations.rejected), violations.rejected_total) == (MAX_VIOLATIONS, 2000)


@pytest.mark.parametrize(
    ("shape", "tensor", "found"),
    [
        ((), 5, "range x"),
        ((-1, 1), [[0], [5]], "range x[1]"),
        ((-1, 2, 2), [[[0, 0], [0, 5]]], "range x[0,1]"),
    ],
)
def test_row_and_column_are_the_first_and_last_dimension(
    shape: tuple[int, ...], tensor: Any, found: str
) -> None:
    assert rejected(
        one("FP32", rule(RuleKind.RANGE, high=1), shape=shape), array("FP32", tensor)
    ) == [found]


def test_a_column_that_a_rule_names_is_told_even_when_it_is_the_only_one() -> None:
    checker = one("BYTES", rule(RuleKind.CATEGORIES, column=0, values=("a",)), shape=(-1, 1))
    assert rejected(checker, array("BYTES", [["b"]])) == ["categories x[0,0]"]


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_a_missing_value_is_in_every_range_and_an_infinite_one_in_none(datatype: str) -> None:
    checker = one(datatype, rule(RuleKind.RANGE, low=-1, high=1))
    values = array(datatype, [np.nan, np.inf, 0.5, -np.inf])

    assert rejected(checker, values) == ["range x[1]", "range x[3]"]
    missing = one(datatype, rule(RuleKind.MISSING))
    assert rejected(missing, values) == ["missing x[0]"]


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_a_bound_is_rounded_as_the_callers_number_was(datatype: str) -> None:
    checker = one(datatype, rule(RuleKind.RANGE, low=0.1, high=0.3))
    assert rejected(checker, array(datatype, [0.1, 0.3])) == []


def test_a_bound_beyond_the_datatype_is_open_or_shut() -> None:
    assert rejected(one("FP32", rule(RuleKind.RANGE, high=1e300)), array("FP32", [3e38])) == []
    for low, high, found in [(-300, 300, 0), (256, 300, 2), (-300, -1, 2), (0.2, 0.8, 2)]:
        checker = one("UINT8", rule(RuleKind.RANGE, low=low, high=high), can_be_met=False)
        assert len(rejected(checker, array("UINT8", [0, 255]))) == found


def test_large_integers_are_compared_exactly() -> None:
    checker = one("INT64", rule(RuleKind.RANGE, high=2**53))
    assert rejected(checker, array("INT64", [2**53, 2**53 + 1])) == ["range x[1]"]
    widest = one("UINT64", rule(RuleKind.RANGE, low=0, high=1.8446744073709552e19))
    assert rejected(widest, array("UINT64", [2**64 - 1])) == []


def test_no_rows_break_nothing() -> None:
    checker = one("FP32", rule(RuleKind.RANGE, low=0), rule(RuleKind.MISSING), shape=(-1, 3))
    assert checker.check({"x": np.zeros((0, 3), np.float32)}) is Violations.NONE


LIMITS = st.none() | st.floats(-10, 10, width=32)


@given(
    st.lists(st.tuples(LIMITS, LIMITS, st.none() | st.integers(0, 2)), max_size=4),
    arrays.arrays(np.float32, (4, 3), elements=st.floats(-12, 12, width=32) | st.just(NAN)),
)
def test_ranges_find_what_a_plain_comparison_finds(
    limits: list[tuple[float | None, float | None, int | None]], tensor: Tensor
) -> None:
    rules = [
        rule(RuleKind.RANGE, low=low, high=high, column=column)
        for low, high, column in limits
        if (low, high) != (None, None) and (low is None or high is None or low <= high)
    ]
    broken = [
        f"range x[{row},{column}]"
        for row in range(4)
        for column in range(3)
        if any(
            (bound.low is not None and tensor[row, column] < bound.low)
            or (bound.high is not None and tensor[row, column] > bound.high)
            for bound in rules
            if bound.column in (None, column)
        )
    ]
    assert rejected(one("FP32", *rules, shape=(-1, 3), can_be_met=False), tensor) == broken
