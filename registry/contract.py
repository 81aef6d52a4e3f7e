"""Rules on the values of a request: derived from a reference, then sharpened by the publisher."""

from math import isfinite

from msgspec.structs import replace

from registry.distribution import Categorical, Feature, Numeric, Reference
from registry.errors import Rejected, clip
from registry.manifest import Action, Contract, Rule, RuleKind
from registry.reference import quantile

# How far beyond the range of training a value may lie, in interquartile ranges.
MARGIN_IQR = 0.5


def derive_contract(reference: Reference) -> Contract:
    """Derive the rules that training rows meet, none of which refuses a request.

    Numbers: flag what lies more than half an interquartile range outside the range of training.
    Texts: flag what training never saw, where every text of training is known by name. Missing
    values are observed. Quantile fences and z-scores are left out: they flag many clean rows.
    """
    rules = [rule for feature in reference.features for rule in _rules(feature)]
    return Contract(rules=tuple(rules))


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
    return Contract(rules=tuple(rules))


def with_rule(contract: Contract, rule: Rule) -> Contract:
    """Add a rule of the publisher's own, in place of one of its kind on the same values."""
    kept = [
        other
        for other in contract.rules
        if (other.input, other.kind, other.column) != (rule.input, rule.kind, rule.column)
    ]
    return Contract(rules=(*kept, rule))


def _rules(feature: Feature) -> list[Rule]:
    rules = []
    distribution = feature.distribution
    if isinstance(distribution, Numeric):
        rules.append(_range(feature, distribution))
    elif isinstance(distribution, Categorical) and distribution.other == 0:
        rules.append(
            Rule(
                input=feature.input,
                column=feature.column,
                kind=RuleKind.CATEGORIES,
                action=Action.FLAG,
                values=distribution.values,
            )
        )
    rules.append(
        Rule(
            input=feature.input,
            column=feature.column,
            kind=RuleKind.MISSING,
            action=Action.OBSERVE,
        )
    )
    return rules


def _range(feature: Feature, numeric: Numeric) -> Rule:
    margin = MARGIN_IQR * (quantile(numeric, 0.75) - quantile(numeric, 0.25))
    low, high = numeric.minimum - margin, numeric.maximum + margin
    return Rule(
        input=feature.input,
        column=feature.column,
        kind=RuleKind.RANGE,
        action=Action.FLAG,
        low=low if isfinite(low) else None,
        high=high if isfinite(high) else None,
    )
