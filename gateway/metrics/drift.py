"""How champions stand to their references, as samples of metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

Sample = tuple[str, Mapping[str, str], float]


class FeatureState(Struct, frozen=True):
    """How one feature of a version stands to its reference; its place as labels say it."""

    side: str
    input: str
    column: str
    js_distance: float
    missing: float | None


class DriftState(Struct, frozen=True):
    """How a champion stands to its reference, by the last full hour that says something.

    `rows` came in that hour; there are none, and no features, where no hour of the last day had
    enough.
    """

    model: str
    version: int
    open_findings: int
    rows: int
    features: tuple[FeatureState, ...]


def of_versions(
    states: Sequence[DriftState], read: Callable[[DriftState], float]
) -> Iterator[Sample]:
    """Give a sample for each champion."""
    return (("", _version(state), read(state)) for state in states)


def of_features(
    states: Sequence[DriftState], read: Callable[[FeatureState], float | None]
) -> Iterator[Sample]:
    """Give a sample for each feature that a value can be read of."""
    for state in states:
        for feature in state.features:
            value = read(feature)
            if value is not None:
                place = {"side": feature.side, "input": feature.input, "column": feature.column}
                yield "", {**_version(state), **place}, value


def _version(state: DriftState) -> dict[str, str]:
    return {"model": state.model, "version": str(state.version)}
