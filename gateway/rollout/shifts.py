"""Whether a distribution lies elsewhere in the challenger's lane: by its bins, and by its edges."""

from collections.abc import Sequence
from itertools import accumulate

from gateway.rollout.rates import Event, Rates
from gateway.rollout.sequential import log_e_fine, log_e_worse, log_mean_exp

# A side of an edge where fewer of the champion's values lie says too little to wait for.
_LEAST_SHARE = 0.05


def log_e_shifted(rates: Rates, dispersion: float) -> float:
    """Say what speaks for values lying elsewhere: the mean over bins and both sides of edges."""
    events = [*rates.events, *_sides(rates.events)]
    return log_mean_exp([log_e_worse(event, dispersion) for event in events])


def log_e_similar(rates: Rates, dispersion: float) -> float:
    """Say what speaks for no side of any edge having more values than is allowed.

    It is what speaks for that side of which it is shown least. No values at all show nothing.
    """
    least = max(1.0, _LEAST_SHARE * rates.champion)
    shown = [
        log_e_fine(side, dispersion) for side in _sides(rates.events) if side.champion >= least
    ]
    return min(shown, default=0.0)


def _sides(bins: Sequence[Event]) -> list[Event]:
    """Return what lies below each edge and what lies above it, from what lies between edges."""
    below = list(accumulate(bins, _add))[:-1]
    above = list(accumulate(reversed(bins), _add))[:-1]
    return below + above


def _add(one: Event, other: Event) -> Event:
    return Event(
        challenger=one.challenger + other.challenger,
        champion=one.champion + other.champion,
        due=one.due + other.due,
        rises=_sums(one.rises, other.rises),
        falls=_sums(one.falls, other.falls),
    )


def _sums(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    return tuple([a + b for a, b in zip(one, other, strict=True)])
