"""A contract that makes no sense for its signature is refused when it is published."""

import math
from typing import Any

import pytest

from registry.datatypes import Datatype
from registry.errors import Rejected
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


def rule(name: str, kind: RuleKind, **more: Any) -> Rule:
    return Rule(input=name, kind=kind, action=Action.REJECT, **more)


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
    ],
)
def test_a_rule_that_values_can_meet_is_accepted(good: Rule) -> None:
    check_rules(SIGNATURE, Contract(rules=(good,)))


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
    ],
)
def test_a_rule_that_makes_no_sense_is_rejected(bad: Rule, says: str) -> None:
    good = rule("x", RuleKind.RANGE, low=0)
    with pytest.raises(Rejected) as caught:
        check_rules(SIGNATURE, Contract(rules=(good, bad)))
    assert caught.value.check == "contract"
    assert says in str(caught.value)
    assert str(caught.value).startswith("Rule 2 of the contract")
    assert len(str(caught.value)) < 200
