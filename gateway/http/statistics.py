"""The protocol's extension `statistics`: what every version has done so far, over all workers.

The counts are those of `/metrics`. The time up to a request's run, that of the run and that of
writing the answer are measured; `compute_input` is the rest, so that the parts add up: making the
record durable. There is no response cache, so its counts are 0.
"""

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from gateway.errors import NotServed
from gateway.http.access import open_to
from gateway.http.health import ModelName, VersionText
from gateway.loader import Loader
from gateway.metrics import Distribution, Meter, SeriesCounts
from gateway.metrics.snapshot import SIZE_EDGES, no_series, total
from gateway.roster import Roster
from gateway.security import Role

_READERS = open_to(Role.INVOKER, Role.VIEWER)
_NS_PER_MS = 1_000_000


class Duration(Struct):
    """How often something happened, and the nanoseconds it took altogether."""

    count: int
    ns: int


class InferenceStatistics(Struct, kw_only=True):
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(Struct, kw_only=True):
    """Runs of up to `batch_size` rows, and of more than the next smaller size listed here."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class VersionStatistics(Struct, kw_only=True):
    """`inference_count` are rows, `execution_count` runs, `last_inference` is in ms since 1970."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]
    memory_usage: list[int] = []
    response_stats: dict[str, int] = {}


class Statistics(Struct):
    model_stats: list[VersionStatistics]


@get("/v2/models/stats", opt=_READERS)
async def count_all(loader: NamedDependency[Loader], meter: NamedDependency[Meter]) -> Statistics:
    """Tell what each version of each model has done since the gateway started."""
    return Statistics(await _count(loader.roster, meter))


@get("/v2/models/{model:str}/stats", opt=_READERS)
async def count_model(
    loader: NamedDependency[Loader], meter: NamedDependency[Meter], model: ModelName
) -> Statistics:
    """Tell what each version of one model has done since the gateway started."""
    loader.roster.model(model)
    return Statistics([one for one in await _count(loader.roster, meter) if one.name == model])


@get("/v2/models/{model:str}/versions/{version:str}/stats", opt=_READERS)
async def count_version(
    loader: NamedDependency[Loader],
    meter: NamedDependency[Meter],
    model: ModelName,
    version: VersionText,
) -> Statistics:
    """Tell what one version has done since the gateway started."""
    loader.roster.model(model)
    counted = await _count(loader.roster, meter)
    found = [one for one in counted if (one.name, one.version) == (model, version)]
    if not found:
        raise NotServed(model, version)
    return Statistics(found)


async def _count(roster: Roster, meter: Meter) -> list[VersionStatistics]:
    """Return one entry for every version that is served or was."""
    versions: dict[tuple[str, int], SeriesCounts] = {
        (name, number): no_series(name, number, "")
        for name, model in roster.models.items()
        for number in model.versions
    }
    for series in total(await meter.read()).series:
        if series.version is not None:
            key = (series.model, series.version)
            versions.setdefault(key, no_series(*key, "")).add(series)
    return [_statistics(versions[key]) for key in sorted(versions)]


def _statistics(series: SeriesCounts) -> VersionStatistics:
    answers = sum(series.latency.counts)
    measured = series.queue.total + series.compute.total + series.encode_ns
    none = Duration(0, 0)
    return VersionStatistics(
        name=series.model,
        version=str(series.version),
        last_inference=series.last_ns // _NS_PER_MS,
        inference_count=series.rows,
        execution_count=sum(series.runs.counts),
        inference_stats=InferenceStatistics(
            success=Duration(answers, series.latency.total),
            fail=Duration(sum(series.errors.values()), series.error_ns),
            queue=_duration(series.queue),
            compute_input=Duration(answers, max(0, series.latency.total - measured)),
            compute_infer=_duration(series.compute),
            compute_output=Duration(answers, series.encode_ns),
            cache_hit=none,
            cache_miss=none,
        ),
        batch_stats=_batches(series),
    )


def _batches(series: SeriesCounts) -> list[BatchStatistics]:
    largest = (*SIZE_EDGES, SIZE_EDGES[-1] * 2)
    return [
        BatchStatistics(
            batch_size=size,
            compute_input=Duration(count, 0),
            compute_infer=Duration(count, ns),
            compute_output=Duration(count, 0),
        )
        for size, count, ns in zip(largest, series.runs.counts, series.run_ns, strict=True)
        if count
    ]


def _duration(times: Distribution) -> Duration:
    return Duration(sum(times.counts), times.total)
