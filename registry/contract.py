"""Rules on the values of a request: derived from a reference, then sharpened by the publisher."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from msgspec.structs import replace

from registry.datatypes import FLOATS, Datatype
from registry.distribution import Categorical, Discrete, Feature, Numeric, Reference
from registry.errors import Rejected, clip
from registry.manifest import (
    DERIVED_WARM_UP_S,
    WHOLE_ROWS,
    Action,
    Contract,
    Rule,
    RuleKind,
    Signature,
)
from registry.reference import quantile

# How far beyond the range of training a value may lie, in interquartile ranges.
MARGIN_IQR = 0.5
# Which of the stored quantiles of joint distances a row may reach: the .999 one.
_FARTHEST = 3


def derive_contract(reference: Reference, signature: Signature) -> Contract:
    """Derive the rules that training rows meet, none of which refuses a request.

    Numbers: flag what lies more than half an interquartile range outside the range of training, and
    fractions where training had whole numbers alone. Integers of few values, and texts that are all
    known by name: flag what training never saw. Rows: flag the ones farther from the middle than
    999 of 1,000 of training. Missing values are observed. Quantile fences and z-scores of single
    values are left out, since they flag many clean rows; so are missing rates, whose usual
    tolerance is that of the drift detectors. For an hour after they are first live, all only
    observe.
    """
    datatypes = {spec.name: spec.datatype for spec in signature.inputs}
    rules = [rule for one in reference.features for rule in _rules(one, datatypes)]
    if reference.joint is not None:
        high = reference.joint.edges[_FARTHEST]
        rules.append(Rule(input=WHOLE_ROWS, kind=RuleKind.JOINT, action=Action.FLAG, high=high))
    return Contract(rules=tuple(rules), warm_up_s=DERIVED_WARM_UP_S)


def with_action(
    contract: Contract, input_name: str, kind: RuleKind, action: Action, column: int | None = None
) -> Contract:
    """Give another action to the rules of one kind on one input, or on one of its columns.

    Raises Rejected("contract") where the contract has no such rule.
    """
    chosen = [
        rule.input == input_name and rule.kind is kind and column in (None, rule.column)
        for rule in contract.rules
    ]
    if not any(chosen):
        where = clip(input_name) if column is None else f"{clip(input_name)}[{column}]"
        raise Rejected("contract", f"The contract has no rule {kind} for {where!r}.")
    rules = [
        replace(rule, action=action) if hit else rule
        for rule, hit in zip(contract.rules, chosen, strict=True)
    ]
    return replace(contract, rules=tuple(rules))


def with_rule(contract: Contract, rule: Rule) -> Contract:
    """Add a rule of the publisher's own, in place of one of its kind on the same values."""
    kept = [
        other
        for other in contract.rules
        if (other.input, other.kind, other.column) != (rule.input, rule.kind, rule.column)
    ]
    return replace(contract, rules=(*kept, rule))


def _rules(feature: Feature, datatypes: Mapping[str, Datatype]) -> list[Rule]:
    rules = [*_value_rules(feature, datatypes.get(feature.input))]
    rules.append(_rule(feature, RuleKind.MISSING, Action.OBSERVE))
    return rules


def _value_rules(feature: Feature, datatype: Datatype | None) -> Sequence[Rule]:
    found = feature.distribution
    if datatype is Datatype.BOOL:
        return []
    if isinstance(found, Numeric):
        return [_range(feature, found), *(_integer(feature, datatype) if found.is_integer else [])]
    if isinstance(found, Discrete) and datatype in FLOATS:
        return [_range(feature, found), *_integer(feature, datatype)]
    if isinstance(found, Discrete):
        return [_categories(feature, tuple(map(str, found.values)))]
    if isinstance(found, Categorical) and found.other == 0:
        return [_categories(feature, found.values)]
    return []


def _range(feature: Feature, found: Numeric | Discrete) -> Rule:
    margin = MARGIN_IQR * (quantile(found, 0.75) - quantile(found, 0.25))
    low, high = quantile(found, 0) - margin, quantile(found, 1) + margin
    return _rule(
        feature,
        RuleKind.RANGE,
        Action.FLAG,
        low=low if isfinite(low) else None,
        high=high if isfinite(high) else None,
    )


def _integer(feature: Feature, datatype: Datatype | None) -> list[Rule]:
    return [_rule(feature, RuleKind.INTEGER, Action.FLAG)] if datatype in FLOATS else []


def _categories(feature: Feature, values: tuple[str, ...]) -> Rule:
    return _rule(feature, RuleKind.CATEGORIES, Action.FLAG, values=values)


def _rule(feature: Feature, kind: RuleKind, action: Action, **members: Any) -> Rule:
    return Rule(input=feature.input, column=feature.column, kind=kind, action=action, **members)
