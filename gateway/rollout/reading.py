"""Reads what all workers counted of a rollout, and judges it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from operator import add
from typing import Protocol

from gateway.monitor.layout import from_bytes
from gateway.rollout.bins import bin_counts
from gateway.rollout.evidence import Layout
from gateway.rollout.verdict import assess
from registry.registry import Registry
from registry.rollouts import Assessment, Rollout, TruthEvidence
from registry.windows import CELL, Span

_Stage = tuple[str, int]


class Truth(Protocol):
    """Knows what ground truth says of rollouts."""

    def evidence(self, rollout: Rollout, at: datetime) -> Mapping[int, TruthEvidence]:
        """Return what is known at a time, by the index of the guard. Raises RegistryError."""
        ...

    def keep_only(self, rollouts: Iterable[Rollout]) -> None:
        """Forget what was worked out of other rollouts."""
        ...


class Assessor:
    """Assesses rollouts as they stand. Its results depend on the store alone.

    Where nobody knows the `truth`, guards on it are undecided.
    """

    def __init__(self, registry: Registry, truth: Truth | None = None) -> None:
        self._registry = registry
        self._truth = truth
        # A plan never changes, nor do the bins of a version.
        self._layouts: dict[_Stage, Layout] = {}

    def assess(self, rollout: Rollout, at: datetime) -> Assessment:
        """Say what the evidence of the present stage shows at a time. Raises RegistryError."""
        layout, counts = self._layout(rollout), self.counts(rollout, at)
        truth = {} if self._truth is None else self._truth.evidence(rollout, at)
        return assess(rollout, layout, counts, truth, at)

    def counts(self, rollout: Rollout, at: datetime) -> list[int]:
        """Add up all windows of the present stage, in the cells of its layout. Raises RegistryError

        The first two are the requests of champion and challenger.
        """
        layout = self._layout(rollout)
        windows = self._registry.store.windows(
            rollout.model,
            rollout.plan.challenger,
            rollout.evidence_lane(rollout.stage),
            Span.DAY,
            since=rollout.started - Span.DAY.length,
            until=at + timedelta(days=1),
        )
        counts = [0] * layout.size
        for window in windows:  # those of another layout are of an older program
            if len(window.counts) == CELL * layout.size:
                counts = list(map(add, counts, from_bytes(window.counts)))
        return counts

    def keep_only(self, rollouts: Iterable[Rollout]) -> None:
        """Forget what was worked out of other rollouts."""
        if self._truth is not None:
            self._truth.keep_only(rollouts)
        present = {(one.id, one.stage) for one in rollouts}
        self._layouts = {key: one for key, one in self._layouts.items() if key in present}

    def _layout(self, rollout: Rollout) -> Layout:
        key = (rollout.id, rollout.stage)
        found = self._layouts.get(key)
        if found is None:
            challenger = self._registry.version(rollout.model, rollout.plan.challenger)
            reference = self._registry.manifest(challenger).reference
            counts = bin_counts(rollout.plan, reference)
            found = self._layouts[key] = Layout.of(rollout.plan, rollout.stage, counts)
        return found
