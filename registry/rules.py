"""Whether a contract's rules can be held against a signature, asked once, when it is published.

Categories of an integer input are written in decimal, those of BOOL as `true` and `false`.
"""

import math

from registry.datatypes import FLOATS, INTEGER_BOUNDS, Datatype
from registry.errors import Rejected, clip
from registry.manifest import Contract, Rule, RuleKind, Signature, TensorSpec

_TRUTHS = ("true", "false")


def check_rules(signature: Signature, contract: Contract) -> None:
    """Raise `Rejected("contract", …)` for the first rule that makes no sense for the signature."""
    inputs = {spec.name: spec for spec in signature.inputs}
    for number, rule in enumerate(contract.rules, 1):
        spec = inputs.get(rule.input)
        if spec is None:
            fault = f"the model has no input {clip(rule.input)!r}"
        else:
            fault = _column_fault(rule, spec) or _limits_fault(rule) or _kind_fault(rule, spec)
        if fault:
            kind = rule.kind.value
            raise Rejected("contract", f"Rule {number} of the contract ({kind}): {fault}.")


def _column_fault(rule: Rule, spec: TensorSpec) -> str:
    if rule.column is None:
        return ""
    if len(spec.shape) < 2 or spec.shape[-1] < 0:
        return f"input {spec.name!r} has no fixed columns, its shape is {list(spec.shape)}"
    if not 0 <= rule.column < spec.shape[-1]:
        return f"input {spec.name!r} has no column {rule.column}, only 0 to {spec.shape[-1] - 1}"
    return ""


def _limits_fault(rule: Rule) -> str:
    """Find limits that belong to another kind of rule, or that the kind lacks."""
    has_range = rule.low is not None or rule.high is not None
    if has_range != (rule.kind is RuleKind.RANGE):
        return "`low` and `high` belong to a range, which needs at least one of them"
    if bool(rule.values) != (rule.kind is RuleKind.CATEGORIES):
        return "`values` belong to categories, which need at least one"
    return ""


def _kind_fault(rule: Rule, spec: TensorSpec) -> str:
    if rule.kind is RuleKind.RANGE:
        return _range_fault(rule, spec)
    if rule.kind is RuleKind.CATEGORIES:
        return _categories_fault(rule, spec)
    return ""


def _range_fault(rule: Rule, spec: TensorSpec) -> str:
    if spec.datatype in (Datatype.BYTES, Datatype.BOOL):
        return f"input {spec.name!r} is {spec.datatype}, a range needs numbers"
    limits = [limit for limit in (rule.low, rule.high) if limit is not None]
    if not all(math.isfinite(limit) for limit in limits):
        return "`low` and `high` must be finite; leave one out to open that side"
    if limits != sorted(limits):
        return f"`low` ({rule.low}) is above `high` ({rule.high})"
    return ""


def _categories_fault(rule: Rule, spec: TensorSpec) -> str:
    if spec.datatype in FLOATS:
        return f"input {spec.name!r} is {spec.datatype}, categories need texts or whole numbers"
    for value in rule.values:
        if not _can_hold(spec.datatype, value):
            return f"{spec.datatype} cannot hold {clip(value)!r}"
    return ""


def _can_hold(datatype: Datatype, value: str) -> bool:
    if datatype is Datatype.BYTES:
        return True
    if datatype is Datatype.BOOL:
        return value in _TRUTHS
    # Longer texts hold no integer of 64 bits, and very long ones are refused by `int`.
    if len(value) > 20 or not value.isascii() or not value.removeprefix("-").isdigit():
        return False
    least, greatest = INTEGER_BOUNDS[datatype]
    return str(int(value)) == value and least <= int(value) <= greatest
