"""The counters of one worker, cheap enough to be called for every request.

Plain integers and lists: a call takes about half a microsecond, holds no lock and allocates
nothing that stays. All calls come from the event loop, but for `Metrics.commit`, which comes from
the journal's one thread and touches what nobody else does.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from gateway.metrics.snapshot import (
    SIZE_EDGES,
    TIME_EDGES_NS,
    Counts,
    Distribution,
    SeriesCounts,
    Snapshot,
    Suspension,
    Vitals,
    no_series,
    no_sizes,
    no_times,
)

# How many series of versions that are served no more are kept, and how many names of what was shed.
_MOST_PAST = 100
_MOST_SHEDS = 500
_STATM = Path("/proc/self/statm")


class Series:
    """Counts the calls that met one version in one lane."""

    __slots__ = (
        "_compute", "_compute_ns", "_encode_ns", "_error_ns", "_errors", "_gave_way", "_last_ns",
        "_latency", "_latency_ns", "_queue", "_queue_ns", "_requests", "_rows", "_run_ns",
        "_run_rows", "_runs", "_suspensions", "_violations", "lane", "model", "version",
    )  # fmt: skip

    def __init__(self, counts: SeriesCounts) -> None:
        """Go on from counts, which are taken over and not copied."""
        self.model, self.version, self.lane = counts.model, counts.version, counts.lane
        self._latency, self._latency_ns = counts.latency.counts, counts.latency.total
        self._queue, self._queue_ns = counts.queue.counts, counts.queue.total
        self._compute, self._compute_ns = counts.compute.counts, counts.compute.total
        self._runs, self._run_rows = counts.runs.counts, counts.runs.total
        self._run_ns, self._encode_ns = counts.run_ns, counts.encode_ns
        self._rows, self._requests, self._last_ns = counts.rows, counts.requests, counts.last_ns
        self._errors, self._error_ns = counts.errors, counts.error_ns
        self._violations, self._suspensions = counts.violations, counts.suspensions
        self._gave_way = counts.gave_way

    def observe(
        self, *, latency_ns: int, queue_ns: int, compute_ns: int, encode_ns: int, rows: int
    ) -> None:
        """Count one answer: the whole time it took, and the parts of it."""
        self._latency[bisect_left(TIME_EDGES_NS, latency_ns)] += 1
        self._latency_ns += latency_ns
        self._queue[bisect_left(TIME_EDGES_NS, queue_ns)] += 1
        self._queue_ns += queue_ns
        self._compute[bisect_left(TIME_EDGES_NS, compute_ns)] += 1
        self._compute_ns += compute_ns
        self._encode_ns += encode_ns
        self._rows += rows
        self._last_ns = time.time_ns()

    def fail(self, code: str, latency_ns: int = 0) -> None:
        """Count one call that got an error in place of an answer."""
        self._errors[code] = self._errors.get(code, 0) + 1
        self._error_ns += latency_ns

    def broke(self, effects: Iterable[str]) -> None:
        """Count one call under each rule of the contract that it broke."""
        for effect in effects:
            self._violations[effect] = self._violations.get(effect, 0) + 1

    def suspended(self) -> None:
        """Count that rules which reject were suspended, by one call too many."""
        self._suspensions += 1

    def gave_way(self, code: str) -> None:
        """Count one call that the version failed as a challenger, and left to the champion."""
        self._gave_way[code] = self._gave_way.get(code, 0) + 1

    def ran(self, requests: int, rows: int, compute_ns: int) -> None:
        """Count one run of the version, for so many requests together."""
        bucket = bisect_left(SIZE_EDGES, rows)
        self._runs[bucket] += 1
        self._run_ns[bucket] += compute_ns
        self._run_rows += rows
        self._requests += requests

    @property
    def last_ns(self) -> int:
        """When it last answered, in nanoseconds since 1970; 0 before that."""
        return self._last_ns

    def counts(self) -> SeriesCounts:
        """Return what was counted; the lists are those that are counted on in."""
        return SeriesCounts(
            model=self.model,
            version=self.version,
            lane=self.lane,
            latency=Distribution(self._latency, self._latency_ns),
            queue=Distribution(self._queue, self._queue_ns),
            compute=Distribution(self._compute, self._compute_ns),
            runs=Distribution(self._runs, self._run_rows),
            run_ns=self._run_ns,
            encode_ns=self._encode_ns,
            rows=self._rows,
            requests=self._requests,
            last_ns=self._last_ns,
            errors=self._errors,
            error_ns=self._error_ns,
            violations=self._violations,
            suspensions=self._suspensions,
            gave_way=self._gave_way,
        )


class Metrics:
    """All counters of one worker, which go on from what its predecessor in the slot wrote.

    `unmet` is the series of the calls that met no version. Whatever model they named, they are one
    series: names that callers invent must not become labels.
    """

    def __init__(self, slot: int = 0, earlier: Snapshot | None = None) -> None:
        self._slot = slot
        self._series: dict[tuple[str, int | None, str], Series] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._suspensions: Callable[[], list[Suspension]] = list
        counts = Counts([], no_sizes(), no_times()) if earlier is None else earlier.counts
        self._groups, self._commits = counts.groups, counts.commits
        self._sheds = counts.sheds
        self._lag = no_times() if earlier is None else earlier.vitals.lag
        self._earlier_cpu_ns = 0 if earlier is None else earlier.vitals.cpu_ns
        for one in counts.series:
            self._series[one.model, one.version, one.lane] = Series(one)
        self.unmet = self.series("", None, "")

    def series(self, model: str, version: int | None, lane: str) -> Series:
        """Return the one series of a version in a lane, made where there is none."""
        key = (model, version, lane)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = Series(no_series(model, version, str(lane)))
        return found

    def keep_only(self, served: Collection[tuple[str, int]]) -> None:
        """Forget versions that are served no more, but for the series that answered last.

        A version that is back later counts from zero, as after a start.
        """
        past = [
            series
            for (model, version, _), series in self._series.items()
            if version is not None and (model, version) not in served
        ]
        past.sort(key=lambda series: series.last_ns, reverse=True)
        for series in past[_MOST_PAST:]:
            del self._series[series.model, series.version, series.lane]

    def batch(self, series: Series, requests: int, rows: int, compute_ns: int) -> None:
        """Count one run, under the series of one of its requests."""
        series.ran(requests, rows, compute_ns)

    def shed(self, rollout: str, reason: str) -> None:
        """Count one request that the shadow of a rollout was to have and does not get."""
        name = f"{rollout} {reason}"
        if name not in self._sheds and len(self._sheds) >= _MOST_SHEDS:
            del self._sheds[next(iter(self._sheds))]
        self._sheds[name] = self._sheds.get(name, 0) + 1

    def commit(self, entries: int, seconds: float) -> None:
        """Count one group that the journal made durable."""
        self._groups.counts[bisect_left(SIZE_EDGES, entries)] += 1
        self._groups.total += entries
        elapsed_ns = int(seconds * 1e9)
        self._commits.counts[bisect_left(TIME_EDGES_NS, elapsed_ns)] += 1
        self._commits.total += elapsed_ns

    def lag(self, seconds: float) -> None:
        """Count by how much the event loop was late once."""
        elapsed_ns = int(seconds * 1e9)
        self._lag.counts[bisect_left(TIME_EDGES_NS, elapsed_ns)] += 1
        self._lag.total += elapsed_ns

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Let a value of the moment be read whenever a snapshot is taken."""
        self._gauges[name] = read

    def read_suspensions(self, read: Callable[[], list[Suspension]]) -> None:
        """Let the versions whose rules are suspended be asked for whenever a snapshot is taken."""
        self._suspensions = read

    def counts(self) -> Counts:
        return Counts(
            [series.counts() for series in self._series.values()],
            self._groups,
            self._commits,
            self._sheds,
        )

    def snapshot(self) -> Snapshot:
        """Return everything as it is now; encode it before anything else is counted."""
        return Snapshot(
            slot=self._slot,
            counts=self.counts(),
            vitals=Vitals(
                pid=os.getpid(),
                lag=self._lag,
                cpu_ns=self._earlier_cpu_ns + time.process_time_ns(),
                gauges={name: read() for name, read in self._gauges.items()},
                suspensions=self._suspensions(),
            ),
        )


def resident_bytes() -> float:
    """Return how much memory this process holds; 0 where the system does not say."""
    if not _STATM.exists():
        return 0
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
