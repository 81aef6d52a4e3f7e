"""`make trail`: how quickly an audit log of ten million records is asked, and what it takes.

Records come through the store's own integration, with models, keys and request ids as unevenly
spread as in life, values that are very rare, and some that never occur. Each filter, and each pair
of filters, is asked from the newest record and from cursors anywhere in the log, warm and after the
kernel was told to forget the file; p99 must stay below 50 ms.

    python -m loadtests.trail --records 10000000 --folder /var/tmp
"""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from loadtests import history, machine
from loadtests.errors import LoadTestError
from loadtests.results import RESULTS
from registry.audit.export import Export
from registry.audit.export_forms import Format, writer_of
from registry.audit.query import AuditTrail
from registry.audit.segment_writer import SegmentWriter
from registry.records import RecordFilter
from registry.store import Store, open_store

P99_LIMIT_MS = 50.0
# Looks through all uses of a request id; see docs/decisions/0023-streams.md.
_MAY_TAKE_LONGER = "principal + request_id"
_BATCH = 2_000
_WARM, _COLD = 60, 12
_PAIR_CURSORS = 6
_SMALL = 100_000
_TAILS = (1_000, 10_000)
_BYTES_PER_RECORD = 1_000  # of room that a folder must have


class Asked(Struct, frozen=True, kw_only=True):
    """One kind of question: how often it was asked, and how long the answers took."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    p99_cpu_ms: float
    returned: int


class Result(Struct, frozen=True, kw_only=True):
    """All that one run measured."""

    at: str
    machine: Mapping[str, object]
    records: int
    integration_us: float
    integration_cpu_us: float
    bytes_per_record: float
    bytes_with_payload: float
    exported_per_second: Mapping[str, float]
    questions: list[Asked]


def build(store: Store, count: int, *, with_payload: bool) -> tuple[float, float]:
    """Integrate so many records; return how many microseconds each took, and of the processor."""
    spent = cpu = 0.0
    entries = history.entries(random.Random(count), count, with_payload=with_payload)
    position = 0
    while batch := [entry for _, entry in zip(range(_BATCH), entries, strict=False)]:
        started, cpu_started = time.perf_counter(), time.thread_time()
        store.integrate("history.segment", position, position + 1, batch)
        spent += time.perf_counter() - started
        cpu += time.thread_time() - cpu_started
        position += 1
    store.forget_segment("history.segment")
    return spent / count * 1e6, cpu / count * 1e6


def questions() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name each filter with values frequent, rare and absent, then each pair of filters."""
    for name, values in history.VALUES.items():
        yield name, [{name: value} for value in values]
    names = sorted(history.VALUES)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            yield (
                f"{one} + {other}",
                [{one: a, other: b} for a in history.VALUES[one] for b in history.VALUES[other]],
            )
    yield "no filter", [{}]


def summarise(name: str, times_ms: list[float], cpu_ms: list[float], returned: int) -> Asked:
    times, cpu = sorted(times_ms), sorted(cpu_ms)
    last = min(len(times) - 1, int(len(times) * 0.99))
    return Asked(
        name=name,
        count=len(times),
        p50_ms=times[len(times) // 2],
        p99_ms=times[last],
        slowest_ms=times[-1],
        p99_cpu_ms=cpu[last],
        returned=returned,
    )


def measure(
    name: str,
    trail: AuditTrail,
    filters: list[dict[str, Any]],
    cursors: int,
    before: Callable[[], None],
) -> Asked:
    """Ask each filter once from the newest record, and then from cursors anywhere."""
    rng = random.Random(name)
    times: list[float] = []
    cpu: list[float] = []
    returned = 0
    for wanted in filters:
        for number in range(cursors):
            cursor = history.random_id(rng) if number else None
            before()
            started, cpu_started = time.perf_counter(), time.thread_time()
            page = trail.find(RecordFilter(**wanted), limit=100, cursor=cursor)
            times.append((time.perf_counter() - started) * 1e3)
            cpu.append((time.thread_time() - cpu_started) * 1e3)
            returned += len(page.records)
    return summarise(name, times, cpu, returned)


def ask_all(store: Store, folder: Path, journal: Path) -> Iterator[Asked]:
    trail = AuditTrail(store, journal)

    def forget() -> None:
        with (folder / "store.sqlite3").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    for name, filters in questions():
        cursors = _PAIR_CURSORS if "+" in name else _WARM
        yield measure(name, trail, filters, cursors, lambda: None)
    for name, filters in questions():
        if "+" not in name:
            yield measure(f"{name}, cold", trail, filters, _COLD, forget)
    for size in _TAILS:
        entries = history.entries(random.Random(size), size, with_payload=True)
        writer = SegmentWriter(journal)
        while group := [entry for _, entry in zip(range(64), entries, strict=False)]:
            writer.append(group)
        for question in ("no filter", "model"):
            filters = dict(questions())[question]
            yield measure(f"{question}, {size:,} in the journal", trail, filters, 10, lambda: None)
        writer.close()
        writer.path.unlink()


def export_rates(store: Store) -> dict[str, float]:
    """Export the last day in each format, with and without proofs; return records/s."""
    wanted = RecordFilter(since=history.START + timedelta(days=29))
    rates: dict[str, float] = {}
    for proofs in (False, True):
        export = Export(store=store, wanted=wanted, size=store.tree_size(), note="", proofs=proofs)
        count = sum(map(len, export.pages()))
        for form in Format:
            write = writer_of(form)
            started = time.perf_counter()
            for _ in write(export):
                pass
            rate = count / (time.perf_counter() - started)
            rates[f"{form} with proofs" if proofs else form.value] = rate
    return rates


def bytes_per_record(folder: Path, *, with_payload: bool) -> float:
    store = open_store(folder)
    build(store, _SMALL, with_payload=with_payload)
    store.close()
    return (folder / "store.sqlite3").stat().st_size / _SMALL


def run(records: int, folder: Path) -> Result:
    free = shutil.disk_usage(folder).free
    if free < records * _BYTES_PER_RECORD:
        raise LoadTestError(f"{folder} has room for {free >> 20} MiB; {records:,} need more.")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        (place / "journal").mkdir()
        with_payload = bytes_per_record(place / "with", with_payload=True)
        shutil.rmtree(place / "with")
        store = open_store(place)
        integration_us, integration_cpu_us = build(store, records, with_payload=False)
        store.close()
        size = (place / "store.sqlite3").stat().st_size
        store = open_store(place)
        asked = list(ask_all(store, place, place / "journal"))
        rates = export_rates(store)
        store.close()
    return Result(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.describe(),
        records=records,
        integration_us=integration_us,
        integration_cpu_us=integration_cpu_us,
        bytes_per_record=size / records,
        bytes_with_payload=with_payload,
        exported_per_second=rates,
        questions=asked,
    )


def show(result: Result) -> None:
    table = Table(
        "question", "asked", "p50 ms", "p99 ms", "slowest ms", "p99 CPU", "records", title="Trail"
    )
    for one in result.questions:
        table.add_row(
            one.name, f"{one.count:,}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}",
            f"{one.slowest_ms:.2f}", f"{one.p99_cpu_ms:.2f}", f"{one.returned:,}",
        )  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    console.print(
        f"{result.records:,} records, {result.integration_us:.1f} us each to integrate, "
        f"{result.integration_cpu_us:.1f} of the processor; "
        f"{result.bytes_per_record:.0f} bytes each in the store, "
        f"{result.bytes_with_payload:.0f} with a payload of {history.PAYLOAD_BYTES} bytes"
    )
    for name, rate in result.exported_per_second.items():
        console.print(f"{rate:,.0f} records/s exported as {name}")


@click.command()
@click.option("--records", default=10_000_000, show_default=True, type=click.IntRange(10_000))
@click.option("--folder", default=tempfile.gettempdir(), type=click.Path(path_type=Path))
def main(records: int, folder: Path) -> None:
    """Build a log of so many records, and ask it everything."""
    try:
        result = run(records, folder)
    except LoadTestError as error:
        sys.exit(str(error))
    show(result)
    stamp = result.at.replace("-", "").replace(":", "")[:15]
    kept = RESULTS / f"trail-{stamp}Z.json"
    kept.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    slow = [
        one.name
        for one in result.questions
        if one.p99_ms >= P99_LIMIT_MS and one.name != _MAY_TAKE_LONGER
    ]
    if slow:
        sys.exit(f"These took {P99_LIMIT_MS:.0f} ms or more: {', '.join(slow)}.")


if __name__ == "__main__":
    main()
