"""A contract that makes no sense for its signature is refused when it is published."""

import math
from typing import Any

import pytest

from registry.datatypes import Datatype
from registry.distribution import Feature, Joint, Reference
from registry.errors import ContractRejected, Rejected
from registry.manifest import Action, Contract, Rule, RuleKind, Signature, TensorSpec
from registry.rules import check_rules

SIGNATURE = Signature(
    inputs=tuple(
        TensorSpec(name=name, datatype=Datatype(datatype), shape=shape)
        for name, datatype, shape in [
            ("x", "FP32", (-1, 3)),
            ("n", "UINT8", (-1,)),
            ("big", "INT64", (-1, 1)),
            ("b", "BOOL", (-1, 1)),
            ("s", "BYTES", (-1, 1)),
            ("wide", "FP32", (-1, -1)),
        ]
    ),
    outputs=(),
)


def joint(**changes: Any) -> Reference:
    features = tuple(
        Feature(input="x", column=column, count=1, missing=0, distribution=None)
        for column in (0, 2)
    )
    whole: dict[str, Any] = {"features": (0, 1), "mean": (0, 0), "whitening": (1, 0, 1)}
    found = Joint(**whole | changes, edges=(), bin_counts=(1,))
    return Reference(rows=1, features=features, joint=found)


REFERENCE = joint()


def acting(action: Action, name: str, kind: RuleKind, **more: Any) -> Rule:
    return Rule(input=name, kind=kind, action=action, **more)


def rule(name: str, kind: RuleKind, **more: Any) -> Rule:
    return acting(Action.REJECT, name, kind, **more)


@pytest.mark.parametrize(
    "good",
    [
        rule("x", RuleKind.RANGE, low=0),
        rule("x", RuleKind.RANGE, high=1, column=2),
        rule("n", RuleKind.RANGE, low=5, high=5),
        rule("x", RuleKind.MISSING, column=0),
        rule("n", RuleKind.MISSING),
        rule("s", RuleKind.MISSING),
        rule("s", RuleKind.CATEGORIES, values=("a", "")),
        rule("n", RuleKind.CATEGORIES, values=("0", "255")),
        rule("big", RuleKind.CATEGORIES, values=(str(-(2**63)), str(2**63 - 1))),
        rule("b", RuleKind.CATEGORIES, values=("true",)),
        rule("x", RuleKind.INTEGER),
        rule("n", RuleKind.INTEGER),
        rule("s", RuleKind.LENGTH, low=1),
        rule("s", RuleKind.PATTERN, pattern="a*"),
        acting(Action.CLIP, "x", RuleKind.RANGE, low=0),
        acting(Action.IMPUTE, "x", RuleKind.MISSING, value=1.0, column=1),
        acting(Action.IMPUTE, "s", RuleKind.MISSING, value="none"),
        acting(Action.OBSERVE, "x", RuleKind.MISSING_RATE, high=0.1),
        acting(Action.FLAG, "*", RuleKind.JOINT, high=9.0),
    ],
)
def test_a_rule_that_values_can_meet_is_accepted(good: Rule) -> None:
    check_rules(SIGNATURE, Contract(rules=(good,)), REFERENCE)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (rule("gone", RuleKind.MISSING), "no input 'gone'"),
        (rule("x" * 500, RuleKind.MISSING), "…"),
        (rule("x", RuleKind.MISSING, column=3), "no column 3, only 0 to 2"),
        (rule("x", RuleKind.MISSING, column=-1), "no column -1"),
        (rule("n", RuleKind.MISSING, column=0), "no fixed columns"),
        (rule("wide", RuleKind.MISSING, column=0), "no fixed columns"),
        (rule("x", RuleKind.RANGE), "needs `low` or `high`"),
        (rule("x", RuleKind.MISSING, low=1), "`low` belongs to another kind"),
        (rule("x", RuleKind.RANGE, low=1, values=("a",)), "`values` belongs to another kind"),
        (rule("s", RuleKind.CATEGORIES), "needs `values`, at least one"),
        (rule("x", RuleKind.RANGE, low=2, high=1), "`low` (2) is above `high` (1)"),
        (rule("x", RuleKind.RANGE, low=math.nan), "finite"),
        (rule("x", RuleKind.RANGE, high=math.inf), "finite"),
        (rule("s", RuleKind.RANGE, low=1), "a range needs numbers"),
        (rule("b", RuleKind.RANGE, low=1), "a range needs numbers"),
        (rule("x", RuleKind.CATEGORIES, values=("1",)), "texts or whole numbers"),
        (rule("b", RuleKind.CATEGORIES, values=("True",)), "BOOL cannot hold 'True'"),
        *[
            (rule("n", RuleKind.CATEGORIES, values=("1", value)), "UINT8 cannot hold")
            for value in ("256", "-1", "01", "1.0", "", "-", "٣", "9" * 5000)
        ],
        (rule("n", RuleKind.RANGE, low=0.2, high=0.8), "no value of UINT8 lies within"),
        (rule("n", RuleKind.RANGE, low=256), "no value of UINT8 lies within"),
        (rule("s", RuleKind.INTEGER), "whole are numbers"),
        (rule("x", RuleKind.LENGTH, low=1), "texts are BYTES"),
        (rule("s", RuleKind.LENGTH), "needs `low` or `high`"),
        (rule("s", RuleKind.LENGTH, high=-1), "fewer characters than none"),
        (rule("x", RuleKind.PATTERN, pattern="a"), "texts are BYTES"),
        (rule("s", RuleKind.PATTERN), "needs `pattern`"),
        (rule("s", RuleKind.PATTERN, pattern="("), "no regular expression"),
        (rule("s", RuleKind.PATTERN, pattern="^a"), "anchors"),
        (rule("x", RuleKind.FINITE), "no such rule on an input"),
        (rule("*", RuleKind.JOINT, high=1), "may be flag, observe, not reject"),
        (acting(Action.FLAG, "x", RuleKind.JOINT, high=1), "`input` is '*'"),
        (acting(Action.FLAG, "*", RuleKind.JOINT, high=0), "`high` must be above 0"),
        (acting(Action.FLAG, "*", RuleKind.JOINT, high=1, low=0), "`low` belongs to another"),
        (acting(Action.OBSERVE, "x", RuleKind.MISSING_RATE, high=1.5), "a share from 0 to 1"),
        (acting(Action.FLAG, "x", RuleKind.MISSING_RATE, high=0.5), "may be observe, not flag"),
        (acting(Action.CLIP, "s", RuleKind.CATEGORIES, values=("a",)), "not clip"),
        (acting(Action.IMPUTE, "x", RuleKind.RANGE, low=0), "not impute"),
        (acting(Action.IMPUTE, "x", RuleKind.MISSING), "needs `value`"),
        (acting(Action.IMPUTE, "x", RuleKind.MISSING, value="a"), "a number that FP32 can hold"),
        (acting(Action.IMPUTE, "x", RuleKind.MISSING, value=1e39), "a number that FP32 can hold"),
        (acting(Action.IMPUTE, "x", RuleKind.MISSING, value=math.nan), "a number that FP32"),
        (acting(Action.IMPUTE, "s", RuleKind.MISSING, value=""), "a text that is not empty"),
        (acting(Action.IMPUTE, "n", RuleKind.MISSING, value=1.0), "UINT8 has no missing values"),
        (rule("x", RuleKind.MISSING, value=1.0), "`value` belongs to another kind"),
        (rule("*", RuleKind.MISSING), "no input '*'"),
        (rule("x", RuleKind.RANGE, high=-1), "it contradicts rule 1"),
        (rule("x", RuleKind.RANGE, high=-1, column=2), "it contradicts rule 1"),
        (acting(Action.IMPUTE, "x", RuleKind.MISSING, value=-1.0), "it contradicts rule 1"),
    ],
)
def test_a_rule_that_makes_no_sense_is_rejected(bad: Rule, says: str) -> None:
    good = rule("x", RuleKind.RANGE, low=0)
    with pytest.raises(Rejected) as caught:
        check_rules(SIGNATURE, Contract(rules=(good, bad)), REFERENCE)
    assert caught.value.check == "contract"
    assert says in str(caught.value)
    assert str(caught.value).startswith("Rule 2 of the contract")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "reference",
    [
        None,
        Reference(rows=1, features=()),
        joint(features=(0, 7)),
        joint(mean=(0,)),
        joint(whitening=(1, 0, 0, 1)),
        joint(features=(), mean=(), whitening=()),
    ],
)
def test_joint_distances_need_a_reference_that_has_them_whole(reference: Reference | None) -> None:
    far = acting(Action.FLAG, "*", RuleKind.JOINT, high=9.0)
    with pytest.raises(ContractRejected, match="joint distances"):
        check_rules(SIGNATURE, Contract(rules=(far,)), reference)


def test_joint_distances_of_other_inputs_are_rejected() -> None:
    far = acting(Action.FLAG, "*", RuleKind.JOINT, high=9.0)
    others = Signature(inputs=SIGNATURE.inputs[1:], outputs=())
    with pytest.raises(ContractRejected, match="fit other inputs"):
        check_rules(others, Contract(rules=(far,)), REFERENCE)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rule("s", RuleKind.LENGTH, high=3), rule("s", RuleKind.LENGTH, low=4)),
        (
            rule("s", RuleKind.CATEGORIES, values=("a", "b")),
            rule("s", RuleKind.CATEGORIES, values=("c",)),
        ),
        (
            acting(Action.IMPUTE, "s", RuleKind.MISSING, value="c"),
            rule("s", RuleKind.CATEGORIES, values=("a", "b")),
        ),
        (
            acting(Action.IMPUTE, "x", RuleKind.MISSING, value=0.5),
            rule("x", RuleKind.INTEGER, column=1),
        ),
        (
            acting(Action.IMPUTE, "x", RuleKind.MISSING, value=1.0),
            acting(Action.IMPUTE, "x", RuleKind.MISSING, value=2.0, column=0),
        ),
    ],
)
def test_rules_that_no_value_can_meet_together_contradict(first: Rule, second: Rule) -> None:
    for pair in ((first, second), (second, first)):
        with pytest.raises(ContractRejected) as caught:
            check_rules(SIGNATURE, Contract(rules=pair))
        assert (caught.value.number, caught.value.section) == (2, "rules")
        assert caught.value.fault.endswith("it contradicts rule 1")


def test_rules_on_other_columns_contradict_nothing() -> None:
    apart = rule("x", RuleKind.RANGE, high=1, column=0), rule("x", RuleKind.RANGE, low=2, column=1)
    check_rules(SIGNATURE, Contract(rules=apart))
    touching = rule("n", RuleKind.RANGE, low=1), rule("n", RuleKind.RANGE, low=0.5, high=1.5)
    check_rules(SIGNATURE, Contract(rules=touching))


@pytest.mark.parametrize(
    "settings",
    [{"warm_up_s": -1}, {"warm_up_s": math.nan}, {"warm_up_s": 1e9}, {"refusal_cap": 0},
     {"refusal_cap": 1.1}, {"refusal_cap": math.nan}],
)  # fmt: skip
def test_settings_have_bounds(settings: dict[str, float]) -> None:
    with pytest.raises(ContractRejected) as caught:
        check_rules(SIGNATURE, Contract(**settings))
    assert (caught.value.section, caught.value.member) == ("", next(iter(settings)))
