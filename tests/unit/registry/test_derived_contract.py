"""Rules derived from a reference flag no training row, and refuse nothing until told to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.contract import derive_contract, with_action, with_rule
from registry.errors import Rejected
from registry.manifest import Action, Contract, Rule, RuleKind
from registry.reference import derive_reference
from registry.tensors import Tensor


def contract_of(**columns: Tensor) -> Contract:
    return derive_contract(derive_reference(columns))


def rules(contract: Contract, kind: RuleKind) -> list[Rule]:
    return [rule for rule in contract.rules if rule.kind is kind]


@settings(derandomize=True)
@given(st.lists(st.floats(width=32, allow_infinity=False, allow_nan=False), min_size=1))
def test_no_training_value_breaks_the_range(values: list[float]) -> None:
    (rule,) = rules(contract_of(x=np.array(values)), RuleKind.RANGE)
    assert rule.low is not None
    assert rule.high is not None
    assert all(rule.low <= value <= rule.high for value in values)


def test_the_range_is_widened_by_half_an_interquartile_range() -> None:
    (rule,) = rules(contract_of(x=np.arange(1.0, 101.0)), RuleKind.RANGE)
    assert (rule.low, rule.high, rule.action) == (1 - 25.0, 100 + 25.0, Action.FLAG)


def test_a_side_that_cannot_be_written_is_open() -> None:
    (rule,) = rules(contract_of(x=np.array([-1.7e308, 0.0, 1.7e308, 1.7e308])), RuleKind.RANGE)
    assert (rule.low, rule.high) == (None, None)


def test_texts_that_are_all_known_become_categories() -> None:
    contract = contract_of(x=np.array(["a"] * 30 + ["b"] * 20, object))
    (rule,) = rules(contract, RuleKind.CATEGORIES)
    assert (rule.values, rule.action) == (("a", "b"), Action.FLAG)


def test_rare_texts_leave_the_categories_open() -> None:
    contract = contract_of(x=np.array(["a"] * 30 + ["b"], object))
    assert rules(contract, RuleKind.CATEGORIES) == []


def test_missing_values_are_observed_in_each_column() -> None:
    contract = contract_of(m=np.ones((3, 2)), s=np.array([None, None, None], object))
    found = [(r.input, r.column, r.action) for r in rules(contract, RuleKind.MISSING)]
    assert found == [
        ("m", 0, Action.OBSERVE),
        ("m", 1, Action.OBSERVE),
        ("s", None, Action.OBSERVE),
    ]


def test_an_action_changes_for_the_rule_named_and_no_other() -> None:
    contract = contract_of(x=np.ones(3), y=np.ones(3))
    changed = with_action(contract, "x", RuleKind.MISSING, Action.REJECT)
    different = [
        after
        for before, after in zip(contract.rules, changed.rules, strict=True)
        if before != after
    ]
    assert different == [Rule(input="x", kind=RuleKind.MISSING, action=Action.REJECT)]


def test_an_action_changes_for_one_column_or_for_all() -> None:
    contract = contract_of(m=np.ones((3, 2)))
    one = with_action(contract, "m", RuleKind.RANGE, Action.REJECT, column=1)
    both = with_action(contract, "m", RuleKind.RANGE, Action.REJECT)
    assert [r.action for r in rules(one, RuleKind.RANGE)] == [Action.FLAG, Action.REJECT]
    assert [r.action for r in rules(both, RuleKind.RANGE)] == [Action.REJECT, Action.REJECT]


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [("y", RuleKind.RANGE, None), ("x", RuleKind.CATEGORIES, None), ("x", RuleKind.RANGE, 1)],
)
def test_an_action_for_a_rule_that_is_not_there_is_rejected(
    name: str, kind: RuleKind, column: int | None
) -> None:
    with pytest.raises(Rejected) as refusal:
        with_action(contract_of(x=np.ones(3)), name, kind, Action.REJECT, column)
    assert refusal.value.check == "contract"


def test_a_publishers_rule_takes_the_place_of_the_derived_one() -> None:
    own = Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, low=0.0)
    contract = contract_of(x=np.ones(3), y=np.ones(3))
    changed = with_rule(contract, own)
    assert [r for r in rules(changed, RuleKind.RANGE) if r.input == "x"] == [own]
    assert len(changed.rules) == len(contract.rules)
    assert len(with_rule(Contract(), own).rules) == 1
