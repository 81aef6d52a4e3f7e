"""Whether a rule has what its kind needs and no more, whatever it is held against."""

import math
from collections.abc import Mapping

from msgspec import Struct

from registry.manifest import Action, Contract, Rule, RuleKind

_LONGEST_WARM_UP_S = 366 * 86_400.0
_SIMPLE = frozenset({Action.REJECT, Action.FLAG, Action.OBSERVE})
_WATCHING = frozenset({Action.FLAG, Action.OBSERVE})

# The kinds of rules on inputs, and what each may do; those on outputs.
INPUT_ACTIONS: Mapping[RuleKind, frozenset[Action]] = {
    RuleKind.RANGE: _SIMPLE | {Action.CLIP},
    RuleKind.CATEGORIES: _SIMPLE,
    RuleKind.MISSING: _SIMPLE | {Action.IMPUTE},
    RuleKind.INTEGER: _SIMPLE,
    RuleKind.LENGTH: _SIMPLE,
    RuleKind.PATTERN: _SIMPLE,
    RuleKind.JOINT: _WATCHING,
    RuleKind.MISSING_RATE: frozenset({Action.OBSERVE}),
}
OUTPUT_ACTIONS: Mapping[RuleKind, frozenset[Action]] = {
    RuleKind.FINITE: _SIMPLE,
    RuleKind.RANGE: _SIMPLE,
    RuleKind.CATEGORIES: _SIMPLE,
}
# What each kind needs beside input, kind, action and column; of `low` and `high` one is enough.
_MEMBERS: Mapping[RuleKind, frozenset[str]] = {
    RuleKind.RANGE: frozenset({"low", "high"}),
    RuleKind.LENGTH: frozenset({"low", "high"}),
    RuleKind.CATEGORIES: frozenset({"values"}),
    RuleKind.PATTERN: frozenset({"pattern"}),
    RuleKind.JOINT: frozenset({"high"}),
    RuleKind.MISSING_RATE: frozenset({"high"}),
}


class Fault(Struct, frozen=True):
    """What is wrong with a rule, and the member that is to blame, if it is one."""

    text: str
    member: str | None = None


def settings_fault(contract: Contract) -> Fault | None:
    if not 0 <= contract.warm_up_s <= _LONGEST_WARM_UP_S:
        return Fault("`warm_up_s` must be seconds from 0 to those of a year", "warm_up_s")
    cap = contract.refusal_cap
    if cap is not None and not 0 < cap <= 1:
        return Fault("`refusal_cap` must be a share above 0, at most 1", "refusal_cap")
    return None


def form_fault(
    rule: Rule, actions: Mapping[RuleKind, frozenset[Action]], what: str
) -> Fault | None:
    """Find an action or a member that belongs to another kind of rule, or that the kind lacks."""
    if rule.kind not in actions:
        return Fault(f"there is no such rule on an {what}", "kind")
    allowed = actions[rule.kind]
    if rule.action not in allowed:
        named = ", ".join(action for action in Action if action in allowed)
        return Fault(f"the action may be {named}, not {rule.action}", "action")
    return _members_fault(rule) or _limits_fault(rule)


def _members_fault(rule: Rule) -> Fault | None:
    needed = _MEMBERS.get(rule.kind, frozenset())
    if rule.action is Action.IMPUTE:
        needed = needed | {"value"}
    given = {
        name for name in ("low", "high", "pattern", "value") if getattr(rule, name) is not None
    }
    if rule.values:
        given.add("values")
    for name in sorted(given - needed):
        return Fault(f"`{name}` belongs to another kind of rule", name)
    if needed and not given:
        named = " or ".join(f"`{name}`" for name in sorted(needed, reverse=True))
        return Fault(
            f"it needs {named}, at least one" if "values" in needed else f"it needs {named}"
        )
    return None


def _limits_fault(rule: Rule) -> Fault | None:
    for name in ("low", "high"):
        limit = getattr(rule, name)
        if limit is not None and not math.isfinite(limit):
            return Fault(f"`{name}` must be finite; leave it out to open that side", name)
    if rule.low is not None and rule.high is not None and rule.low > rule.high:
        return Fault(f"`low` ({rule.low:g}) is above `high` ({rule.high:g})", "low")
    if rule.kind is RuleKind.LENGTH and (rule.high or 0) < 0:
        return Fault("no text has fewer characters than none", "high")
    if rule.kind is RuleKind.JOINT and (rule.high or 0) <= 0:
        return Fault("`high` must be above 0", "high")
    if rule.kind is RuleKind.MISSING_RATE and not 0 <= (rule.high or 0) <= 1:
        return Fault("`high` must be a share from 0 to 1", "high")
    return None
