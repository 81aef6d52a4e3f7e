"""Rules derived from a reference flag no training row, and refuse nothing until told to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.contract import derive_contract, with_action, with_rule
from registry.datatypes import Datatype
from registry.distribution import Discrete, Feature, FreeText, Joint, Numeric, Reference
from registry.errors import Rejected
from registry.manifest import (
    WHOLE_ROWS,
    Action,
    Contract,
    Rule,
    RuleKind,
    Signature,
    TensorSpec,
)
from registry.reference import derive_reference
from registry.rules import check_rules
from registry.tensors import Tensor, datatype_of


def contract_of(**columns: Tensor) -> Contract:
    specs = tuple(
        TensorSpec(name=name, datatype=datatype_of(tensor), shape=(-1, *tensor.shape[1:]))
        for name, tensor in columns.items()
    )
    return derive_contract(derive_reference(columns), Signature(inputs=specs, outputs=()))


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


def derived(datatype: str, distribution: Numeric | Discrete | FreeText) -> Contract:
    feature = Feature(input="x", count=10, missing=0, distribution=distribution)
    spec = TensorSpec(name="x", datatype=Datatype(datatype), shape=(-1,))
    signature = Signature(inputs=(spec,), outputs=())
    contract = derive_contract(Reference(rows=10, features=(feature,)), signature)
    check_rules(signature, contract)
    return contract


FEW = Discrete(values=(0, 1, 4), counts=(5, 3, 2))
WHOLE = Numeric(
    minimum=0, maximum=9, mean=4, std=2, edges=(2, 4, 6), bin_counts=(3, 3, 2, 2), is_integer=True
)


def test_few_integers_are_the_only_ones_that_pass() -> None:
    [rule] = rules(derived("INT32", FEW), RuleKind.CATEGORIES)
    assert (rule.values, rule.action) == (("0", "1", "4"), Action.FLAG)


def test_few_integers_among_floats_are_whole_and_in_a_range() -> None:
    contract = derived("FP32", FEW)
    [found] = rules(contract, RuleKind.RANGE)
    assert (found.low, found.high) == (-0.5, 4.5)
    assert len(rules(contract, RuleKind.INTEGER)) == 1
    assert rules(contract, RuleKind.CATEGORIES) == []


def test_whole_numbers_are_demanded_where_an_input_could_hold_others() -> None:
    assert len(rules(derived("FP64", WHOLE), RuleKind.INTEGER)) == 1
    assert rules(derived("INT64", WHOLE), RuleKind.INTEGER) == []


@pytest.mark.parametrize(
    ("datatype", "distribution"),
    [("BOOL", Discrete(values=(0, 1), counts=(5, 5))), ("BOOL", WHOLE)],
)
def test_what_cannot_be_broken_is_no_rule(datatype: str, distribution: Discrete | Numeric) -> None:
    kinds = {rule.kind for rule in derived(datatype, distribution).rules}
    assert kinds == {RuleKind.MISSING}


def test_rows_as_far_out_as_one_of_a_thousand_are_flagged() -> None:
    feature = Feature(input="x", count=10, missing=0, distribution=WHOLE)
    joint = Joint(
        features=(0,), mean=(4.0,), whitening=(0.5,), edges=(1, 3, 7, 11, 15), bin_counts=(10,)
    )
    spec = TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1,))
    signature = Signature(inputs=(spec,), outputs=())
    reference = Reference(rows=10, features=(feature,), joint=joint)

    contract = derive_contract(reference, signature)

    check_rules(signature, contract, reference)
    [rule] = rules(contract, RuleKind.JOINT)
    assert (rule.input, rule.high, rule.action) == (WHOLE_ROWS, 11, Action.FLAG)


def test_derived_rules_observe_for_an_hour_and_changes_keep_that() -> None:
    contract = contract_of(x=np.ones(3))
    own = Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, low=0.0)
    for one in (
        contract,
        with_rule(contract, own),
        with_action(contract, "x", RuleKind.RANGE, Action.REJECT),
    ):
        assert one.warm_up_s == 3600


def test_ids_and_notes_and_vectors_may_have_any_value() -> None:
    contract = contract_of(
        id=np.array([f"id-{i}" for i in range(300)], object),
        note=np.array([f"one two three four {i}" for i in range(300)], object),
        vector=np.ones((300, 70)),
    )
    assert [(r.input, r.column, r.kind) for r in contract.rules] == [
        ("id", None, RuleKind.MISSING),
        ("note", None, RuleKind.MISSING),
        ("vector", None, RuleKind.MISSING),
    ]
