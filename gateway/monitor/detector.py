"""Says whether live values left the reference, falsely no more often than one chooses.

An e-detector (J. Shin, A. Ramdas, A. Rinaldo, "E-detectors", New England Journal of Statistics in
Data Science 2 (2024), p. 229). For every bet, evidence is gathered look by look as a likelihood
ratio, and begins anew where it speaks for the reference. The ratio of a look has an expectation of
at most 1 whatever the true share is, up to the one tolerated. So the evidence of all bets adds, on
average, to no more than the number of looks, and the time to a false alarm is at least the average
run length, however features depend on each other. Pure, in plain floats.
"""

from array import array
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from math import exp, log
from operator import mul

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.monitor.bets import Rates, list_events, make_bets
from gateway.monitor.bursts import Blocks, Bursts, pool
from gateway.monitor.cells import Side
from gateway.monitor.events import list_groups
from gateway.monitor.layout import Layout

# Evidence is kept up to as far above an alarm, as a logarithm, so that it can fall back.
_HEADROOM = 2.0
_ENDED = 1.0  # evidence that says nothing

Summary = Sequence[int]


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a detector tells of one feature: that its values left the reference, or came back.

    `observed` is the share among the `rows` values from `since`, when the evidence began to rise,
    to `at`. `e_value` is kept below a limit. Where `has_ended`, all but it and `at` is as it was
    told before.
    """

    side: Side
    input: str
    column: int | None
    statistic: str
    expected: float
    observed: float
    rows: int
    since: datetime
    at: datetime
    e_value: float
    has_ended: bool = False


class Rise(Struct, frozen=True, array_like=True):
    """Evidence for a bet since it last began, as a logarithm above 0, and the counts behind it."""

    bet: int
    evidence: float
    happened: int
    total: int
    since: datetime


class State(Struct, frozen=True, forbid_unknown_fields=True):
    """All that a detector remembers from one look to the next; `State()` remembers nothing.

    `key` names the bets that the rest is about: a detector with others begins anew, and ends what
    was open. `open` has the findings told, by feature, `last` the last block of the looks so far.
    """

    key: str = ""
    rises: tuple[Rise, ...] = ()
    bursts: tuple[Bursts, ...] = ()
    last: tuple[int, ...] = ()
    open: dict[int, Finding] = {}


class Look(Struct, frozen=True):
    """What comes of a look: what to remember, what to tell, the evidence for each feature."""

    state: State
    findings: tuple[Finding, ...]
    e_values: tuple[float, ...]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(State)


def write_state(state: State) -> bytes:
    """Write a state as JSON."""
    return _ENCODER.encode(state)


def read_state(data: bytes) -> State:
    """Read what `write_state` wrote. Raises msgspec.ValidationError."""
    return _DECODER.decode(data)


class _Seen(Struct, frozen=True):
    """How often each event happened, among how many values, and what a value counts for."""

    happened: list[int]
    totals: list[int]
    weights: list[float]


class Detector:
    """The bets on one version, ready to look at summaries of its layout."""

    def __init__(
        self,
        layout: Layout,
        *,
        average_run_length: float,
        tolerance: float = 0.03,
        tolerances: Mapping[int, float] | None = None,
        missing_rates: Rates | None = None,
    ) -> None:
        """Make a detector that alarms falsely once in `average_run_length` looks, or less often.

        A share may be off by `tolerance`, or by what `tolerances` has for a feature, by its place
        in the layout, or by as much as the rows of the reference leave in doubt. A rate in
        `missing_rates`, by input and column, is tolerated in their place; the column None is for
        all of an input.
        """
        self._layout = layout
        self._groups = list_groups(layout)
        of_features = [tolerance] * len(layout.features)
        for feature, own in (tolerances or {}).items():
            of_features[feature] = own
        self._events = list_events(self._groups, layout, of_features, missing_rates or {})
        self.bets = make_bets(self._events)
        self._factors = [(bet.event, bet.gain, bet.cost) for bet in self.bets]
        self._alarm = len(layout.features) * average_run_length
        self._most = [log(self._alarm / bet.stake) + _HEADROOM for bet in self.bets]
        shares = [share for bet in self.bets for share in (bet.null, bet.alternative)]
        self._key = blake2b(array("d", shares).tobytes(), digest_size=8).hexdigest()

    def look(self, state: State, blocks: Sequence[Summary], since: datetime, at: datetime) -> Look:
        """Judge the rows that came from `since` to `at`.

        `blocks` are summaries of them, second by second in order: their sum is judged, and how they
        scatter says what a row counts for.
        """
        if state.key != self._key:
            state = State(bursts=tuple(map(Bursts.unmeasured, self._groups)), open=state.open)
        neighbours = pool(([state.last] if state.last else []) + list(blocks))
        bursts = self._learn(state.bursts, neighbours)
        seen = self._see(blocks, bursts)
        before = {rise.bet: rise for rise in state.rises}
        evidence = self._weigh(before, seen)
        rises = [
            self._rise(bet, weight, before.get(bet), seen, since)
            for bet, weight in enumerate(evidence)
            if weight > 0
        ]
        e_values = self._e_values(rises)
        told = self._ended(state.open, e_values, at)
        told |= self._found(state.open, rises, evidence, e_values, at)
        is_open = {
            i: finding for i, finding in (state.open | told).items() if not finding.has_ended
        }
        last = tuple(neighbours[-1]) if neighbours else ()
        after = State(self._key, tuple(rises), bursts, last, is_open)
        return Look(after, tuple(told.values()), tuple(e_values))

    def _learn(self, before: Sequence[Bursts], neighbours: Sequence[Summary]) -> tuple[Bursts, ...]:
        if len(neighbours) < 2:
            return tuple(before)
        blocks = Blocks(neighbours)
        pairs = zip(before, self._groups, strict=True)
        return tuple(bursts.learn(group, blocks) for bursts, group in pairs)

    def _see(self, blocks: Sequence[Summary], bursts: Sequence[Bursts]) -> _Seen:
        summary = list(map(sum, zip(*blocks, strict=True))) or self._layout.empty()
        seen = _Seen([], [], [])
        for group, burst in zip(self._groups, bursts, strict=True):
            total = group.total(summary)
            happened = group.happened(summary, total)
            weights = [1 / effect for effect in burst.of_events(group)]
            seen.happened.extend(happened)
            seen.totals.extend([total] * len(happened))
            seen.weights.extend(weights * 2 if group.is_two_sided else weights)
        return seen

    def _weigh(self, before: Mapping[int, Rise], seen: _Seen) -> list[float]:
        """Add the log factors of the look to the evidence for each bet."""
        evidence = [0.0] * len(self.bets)
        for bet, rise in before.items():
            evidence[bet] = rise.evidence
        happened = list(map(mul, seen.happened, seen.weights))
        totals = list(map(mul, seen.totals, seen.weights))
        return [
            so_far + happened[event] * gain + totals[event] * cost
            for so_far, (event, gain, cost) in zip(evidence, self._factors, strict=True)
        ]

    def _rise(
        self, bet: int, evidence: float, before: Rise | None, seen: _Seen, since: datetime
    ) -> Rise:
        """Keep what speaks for a bet, with the counts since it first did."""
        event = self.bets[bet].event
        happened, total = seen.happened[event], seen.totals[event]
        if before is not None:
            happened, total, since = happened + before.happened, total + before.total, before.since
        return Rise(bet, round(min(evidence, self._most[bet]), 6), happened, total, since)

    def _e_values(self, rises: Sequence[Rise]) -> list[float]:
        e_values = [0.0] * len(self._layout.features)
        for rise in rises:
            bet = self.bets[rise.bet]
            e_values[bet.feature] += bet.stake * exp(rise.evidence)
        return e_values

    def _ended(
        self, is_open: Mapping[int, Finding], e_values: Sequence[float], at: datetime
    ) -> dict[int, Finding]:
        return {
            feature: replace(finding, at=at, e_value=e_values[feature], has_ended=True)
            for feature, finding in is_open.items()
            if e_values[feature] < _ENDED
        }

    def _found(
        self,
        is_open: Mapping[int, Finding],
        rises: Sequence[Rise],
        evidence: Sequence[float],
        e_values: Sequence[float],
        at: datetime,
    ) -> dict[int, Finding]:
        """Tell of features by the bet of each that most speaks against the reference."""
        found = {}
        for feature, e_value in enumerate(e_values):
            if e_value >= self._alarm and feature not in is_open:
                own = [rise for rise in rises if self.bets[rise.bet].feature == feature]
                most = max(own, key=lambda rise: evidence[rise.bet] - self._most[rise.bet])
                found[feature] = self._finding(most, e_value, at)
        return found

    def _finding(self, rise: Rise, e_value: float, at: datetime) -> Finding:
        bet = self.bets[rise.bet]
        cells, event = self._layout.features[bet.feature], self._events[bet.event]
        return Finding(
            side=cells.side,
            input=cells.input,
            column=cells.column,
            statistic=event.words,
            expected=event.told(event.share),
            observed=event.told(rise.happened / rise.total),
            rows=rise.total,
            since=rise.since,
            at=at,
            e_value=e_value,
        )
