"""What a rule expects of a value, in words: those of a violation, of a terminal, of a page."""

import math
from collections.abc import Callable, Mapping, Sequence

from registry.errors import clip
from registry.manifest import Rule, RuleKind

_NAMED_CATEGORIES = 5  # how many categories are named before the rest is only counted
_LONGEST_CATEGORY = 24


def expected_in_words(rule: Rule) -> str:
    """Say what would meet a rule, as the end of "expected …" and of "… is".

    >>> from registry.manifest import Action
    >>> expected_in_words(Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, low=0.0))
    'at least 0'
    >>> expected_in_words(Rule(input="x", kind=RuleKind.LENGTH, action=Action.FLAG, high=3.0))
    'a text of at most 3 characters'
    """
    return _WORDS[rule.kind](rule)


def interval_in_words(low: float | None, high: float | None) -> str:
    """Name the sides of a range that are closed.

    >>> interval_in_words(0.0, None), interval_in_words(-1.5, 2.0)
    ('at least 0', 'between -1.5 and 2')
    """
    if low is None or low == -math.inf:
        return f"at most {_number(high)}"
    if high is None or high == math.inf:
        return f"at least {_number(low)}"
    return f"between {_number(low)} and {_number(high)}"


def _number(limit: float | None) -> str:
    return repr(float(math.inf if limit is None else limit)).removesuffix(".0")


def _categories(values: Sequence[str]) -> str:
    """Name the first few of the values, each clipped.

    >>> _categories(["AA", "AS"])
    'one of AA, AS'
    >>> _categories(["9E", "AA", "AS", "B6", "DL", "EV"])
    'one of 9E, AA, AS, B6, DL, … (6 values)'
    """
    named = ", ".join(clip(value, _LONGEST_CATEGORY) for value in values[:_NAMED_CATEGORIES])
    more = "" if len(values) <= _NAMED_CATEGORIES else f", … ({len(values)} values)"
    return f"one of {named}{more}"


_WORDS: Mapping[RuleKind, Callable[[Rule], str]] = {
    RuleKind.RANGE: lambda rule: interval_in_words(rule.low, rule.high),
    RuleKind.CATEGORIES: lambda rule: _categories(rule.values),
    RuleKind.MISSING: lambda _: "a value",
    RuleKind.INTEGER: lambda _: "a whole number",
    RuleKind.LENGTH: lambda rule: f"a text of {interval_in_words(rule.low, rule.high)} characters",
    RuleKind.PATTERN: lambda rule: f"a text that fits {clip(rule.pattern or '')}",
    RuleKind.JOINT: lambda rule: f"at a squared distance of at most {rule.high:.6g}",
    RuleKind.MISSING_RATE: lambda rule: f"missing in at most {rule.high:.6g} of a window",
    RuleKind.FINITE: lambda _: "a finite number",
}
