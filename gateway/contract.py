"""The values of a request against the contract of a version.

A clean input costs a few numpy calls: the ranges of an input are folded into one low and one high
bound for each column. Only an input that is not clean is looked at more closely. The contract was
accepted by `registry.rules` when it was published, and is trusted here.

Bounds are rounded to the input's datatype as the caller's numbers were, so a number that lies in
the range before rounding does so afterwards. Categories of an integer input are compared as
integers, those of BOOL are `true` and `false`. Several ranges of one action on the same values ask
for their intersection.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.protocol.refusal import MAX_VIOLATIONS, Violation
from registry.datatypes import FLOATS, Datatype
from registry.errors import clip
from registry.manifest import Action, Contract, Rule, RuleKind, Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor

Mask = NDArray[np.bool_]
Marker = Callable[[Tensor], Mask]
Interval = tuple[float, float]

_NAMED_CATEGORIES = 5  # how many categories a violation names before it only counts them
_LONGEST_CATEGORY = 24


class Findings(Struct, frozen=True):
    """What a request broke, by the action of the rule: at most `MAX_VIOLATIONS` of each.

    The totals count all. `Findings.NONE` is what a clean request gets.
    """

    rejected: tuple[Violation, ...] = ()
    flagged: tuple[Violation, ...] = ()
    observed: tuple[Violation, ...] = ()
    rejected_total: int = 0
    flagged_total: int = 0
    observed_total: int = 0

    NONE: ClassVar["Findings"]


Findings.NONE = Findings()


class _Test(Struct, frozen=True):
    """Rules of one kind and action on one input: `marks` finds the elements that break them.

    `column` is the one the test looks at, None for all. `expected` has one text, or one for each
    column.
    """

    kind: RuleKind
    action: Action
    expected: tuple[str, ...]
    marks: Marker
    column: int | None = None

    def places(self, tensor: Tensor) -> NDArray[np.intp]:
        """Return the index of each element that breaks the rules, one per line."""
        return np.argwhere(self.marks(_pick(tensor, self.column)))


class _Watch(Struct, frozen=True):
    """One input with rules: if all of `screens` hold, none of `tests` finds anything."""

    input: str
    screens: tuple[Callable[[Tensor], bool], ...]
    tests: tuple[_Test, ...]


class Checker:
    """The contract of one version, ready to be held against requests."""

    __slots__ = ("_watches",)

    def __init__(self, watches: Sequence[_Watch]) -> None:
        self._watches = tuple(watches)

    def is_clean(self, tensors: Mapping[str, Tensor]) -> bool:
        """Say whether decoded tensors, of one request or of many, break no rule at all."""
        for watch in self._watches:
            tensor = tensors[watch.input]
            for holds in watch.screens:
                if not holds(tensor):
                    return False
        return True

    def check(self, tensors: Mapping[str, Tensor]) -> Findings:
        """Find every rule that decoded tensors break, naming row and column of each value."""
        if self.is_clean(tensors):
            return Findings.NONE
        return _look_closely(self._watches, tensors)


def compile_contract(signature: Signature, contract: Contract) -> Checker:
    """Make the checker of a contract that `registry.rules.check_rules` accepts."""
    watches = [
        _watch(spec, [rule for rule in contract.rules if rule.input == spec.name])
        for spec in signature.inputs
    ]
    return Checker([watch for watch in watches if watch.tests])


def _look_closely(watches: Sequence[_Watch], tensors: Mapping[str, Tensor]) -> Findings:
    violations: dict[Action, list[Violation]] = {action: [] for action in Action}
    totals = dict.fromkeys(Action, 0)
    for watch in watches:
        tensor = tensors[watch.input]
        for test in watch.tests:
            places = test.places(tensor)
            listed = violations[test.action]
            totals[test.action] += len(places)
            found = _violations(watch.input, test, tensor, places)
            listed.extend(islice(found, MAX_VIOLATIONS - len(listed)))
    return Findings(
        rejected=tuple(violations[Action.REJECT]),
        flagged=tuple(violations[Action.FLAG]),
        observed=tuple(violations[Action.OBSERVE]),
        rejected_total=totals[Action.REJECT],
        flagged_total=totals[Action.FLAG],
        observed_total=totals[Action.OBSERVE],
    )


def _violations(
    name: str, test: _Test, tensor: Tensor, places: NDArray[np.intp]
) -> Iterator[Violation]:
    by_column = len(test.expected) > 1
    has_columns = test.column is None and tensor.ndim > 1 and tensor.shape[-1] > 1
    for place in places[:MAX_VIOLATIONS].tolist():
        yield Violation(
            input=name,
            rule=test.kind.value,
            expected=test.expected[place[-1] if by_column else 0],
            row=place[0] if place else None,
            column=place[-1] if has_columns else test.column,
        )


def _watch(spec: TensorSpec, rules: Sequence[Rule]) -> _Watch:
    tests: list[_Test] = []
    screens: list[Callable[[Tensor], bool]] = []
    ranges = [rule for rule in rules if rule.kind is RuleKind.RANGE]
    if ranges:
        screens.append(_marks_nothing(_leaves(spec, _fold(spec, ranges))))
        tests.extend(_range_tests(spec, ranges))
    for rule in rules:
        if rule.kind is RuleKind.CATEGORIES:
            tests.append(_category_test(spec, rule))
            screens.append(_holds_only(_allowed(spec.datatype, rule.values), rule.column))
    missing = [rule for rule in rules if rule.kind is RuleKind.MISSING]
    if missing and (spec.datatype in FLOATS or spec.datatype is Datatype.BYTES):
        screens.append(_marks_nothing(_lacks(spec, missing)))
        for action, same in _by_action(missing):
            tests.append(_Test(RuleKind.MISSING, action, ("a value",), _lacks(spec, same)))
    return _Watch(spec.name, tuple(screens), tuple(tests))


def _by_action(rules: Sequence[Rule]) -> Iterator[tuple[Action, list[Rule]]]:
    for action in Action:
        same = [rule for rule in rules if rule.action is action]
        if same:
            yield action, same


def _marks_nothing(marks: Marker) -> Callable[[Tensor], bool]:
    return lambda tensor: not np.count_nonzero(marks(tensor))


def _pick(tensor: Tensor, column: int | None) -> Tensor:
    picked: Tensor = tensor if column is None else tensor[..., column]
    return picked


def _range_tests(spec: TensorSpec, ranges: Sequence[Rule]) -> Iterator[_Test]:
    for action, same in _by_action(ranges):
        intervals = _fold(spec, same)
        expected = tuple(_interval_text(interval) for interval in intervals)
        yield _Test(RuleKind.RANGE, action, expected, _leaves(spec, intervals))


def _fold(spec: TensorSpec, ranges: Sequence[Rule]) -> list[Interval]:
    """Intersect the ranges of an input: one interval for all values, or one for each column."""
    by_column = any(rule.column is not None for rule in ranges)
    intervals = [(-math.inf, math.inf)] * (spec.shape[-1] if by_column else 1)
    for rule in ranges:
        columns = range(len(intervals)) if rule.column is None else (rule.column,)
        for column in columns:
            low, high = intervals[column]
            least = low if rule.low is None else max(low, rule.low)
            most = high if rule.high is None else min(high, rule.high)
            intervals[column] = least, most
    return intervals


def _leaves(spec: TensorSpec, intervals: Sequence[Interval]) -> Marker:
    """Mark the values outside of the intervals; NaN compares false, so it is never marked."""
    bounds = [_bounds(spec.datatype, interval) for interval in intervals]
    numpy_type = NUMPY_TYPES[spec.datatype]
    low = np.array([least for least, _ in bounds], numpy_type)
    high = np.array([most for _, most in bounds], numpy_type)
    if len(bounds) == 1:  # without a dimension of its own, so that the mask has the tensor's shape
        low, high = low.reshape(()), high.reshape(())
    if spec.datatype is Datatype.BF16:  # whose own comparisons warn of NaN
        wide = NUMPY_TYPES[Datatype.FP32]
        low, high = low.astype(wide), high.astype(wide)
        return lambda tensor: (tensor.astype(wide) < low) | (tensor.astype(wide) > high)
    return lambda tensor: (tensor < low) | (tensor > high)


def _bounds(datatype: Datatype, interval: Interval) -> tuple[Any, Any]:
    """Express an interval in a datatype; where it holds no value, the bounds cross."""
    low, high = interval
    numpy_type = NUMPY_TYPES[datatype]
    if datatype in FLOATS:
        with np.errstate(over="ignore"):  # a bound beyond the datatype is infinite
            return np.array(low).astype(numpy_type), np.array(high).astype(numpy_type)
    limits = np.iinfo(numpy_type)
    least = limits.min if low <= limits.min else math.ceil(min(low, limits.max + 1))
    most = limits.max if high >= limits.max else math.floor(max(high, limits.min - 1))
    if least > limits.max or most < limits.min:
        return limits.max, limits.min
    return least, most


def _lacks(spec: TensorSpec, rules: Sequence[Rule]) -> Marker:
    """Mark the missing values in the columns of the rules."""
    is_missing = np.isnan if spec.datatype in FLOATS else _are_empty
    columns = [rule.column for rule in rules if rule.column is not None]
    if len(columns) < len(rules):  # some rule is for every column
        return is_missing
    watched = np.zeros(spec.shape[-1], np.bool_)
    watched[columns] = True
    return lambda tensor: is_missing(tensor) & watched


def _are_empty(tensor: Tensor) -> Mask:
    marks = [not text for text in tensor.ravel().tolist()]
    return np.array(marks, np.bool_).reshape(tensor.shape)


def _category_test(spec: TensorSpec, rule: Rule) -> _Test:
    allowed = _allowed(spec.datatype, rule.values)

    def marks(tensor: Tensor) -> Mask:
        found = [value not in allowed for value in np.ravel(tensor).tolist()]
        return np.array(found, np.bool_).reshape(np.shape(tensor))

    expected = (_categories_text(rule.values),)
    return _Test(RuleKind.CATEGORIES, rule.action, expected, marks, rule.column)


def _holds_only(allowed: frozenset[Any], column: int | None) -> Callable[[Tensor], bool]:
    return lambda tensor: allowed.issuperset(_pick(tensor, column).ravel().tolist())


def _allowed(datatype: Datatype, values: Sequence[str]) -> frozenset[Any]:
    if datatype is Datatype.BOOL:
        return frozenset(value == "true" for value in values)
    if datatype is not Datatype.BYTES:
        return frozenset(int(value) for value in values)
    texts = {"", *values}  # an empty text is a missing value, which breaks no category
    return frozenset(texts | {text.encode() for text in texts})


def _interval_text(interval: Interval) -> str:
    low, high = (repr(float(limit)).removesuffix(".0") for limit in interval)
    if low == "-inf":
        return f"at most {high}"
    return f"at least {low}" if high == "inf" else f"between {low} and {high}"


def _categories_text(values: Sequence[str]) -> str:
    """Name the first few of the values, each clipped.

    >>> _categories_text(["AA", "AS"])
    'one of AA, AS'
    >>> _categories_text(["9E", "AA", "AS", "B6", "DL", "EV"])
    'one of 9E, AA, AS, B6, DL, … (6 values)'
    """
    named = ", ".join(clip(value, _LONGEST_CATEGORY) for value in values[:_NAMED_CATEGORIES])
    more = "" if len(values) <= _NAMED_CATEGORIES else f", … ({len(values)} values)"
    return f"one of {named}{more}"
