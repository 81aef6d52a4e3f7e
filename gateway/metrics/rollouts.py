"""How open rollouts stand, as samples of metrics."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from gateway.metrics.drift import Sample


class GuardState(Struct, frozen=True):
    """What one guard says: 1 is `non_inferior`, -1 `worse`, 0 `undecided`; and what speaks for it.

    Evidence is the natural logarithm of e-values; None of a guard that judges by an interval.
    """

    name: str
    verdict: int
    worse: float | None
    fine: float | None


class RolloutState(Struct, frozen=True):
    """How an open rollout stands.

    `points`, of 10,000, are the share of callers that the challenger answers, or of requests that
    it shadows. `requests` it had in the present stage.
    """

    model: str
    version: int
    phase: str
    stage: int
    points: int
    requests: int
    guards: tuple[GuardState, ...]


def of_rollouts(
    states: Sequence[RolloutState], read: Callable[[RolloutState], float]
) -> Iterator[Sample]:
    """Give a sample for each open rollout."""
    return (("", {**_version(state), "phase": state.phase}, read(state)) for state in states)


def verdicts(states: Sequence[RolloutState]) -> Iterator[Sample]:
    """Give a sample for each guard."""
    for state in states:
        for guard in state.guards:
            yield "", {**_version(state), "guard": guard.name}, guard.verdict


def evidence(states: Sequence[RolloutState]) -> Iterator[Sample]:
    """Give two samples for each guard that judges by e-values."""
    for state in states:
        for guard in state.guards:
            for verdict, value in (("worse", guard.worse), ("non_inferior", guard.fine)):
                if value is not None:
                    labels = {"guard": guard.name, "verdict": verdict}
                    yield "", {**_version(state), **labels}, value


def _version(state: RolloutState) -> dict[str, str]:
    return {"model": state.model, "version": str(state.version)}
