"""What challengers do that run beside live answers, as samples of metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from gateway.metrics.drift import Sample


class ShadowState(Struct, frozen=True):
    """A rollout in shadow: the requests that its challenger had, failed, and did not get, by why.

    `waiting` are those that wait for it now.
    """

    rollout: str
    model: str
    version: int
    requests: int
    waiting: int
    failures: Mapping[str, int]
    sheds: Mapping[str, int]


def of_shadows(
    states: Sequence[ShadowState], read: Callable[[ShadowState], float]
) -> Iterator[Sample]:
    """Give a sample for each rollout in shadow."""
    return (("", _labels(state), read(state)) for state in states)


def by_reason(
    states: Sequence[ShadowState], read: Callable[[ShadowState], Mapping[str, int]]
) -> Iterator[Sample]:
    """Give a sample for each reason of each rollout in shadow."""
    for state in states:
        for reason, times in sorted(read(state).items()):
            yield "", {**_labels(state), "reason": reason}, times


def _labels(state: ShadowState) -> dict[str, str]:
    return {"rollout": state.rollout, "model": state.model, "version": str(state.version)}
