"""Whether two rules of a contract can be met at once."""

from collections.abc import Sequence

from registry.manifest import Action, Rule, RuleKind, TensorSpec
from registry.rules.form import Fault
from registry.rules.tensors import is_empty

Numbered = tuple[int, Rule]


def contradiction(rule: Rule, earlier: Sequence[Numbered], spec: TensorSpec | None) -> Fault | None:
    """Find an earlier rule on the same tensor that no value can meet together with this one."""
    if spec is None:
        return None
    for number, other in earlier:
        is_apart = None not in (rule.column, other.column) and rule.column != other.column
        if not is_apart and (
            _exclude(rule, other, spec) or _undo(rule, other) or _undo(other, rule)
        ):
            return Fault(f"it contradicts rule {number}")
    return None


def _exclude(rule: Rule, other: Rule, spec: TensorSpec) -> bool:
    """Say whether what one rule lets pass the other does not."""
    if rule.kind is not other.kind:
        return False
    if rule.kind is RuleKind.CATEGORIES:
        return set(rule.values).isdisjoint(other.values)
    if rule.kind not in (RuleKind.RANGE, RuleKind.LENGTH):
        return False
    lows = [one.low for one in (rule, other) if one.low is not None]
    highs = [one.high for one in (rule, other) if one.high is not None]
    return is_empty(max(lows, default=None), min(highs, default=None), spec)


def _undo(rule: Rule, other: Rule) -> bool:
    """Say whether what a rule imputes breaks the other, or is imputed by it already."""
    value = rule.value
    if rule.action is not Action.IMPUTE or value is None:
        return False
    if other.action is Action.IMPUTE:
        return True
    if isinstance(value, str):
        return other.kind is RuleKind.CATEGORIES and value not in other.values
    if other.kind is RuleKind.INTEGER:
        return not value.is_integer()
    is_below = other.low is not None and value < other.low
    is_above = other.high is not None and value > other.high
    return other.kind is RuleKind.RANGE and (is_below or is_above)
