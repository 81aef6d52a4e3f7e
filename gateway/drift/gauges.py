"""What metrics tell of drift: of each champion the last hour that says something, and findings.

Read when metrics are, and kept for some seconds. How many samples there are does not depend on
traffic: they are of champions and of features of their references, up to a limit.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from gateway.logs import logger
from gateway.metrics.drift import DriftState, FeatureState
from gateway.monitor.cells import MISSING, FeatureCells, Side
from gateway.monitor.comparison import LEAST_ROWS, compare
from gateway.monitor.layout import Layout, from_bytes
from registry.errors import Damaged
from registry.records import Lane
from registry.registry import Registry
from registry.times import from_us, now
from registry.versions import CHAMPION
from registry.windows import CELL, Span, Window

_KEPT_S = 10.0
_LOOKED_BACK = timedelta(hours=24)
# Prometheus keeps a series for each; a model with more inputs shows the rest in its reports.
MOST_FEATURES = 200
_FIRST = (Side.OUTPUT, Side.JOINT, Side.INPUT)

_Name = tuple[str, int]


class DriftGauges:
    """Reads the state of all champions; any thread may ask."""

    def __init__(
        self,
        registry: Registry,
        clock: Callable[[], datetime] = now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._due = 0.0
        self._state: tuple[DriftState, ...] = ()
        # A version never changes, and an hour that is over hardly ever.
        self._layouts: dict[_Name, Layout | None] = {}
        self._compared: dict[_Name, tuple[Window, tuple[FeatureState, ...]]] = {}

    def read(self) -> tuple[DriftState, ...]:
        """Return the state of each champion with a reference. Raises StoreUnavailable."""
        with self._lock:
            if self._timer() >= self._due:
                self._state = tuple(self._champions())
                self._due = self._timer() + _KEPT_S
            return self._state

    def _champions(self) -> Iterator[DriftState]:
        store = self._registry.store
        found = {}
        for model in store.models():
            champion = store.aliases(model).get(CHAMPION)
            if champion is not None:
                found[model, champion] = self._layout(model, champion)
        self._layouts = found
        self._compared = {name: one for name, one in self._compared.items() if name in found}
        for (model, version), layout in found.items():
            if layout is not None:
                yield self._state_of(model, version, layout)

    def _layout(self, model: str, version: int) -> Layout | None:
        """Lay out a version's reference; None where it has none, or its manifest is damaged."""
        name = (model, version)
        if name in self._layouts:
            return self._layouts[name]
        try:
            manifest = self._registry.manifest(self._registry.version(model, version))
        except Damaged as error:
            logger.error("manifest_damaged", model=model, version=version, detail=str(error))
            return None
        return None if manifest.reference is None else Layout.of(manifest.reference)

    def _state_of(self, model: str, version: int, layout: Layout) -> DriftState:
        found = self._registry.store.findings(model, only_open=True)
        hour = self._last_hour(model, version, layout)
        return DriftState(
            model=model,
            version=version,
            open_findings=sum(one.version == version for one in found),
            rows=0 if hour is None else _rows(hour),
            features=() if hour is None else self._features((model, version), layout, hour),
        )

    def _last_hour(self, model: str, version: int, layout: Layout) -> Window | None:
        """Return the last full hour in a day in which enough rows came."""
        at = self._clock()
        current = at - (at - from_us(0)) % Span.HOUR.length
        windows = self._registry.store.windows(
            model, version, Lane.CHAMPION, Span.HOUR, since=current - _LOOKED_BACK, until=current
        )
        told = (one for one in windows if layout.fits(one.counts) and _rows(one) >= LEAST_ROWS)
        return max(told, key=lambda one: one.start, default=None)

    def _features(self, name: _Name, layout: Layout, hour: Window) -> tuple[FeatureState, ...]:
        known = self._compared.get(name)
        if known is None or known[0] != hour:
            known = self._compared[name] = (hour, _compare(layout, from_bytes(hour.counts)))
        return known[1]


def _rows(window: Window) -> int:
    return int.from_bytes(window.counts[:CELL], "little")  # cell 0 is the number of rows


def _compare(layout: Layout, counts: list[int]) -> tuple[FeatureState, ...]:
    compared = list(zip(layout.features, compare(layout, counts), strict=True))
    compared.sort(key=lambda pair: _FIRST.index(pair[0].side))
    return tuple(
        FeatureState(
            side=cells.side,
            input=cells.input,
            column="" if cells.column is None else str(cells.column),
            js_distance=comparison.js_distance,
            missing=_missing(cells, counts),
        )
        for cells, comparison in compared[:MOST_FEATURES]
    )


def _missing(cells: FeatureCells, counts: list[int]) -> float | None:
    """Return the share of values that are missing; None of what has no missing values."""
    for count in cells.counts:
        if count.what == MISSING:
            total = sum(counts[count.among.start : count.among.stop])
            return counts[count.cell] / total if total else 0.0
    return None
