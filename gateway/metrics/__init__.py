"""What a worker counts, and how the counts of all workers become one set of metrics.

`counters` is called on the request path and does no I/O. `snapshot` is what a worker writes down of
them, `slots` where, `meter` when. `exposition` writes the sum in Prometheus' text format. Nothing
here knows HTTP, and no label has a value that a caller could invent.
"""

from gateway.metrics.counters import Metrics, Series
from gateway.metrics.meter import Meter
from gateway.metrics.slots import Slots
from gateway.metrics.snapshot import (
    Counts,
    Distribution,
    SeriesCounts,
    Snapshot,
    Suspension,
    Vitals,
)

__all__ = [
    "Counts",
    "Distribution",
    "Meter",
    "Metrics",
    "Series",
    "SeriesCounts",
    "Slots",
    "Snapshot",
    "Suspension",
    "Vitals",
]
