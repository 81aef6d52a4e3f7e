"""What one worker has counted, as a value that can be written down and added to that of others.

Times are whole nanoseconds, so that sums are exact whatever the order of adding.
"""

from collections.abc import Iterable

from msgspec import Struct

_MS = 1_000_000
# A value belongs to the first edge that it does not pass; behind the last one is one bucket more.
TIME_EDGES_NS = tuple(
    int(ms * _MS)
    for ms in (
        0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000,
    )
)  # fmt: skip
SIZE_EDGES = tuple(1 << power for power in range(15))


class Distribution(Struct, array_like=True):
    """Counts of the buckets between fixed edges, and the sum of all values."""

    counts: list[int]
    total: int = 0

    def add(self, other: "Distribution") -> None:
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


def no_times() -> Distribution:
    return Distribution([0] * (len(TIME_EDGES_NS) + 1))


def no_sizes() -> Distribution:
    return Distribution([0] * (len(SIZE_EDGES) + 1))


class SeriesCounts(Struct, array_like=True, kw_only=True):
    """What became of the calls that met one version in one lane, or that met none.

    `runs` are the rows of each run and `run_ns` the time of the runs of each bucket. `encode_ns`
    is the time spent on writing answers, `last_ns` when the last one was given, `errors` the
    calls not answered, by code. `violations` are the calls that broke a rule of the contract, by
    what was done, rule and input, as in `flagged range distance`; `suspensions` are how often rules
    that reject were suspended. `gave_way` are the calls that the version failed as a challenger and
    the champion answered in its place, by code.
    """

    model: str
    version: int | None
    lane: str
    latency: Distribution
    queue: Distribution
    compute: Distribution
    runs: Distribution
    run_ns: list[int]
    encode_ns: int
    rows: int
    requests: int
    last_ns: int
    errors: dict[str, int]
    error_ns: int
    violations: dict[str, int]
    suspensions: int
    gave_way: dict[str, int] = {}

    def add(self, other: "SeriesCounts") -> None:
        for name in ("latency", "queue", "compute", "runs"):
            getattr(self, name).add(getattr(other, name))
        self.run_ns = [mine + its for mine, its in zip(self.run_ns, other.run_ns, strict=True)]
        for name in ("encode_ns", "rows", "requests", "error_ns", "suspensions"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.last_ns = max(self.last_ns, other.last_ns)
        for kind in ("errors", "violations", "gave_way"):
            mine = getattr(self, kind)
            for name, count in getattr(other, kind).items():
                mine[name] = mine.get(name, 0) + count


def no_series(model: str, version: int | None, lane: str) -> SeriesCounts:
    return SeriesCounts(
        model=model,
        version=version,
        lane=lane,
        latency=no_times(),
        queue=no_times(),
        compute=no_times(),
        runs=no_sizes(),
        run_ns=no_sizes().counts,
        encode_ns=0,
        rows=0,
        requests=0,
        last_ns=0,
        errors={},
        error_ns=0,
        violations={},
        suspensions=0,
    )


class Counts(Struct, array_like=True):
    """All that only ever grows, and grows with what callers do.

    `sheds` are the requests that the shadow of a rollout was to have and did not get, by rollout
    and reason, as in `<id> full`.
    """

    series: list[SeriesCounts]
    groups: Distribution
    commits: Distribution
    sheds: dict[str, int] = {}


class Suspension(Struct, array_like=True, kw_only=True):
    """A version whose rules do not reject now, and how much they would refuse of the last minutes.

    A worker decides that by its own requests alone.
    """

    model: str
    version: int
    requests: int
    refused: int


class Vitals(Struct, array_like=True, kw_only=True):
    """How one worker is: delays and processor time so far, gauges and suspensions of now."""

    pid: int
    lag: Distribution
    cpu_ns: int
    gauges: dict[str, float]
    suspensions: list[Suspension]


class Snapshot(Struct, array_like=True, kw_only=True):
    """Everything a worker tells, under the number of its slot."""

    slot: int
    counts: Counts
    vitals: Vitals


def total(snapshots: Iterable[Snapshot]) -> Counts:
    """Add what all workers counted, with one series for each version and lane, in order."""
    series: dict[tuple[str, int, str], SeriesCounts] = {}
    groups, commits = no_sizes(), no_times()
    sheds: dict[str, int] = {}
    for snapshot in snapshots:
        for name, count in snapshot.counts.sheds.items():
            sheds[name] = sheds.get(name, 0) + count
        groups.add(snapshot.counts.groups)
        commits.add(snapshot.counts.commits)
        for one in snapshot.counts.series:
            key = (one.model, one.version or 0, one.lane)
            if key not in series:
                series[key] = no_series(one.model, one.version, one.lane)
            series[key].add(one)
    return Counts([series[key] for key in sorted(series)], groups, commits, sheds)
