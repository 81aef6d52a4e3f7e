"""The bets of a detector: that the share of an event grew by a step beyond what is tolerated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, sqrt

from msgspec import Struct

from gateway.monitor.cells import Side
from gateway.monitor.events import Group, Kind
from gateway.monitor.layout import Layout

STEPS = (0.02, 0.05, 0.1, 0.2)
# The probability that some share of the reference lies further from the true one than tolerated.
_DOUBT = 0.01

# How a feature's stake is shared by what events are about.
_STAKES = {Kind.EDGE: 0.4, Kind.BIN: 0.4, Kind.COUNT: 0.2}

Rates = Mapping[tuple[str, int | None], float]


class Event(Struct, frozen=True):
    """One event of a group: its share in the reference, and the greatest that is tolerated."""

    group: Group
    number: int
    share: float
    tolerated: float

    @property
    def _is_opposite(self) -> bool:
        return self.number >= self.group.bases

    @property
    def _is_told_reversed(self) -> bool:
        """That fewer values are in a bin is said of the bin."""
        return self.group.kind is Kind.BIN and self._is_opposite

    @property
    def words(self) -> str:
        """Say in words what `told` gives the share of."""
        return self.group.words(self.number % self.group.bases, opposite=self._is_opposite)

    def told(self, share: float) -> float:
        """Turn a share of the event into that which is told."""
        return 1 - share if self._is_told_reversed else share


class Bet(Struct, frozen=True):
    """That an event, by its place in a list, has a share of `alternative`: not `null`, nor less.

    Of the logarithm of the likelihood ratio, each value that the event happened to adds `gain`, and
    each value adds `cost`, which is negative. `stake` is the part of the feature's stake.
    """

    event: int
    feature: int
    null: float
    alternative: float
    stake: float

    @property
    def cost(self) -> float:
        return log((1 - self.alternative) / (1 - self.null))

    @property
    def gain(self) -> float:
        return log(self.alternative / self.null) - self.cost


def list_events(
    groups: Sequence[Group],
    layout: Layout,
    tolerances: Sequence[float],
    missing_rates: Rates,
) -> list[Event]:
    """List the events of all groups, one group after the other; `tolerances` are by feature."""
    events = []
    for group in groups:
        total = group.total(layout.reference)
        allowed = max(tolerances[group.feature], _doubt(group, total, len(layout.features)))
        rate = _declared(group, layout, missing_rates)
        for number, count in enumerate(group.happened(layout.reference, total)):
            share = count / total if total else 1.0
            if rate is None:
                events.append(Event(group, number, share, share + allowed))
            else:
                events.append(Event(group, number, rate, rate))
    return events


def make_bets(events: Sequence[Event]) -> list[Bet]:
    """Make the bets on events; none on one that may always happen.

    The stake of a feature is shared by kind, then by event, then by step.
    """
    steps = {i: steps for i, event in enumerate(events) if (steps := _alternatives(event))}
    of_kind = Counter((events[i].group.feature, events[i].group.kind) for i in steps)
    of_feature: dict[int, float] = {}
    for feature, kind in of_kind:
        of_feature[feature] = of_feature.get(feature, 0.0) + _STAKES[kind]
    bets = []
    for i, alternatives in steps.items():
        event, group = events[i], events[i].group
        stake = _STAKES[group.kind] / of_feature[group.feature]
        stake /= of_kind[group.feature, group.kind] * len(alternatives)
        bets += [
            Bet(i, group.feature, event.tolerated, alternative, stake)
            for alternative in alternatives
        ]
    return bets


def _alternatives(event: Event) -> list[float]:
    null = event.tolerated
    return sorted({min(null + step, (1 + null) / 2) for step in STEPS}) if 0 < null < 1 else []


def _doubt(group: Group, total: int, features: int) -> float:
    """Bound how far a share of the reference lies from the true one.

    For all edges at once: A. Dvoretzky, J. Kiefer, J. Wolfowitz, with the constant of P. Massart
    (Annals of Probability 18 (1990), p. 1269). A bin lies between two of them.
    """
    if not total:
        return 1.0
    doubt = sqrt(log(2 * features / _DOUBT) * group.burst / (2 * total))
    return 2 * doubt if group.kind is Kind.BIN else doubt


def _declared(group: Group, layout: Layout, missing_rates: Rates) -> float | None:
    """Find the rate of missing values that is declared for a feature or for all of its input."""
    feature = layout.features[group.feature]
    if not group.is_of_missing or feature.side is not Side.INPUT:
        return None
    of_input = missing_rates.get((feature.input, None))
    return missing_rates.get((feature.input, feature.column), of_input)
