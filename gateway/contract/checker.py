"""The values of tensors against the rules of a contract.

A clean input costs a few numpy calls: the ranges of an input are folded into one low and one high
bound for each column. Only an input that is not clean is looked at more closely. The contract was
accepted by `registry.rules` when it was published, and is trusted here.

Bounds are rounded to the input's datatype as the caller's numbers were, so a number that lies in
the range before rounding does so afterwards. Categories of an integer input are compared as
integers, those of BOOL are `true` and `false`. Several ranges of one action on the same values ask
for their intersection. Every rule judges what the caller sent; repairs come after that.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.contract.joint import JointDistance
from gateway.contract.numbers import (
    Marker,
    in_columns,
    is_fractional,
    is_not_finite,
    leaves,
    marks_nothing,
    only_columns,
)
from gateway.contract.texts import (
    Breaks,
    allowed_values,
    breaks_categories,
    breaks_length,
    breaks_none,
    breaks_pattern,
    holds_only,
    is_empty,
    marks_each,
    pick,
)
from gateway.contract.violations import Violations, by_action
from gateway.protocol.refusal import MAX_VIOLATIONS, Violation
from registry.datatypes import FLOATS, Datatype
from registry.distribution import Reference
from registry.manifest import (
    REPAIRS,
    WHOLE_ROWS,
    Action,
    Contract,
    Rule,
    RuleKind,
    Signature,
    TensorSpec,
)
from registry.repairs import Repairs, fold
from registry.rules.words import expected_in_words, interval_in_words
from registry.tensors import Tensor

Screen = Callable[[Tensor], bool]


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
        return np.argwhere(self.marks(pick(tensor, self.column)))


class _Watch(Struct, frozen=True):
    """One input with rules: if all of `screens` hold, none of `tests` finds anything."""

    input: str
    screens: tuple[Screen, ...]
    tests: tuple[_Test, ...]


class _RowWatch(Struct, frozen=True):
    """The rules on whole rows, and the least of their bounds."""

    distance: JointDistance
    rules: tuple[Rule, ...]
    bound: float

    def is_clean(self, tensors: Mapping[str, Tensor]) -> bool:
        return self.distance.is_within(tensors, self.bound)


class Checker:
    """The rules on the tensors of one side of a version, ready to be held against them."""

    __slots__ = ("_repairs", "_rows", "_watches")

    def __init__(
        self,
        watches: Sequence[_Watch],
        rows: _RowWatch | None = None,
        repairs: Repairs | None = None,
    ) -> None:
        self._watches = tuple(watches)
        self._rows = rows
        self._repairs = repairs

    def is_clean(self, tensors: Mapping[str, Tensor]) -> bool:
        """Say whether decoded tensors, of one request or of many, break no rule at all."""
        for watch in self._watches:
            tensor = tensors[watch.input]
            for holds in watch.screens:
                if not holds(tensor):
                    return False
        return self._rows is None or self._rows.is_clean(tensors)

    def check(self, tensors: Mapping[str, Tensor]) -> Violations:
        """Find every rule that decoded tensors break, naming row and column of each value."""
        if self.is_clean(tensors):
            return Violations.NONE
        return _look_closely(self._watches, self._rows, tensors)

    def repair(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors as the rules that repair leave them."""
        return dict(tensors) if self._repairs is None else self._repairs.apply(tensors)


def compile_contract(
    signature: Signature, contract: Contract, reference: Reference | None = None
) -> Checker:
    """Make the checker of inputs, of a contract that `registry.rules.check_rules` accepts."""
    does_repair = any(rule.action in REPAIRS for rule in contract.rules)
    return Checker(
        _watches(signature.inputs, contract.rules),
        _row_watch(contract.rules, reference),
        Repairs(signature, contract) if does_repair else None,
    )


def compile_outputs(signature: Signature, contract: Contract) -> Checker:
    """Make the checker of outputs, of a contract that `registry.rules.check_rules` accepts."""
    return Checker(_watches(signature.outputs, contract.outputs))


def _watches(specs: Sequence[TensorSpec], rules: Sequence[Rule]) -> list[_Watch]:
    watches = [_watch(spec, [rule for rule in rules if rule.input == spec.name]) for spec in specs]
    return [watch for watch in watches if watch.tests]


def _row_watch(rules: Sequence[Rule], reference: Reference | None) -> _RowWatch | None:
    joint = tuple(rule for rule in rules if rule.kind is RuleKind.JOINT)
    if not joint or reference is None:
        return None
    bound = min(rule.high for rule in joint if rule.high is not None)
    return _RowWatch(JointDistance(reference), joint, bound)


def _look_closely(
    watches: Sequence[_Watch], rows: _RowWatch | None, tensors: Mapping[str, Tensor]
) -> Violations:
    found: dict[Action, list[Violation]] = {action: [] for action in Action}
    totals = dict.fromkeys(Action, 0)

    def add(action: Action, count: int, violations: Iterator[Violation]) -> None:
        totals[action] += count
        found[action].extend(islice(violations, MAX_VIOLATIONS - len(found[action])))

    for watch in watches:
        tensor = tensors[watch.input]
        for test in watch.tests:
            places = test.places(tensor)
            add(test.action, len(places), _violations(watch.input, test, tensor, places))
    if rows is not None:
        distances = rows.distance.squared(tensors)
        for rule in rows.rules:
            assert rule.high is not None
            far = np.flatnonzero(~(distances <= rule.high))
            add(rule.action, len(far), _far_rows(rule, far))
    return by_action(found, totals)


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


def _far_rows(rule: Rule, rows: NDArray[np.intp]) -> Iterator[Violation]:
    expected = expected_in_words(rule)
    for row in rows[:MAX_VIOLATIONS].tolist():
        yield Violation(input=WHOLE_ROWS, rule=rule.kind.value, expected=expected, row=row)


def _watch(spec: TensorSpec, rules: Sequence[Rule]) -> _Watch:
    tests: list[_Test] = []
    screens: list[Screen] = []
    ranges = [rule for rule in rules if rule.kind is RuleKind.RANGE]
    if ranges:
        screens.append(marks_nothing(leaves(spec, fold(spec, ranges))))
        tests.extend(_range_tests(spec, ranges))
    for rule in rules:
        if rule.kind is RuleKind.CATEGORIES:
            allowed = allowed_values(spec.datatype, rule.values)
            screens.append(holds_only(allowed, rule.column))
            tests.append(_test_each(rule, breaks_categories(allowed)))
        elif rule.kind in _BREAKS:
            breaks = _BREAKS[rule.kind](rule)
            screens.append(breaks_none(breaks, rule.column))
            tests.append(_test_each(rule, breaks))
    for kind, marker in _markers(spec):
        same = [rule for rule in rules if rule.kind is kind]
        if same:
            screens.append(marks_nothing(only_columns(spec, same, marker)))
            tests.extend(_marker_tests(spec, same, marker))
    return _Watch(spec.name, tuple(screens), tuple(tests))


# Kinds that are tested one value after the other.
_BREAKS: Mapping[RuleKind, Callable[[Rule], Breaks]] = {
    RuleKind.LENGTH: breaks_length,
    RuleKind.PATTERN: breaks_pattern,
}


def _test_each(rule: Rule, breaks: Breaks) -> _Test:
    expected = (expected_in_words(rule),)
    return _Test(rule.kind, rule.action, expected, marks_each(breaks), rule.column)


def _markers(spec: TensorSpec) -> Iterator[tuple[RuleKind, Marker]]:
    """Yield the kinds that expect the same of every value, and how they mark what breaks them."""
    if spec.datatype in FLOATS:
        yield RuleKind.MISSING, np.isnan
        yield RuleKind.INTEGER, is_fractional(spec)
        yield RuleKind.FINITE, is_not_finite
    elif spec.datatype is Datatype.BYTES:
        yield RuleKind.MISSING, marks_each(is_empty)


def _marker_tests(spec: TensorSpec, rules: Sequence[Rule], marker: Marker) -> Iterator[_Test]:
    for action, same in _by_action(rules):
        marks = in_columns(spec, same, marker)
        yield _Test(same[0].kind, action, (expected_in_words(same[0]),), marks)


def _by_action(rules: Sequence[Rule]) -> Iterator[tuple[Action, list[Rule]]]:
    for action in Action:
        same = [rule for rule in rules if rule.action is action]
        if same:
            yield action, same


def _range_tests(spec: TensorSpec, ranges: Sequence[Rule]) -> Iterator[_Test]:
    for action, same in _by_action(ranges):
        intervals = fold(spec, same)
        expected = tuple(interval_in_words(*interval) for interval in intervals)
        yield _Test(RuleKind.RANGE, action, expected, leaves(spec, intervals))
