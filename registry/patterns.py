"""Regular expressions of contracts: written as Python's, matched in one pass over the text.

Python's own matcher tries the ways in which a pattern can fit one after the other, and a few
letters of a caller's can make that last for hours. Here all of them are followed at once: a pattern
becomes positions, each with the characters that it takes and the positions that may follow
(Glushkov's automaton), and the sets of positions that were reached together are kept, so that a
character mostly costs one look into a dictionary.

What needs more than that is refused: flags, looking around, references back to a group, possessive
repeats. Anchors are refused too: a text must fit as a whole in any case.
"""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

MOST_POSITIONS = 500
_LONGEST = 1_000
_MOST_SEQUENCES = 4 * MOST_POSITIONS
_MOST_KEPT = 10_000
_ENDLESS = 1 << 31

_Test = Callable[[str], bool]

# Python's reading of a pattern has no public name, and alone is sure to agree with `re`.
_parse = import_module("re._parser").parse
_CATEGORIES: dict[str, _Test] = {
    "CATEGORY_DIGIT": str.isdecimal,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_WORD": lambda character: character.isalnum() or character == "_",
}


class BadPattern(Exception):
    """Why a pattern cannot be a rule, as the end of a sentence."""


class _State(dict[str, "_State"]):
    """Positions that were reached together, and the states that characters lead to from them."""

    __slots__ = ("_pattern", "accepts", "positions")

    def __init__(self, pattern: "Pattern", positions: int, *, accepts: bool) -> None:
        self._pattern = pattern
        self.positions = positions
        self.accepts = accepts

    def __missing__(self, character: str) -> "_State":
        return self._pattern.advance(self, character)


class Pattern:
    """A regular expression that whole texts fit or do not, in time linear in their length.

    >>> Pattern("[A-Z]{2}[0-9]+").fits("AA100")
    True

    Raises BadPattern.
    """

    def __init__(self, pattern: str) -> None:
        glushkov = _Positions()
        nullable, first, last = glushkov.read(pattern)
        # Position 0 is where every text begins; it takes no character.
        self._tests, self._follow = glushkov.tests, glushkov.follow
        self._follow[0] = first
        self._last = last | nullable
        self._states: dict[int, _State] = {}
        self._kept = 0
        self._start = self._state(1)

    def fits(self, text: str) -> bool:
        """Say whether the whole text fits."""
        state = self._start
        for character in text:
            state = state[character]
        return state.accepts

    def advance(self, state: _State, character: str) -> _State:
        """Find the state that a character leads to, and keep it for the next time."""
        reached = 0
        for position in _bits(state.positions):
            reached |= self._follow[position]
        taken = 0
        for position in _bits(reached):
            if self._tests[position](character):
                taken |= 1 << position
        if self._kept >= _MOST_KEPT:
            self._forget()
        self._kept += 1
        following = state[character] = self._state(taken)
        return following

    def _state(self, positions: int) -> _State:
        found = self._states.get(positions)
        if found is None:
            accepts = bool(positions & self._last)
            found = self._states[positions] = _State(self, positions, accepts=accepts)
        return found

    def _forget(self) -> None:
        for state in self._states.values():
            state.clear()
        self._states = {1: self._start}
        self._kept = 0


_Fragment = tuple[bool, int, int]  # whether it fits the empty text, its first and last positions


class _Positions:
    """The positions of a pattern as it is read: what each takes, and what may follow it."""

    def __init__(self) -> None:
        self.tests: list[_Test] = [lambda _: False]
        self.follow = [0]
        self._sequences = 0

    def read(self, pattern: str) -> _Fragment:
        if len(pattern) > _LONGEST:
            raise BadPattern(f"it has more than {_LONGEST:,} characters")
        try:
            items = _parse(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise BadPattern(f"it is no regular expression: {error}") from error
        if items.state.flags & ~re.UNICODE:
            raise BadPattern("flags are not allowed")
        return self._sequence(items)

    def _sequence(self, items: Any) -> _Fragment:
        self._sequences += 1
        if self._sequences > _MOST_SEQUENCES:
            raise BadPattern("its repeats stand within repeats too often")
        whole: _Fragment = (True, 0, 0)
        for operation, argument in items:
            whole = self._join(whole, self._item(str(operation), argument))
        return whole

    def _item(self, operation: str, argument: Any) -> _Fragment:
        if operation == "SUBPATTERN":
            _, added, removed, items = argument
            if added or removed:
                raise BadPattern("flags are not allowed")
            return self._sequence(items)
        if operation == "BRANCH":
            nullables, firsts, lasts = zip(*map(self._sequence, argument[1]), strict=True)
            return any(nullables), _union(firsts), _union(lasts)
        if operation in ("MAX_REPEAT", "MIN_REPEAT"):
            return self._repeat(*argument)
        return self._position(_test(operation, argument))

    def _position(self, test: _Test) -> _Fragment:
        if len(self.tests) > MOST_POSITIONS:
            raise BadPattern(
                f"with its repeats written out it has more than {MOST_POSITIONS} characters"
            )
        self.tests.append(test)
        self.follow.append(0)
        own = 1 << len(self.tests) - 1
        return False, own, own

    def _join(self, before: _Fragment, after: _Fragment) -> _Fragment:
        for position in _bits(before[2]):
            self.follow[position] |= after[1]
        return (
            before[0] and after[0],
            before[1] | (after[1] if before[0] else 0),
            after[2] | (before[2] if after[0] else 0),
        )

    def _repeat(self, least: int, most: int, items: Any) -> _Fragment:
        if MOST_POSITIONS < most < _ENDLESS or least > MOST_POSITIONS:
            raise BadPattern(f"a repeat has an end beyond {MOST_POSITIONS}")
        whole: _Fragment = (True, 0, 0)
        for _ in range(least):
            whole = self._join(whole, self._sequence(items))
        for _ in range(1 if most >= _ENDLESS else most - least):
            _, first, last = self._sequence(items)
            if most >= _ENDLESS:
                self._join((False, 0, last), (False, first, 0))
            whole = self._join(whole, (True, first, last))
        return whole


def _test(operation: str, argument: Any) -> _Test:
    """Make the test of one character."""
    if operation == "ANY":
        return lambda character: character != "\n"
    if operation == "LITERAL":
        wanted = chr(argument)
        return lambda character: character == wanted
    if operation == "NOT_LITERAL":
        unwanted = chr(argument)
        return lambda character: character != unwanted
    if operation == "IN":
        return _class(argument)
    raise BadPattern(
        "anchors, looking around, references to a group and possessive repeats are not allowed"
    )


def _class(items: Any) -> _Test:
    is_negated = str(items[0][0]) == "NEGATE"
    tests = [_member(str(kind), argument) for kind, argument in items[is_negated:]]
    return lambda character: any(test(character) for test in tests) is not is_negated


def _member(kind: str, argument: Any) -> _Test:
    if kind == "RANGE":
        low, high = map(chr, argument)
        return lambda character: low <= character <= high
    if kind == "CATEGORY":
        name = str(argument)
        found = _CATEGORIES[name.replace("_NOT_", "_")]
        return found if "_NOT_" not in name else lambda character: not found(character)
    return _test(kind, argument)


def _bits(positions: int) -> Iterator[int]:
    while positions:
        lowest = positions & -positions
        yield lowest.bit_length() - 1
        positions ^= lowest


def _union(sets: tuple[int, ...]) -> int:
    whole = 0
    for one in sets:
        whole |= one
    return whole
