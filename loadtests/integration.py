"""`make integration`: how soon a durable record is under a published checkpoint, at a given rate.

One process writes groups of records into a journal, as a worker does, on one core; a real
controller on the other integrates, signs and publishes. For each record the time is taken from the
return of its sync to the moment at which the file with the published checkpoint covers it.

    python -m loadtests.integration --rate 10000 --seconds 60
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import click
import numpy as np
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from gateway.settings import SEGMENT_AGE_S, Settings, write_settings
from loadtests import machine
from loadtests.errors import LoadTestError
from registry.audit.published import read_published
from registry.audit.segment import list_segments
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, Payload, encode_record, new_record_id, new_salt, now_ns
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.tlog.note import Checkpoint

GROUPS_PER_S = 100
_INPUT = bytes(149)  # the canonical bytes of one row of 30 numbers
_OUTPUT = bytes(82)
_LOOK_S = 0.01
_LONGEST_S = 2.0  # what is promised of a record, at the 99th percentile
_PATIENCE_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Phase(Struct, frozen=True, kw_only=True):
    """What one rate led to. Times are in seconds."""

    rate: float
    seconds: float
    written: int
    lag_p50: float
    lag_p99: float
    lag_most: float
    backlog_most: int
    controller_cores: float


class Lag:
    """Follows the published checkpoint, and takes the time of each group that it comes to cover."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._groups: deque[tuple[float, int, int]] = deque()  # durable at, last record, records
        self._written = self._covered = _size(path)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self.lags: list[float] = []
        self.counts: list[int] = []
        self.backlog_most = 0
        self._thread.start()

    def durable(self, records: int) -> None:
        """Take note of a group whose sync has returned."""
        self._written += records
        self._groups.append((time.monotonic(), self._written, records))

    def finish(self) -> None:
        """Return when everything is covered. Raises LoadTestError where that takes too long."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._groups and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        self._stopped.set()
        self._thread.join()
        if self._groups:
            raise LoadTestError(f"{self._written - self._covered} records were never published.")

    def _follow(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            self._covered, now = _size(self._path), time.monotonic()
            self.backlog_most = max(self.backlog_most, self._written - self._covered)
            while self._groups and self._groups[0][1] <= self._covered:
                durable_at, _, records = self._groups.popleft()
                self.lags.append(now - durable_at)
                self.counts.append(records)


class Journal:
    """Groups of records as a worker writes them, in segments that it leaves when they are old."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._begin()

    def write(self, records: int) -> None:
        """Make one group durable."""
        if time.monotonic() - self._begun > SEGMENT_AGE_S:
            self._writer.close()
            self._begin()
        self._writer.append([make_entry() for _ in range(records)])

    def close(self) -> None:
        """Seal the segment."""
        self._writer.close()

    def _begin(self) -> None:
        self._writer = SegmentWriter(self._directory)
        self._begun = time.monotonic()


def make_entry() -> Entry:
    """Make the record of a plain answer, with its payload."""
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.ANSWERED,
        principal="key-123456789012",
        source="127.0.0.1",
        model="cancer",
        version=1,
        digest="sha256:" + "0" * 64,
        manifest="sha256:" + "1" * 64,
        runtime="onnxruntime-1.32.0/cpu/threads=1/opt=all/x86_64-0123456789ab",
        lane=Lane.CHAMPION,
        rows=1,
        batch=16,
        batch_row=3,
        latency_us=1234,
        input="2" * 64,
        output="3" * 64,
    )
    return Entry(encode_record(record), Payload(new_salt(), _INPUT, _OUTPUT))


def run_phase(journal: Journal, checkpoint: Path, pid: int, rate: int, seconds: float) -> Phase:
    """Write at a rate, and wait until all of it is published."""
    lag, used, started = Lag(checkpoint), _cpu_s(pid), time.monotonic()
    size, groups = rate // GROUPS_PER_S, int(seconds * GROUPS_PER_S)
    for number in range(groups):
        due = started + number / GROUPS_PER_S
        time.sleep(max(0.0, due - time.monotonic()))
        journal.write(size)
        lag.durable(size)
    took = time.monotonic() - started
    used = _cpu_s(pid) - used
    lag.finish()
    each = np.repeat(lag.lags, lag.counts)
    p50, p99 = np.percentile(each, [50, 99])
    return Phase(
        rate=size * groups / took,
        seconds=took,
        written=size * groups,
        lag_p50=float(p50),
        lag_p99=float(p99),
        lag_most=float(each.max()),
        backlog_most=lag.backlog_most,
        controller_cores=used / took,
    )


@click.command()
@click.option("--rate", "rates", multiple=True, type=click.IntRange(GROUPS_PER_S))
@click.option("--seconds", default=60.0, show_default=True)
def main(rates: tuple[int, ...], seconds: float) -> None:
    """Measure at each rate, 10,000 and 2,000 records a second if none is given."""
    console = Console()
    core, load_core = machine.two_cores()
    os.sched_setaffinity(0, {load_core})
    with tempfile.TemporaryDirectory(prefix="integration-") as folder:
        phases = run_all(Path(folder), core, rates or (10_000, 2_000), seconds)
    console.print(write_table(phases))
    late = [phase for phase in phases if phase.lag_p99 > _LONGEST_S]
    if late:
        console.print("Records were published later than is promised.")
    sys.exit(1 if late else 0)


def run_all(data_dir: Path, core: int, rates: tuple[int, ...], seconds: float) -> list[Phase]:
    """Measure each rate in turn, with one controller and one journal."""
    settings = Settings(data_dir=data_dir)
    settings.journal_dir.mkdir()
    read_end, own_end = os.pipe()
    command = [sys.executable, "-m", "gateway.controller", write_settings(settings), str(read_end)]
    controller = subprocess.Popen(command, pass_fds=[read_end])
    os.sched_setaffinity(controller.pid, {core})
    journal = Journal(settings.journal_dir)
    try:
        _wait_for_checkpoint(settings.checkpoint_path)
        phases = [
            run_phase(journal, settings.checkpoint_path, controller.pid, rate, seconds)
            for rate in rates
        ]
    finally:
        journal.close()
        os.close(own_end)  # the controller ends with this
        os.close(read_end)
        controller.wait(_PATIENCE_S)
    if list_segments(settings.journal_dir):
        raise LoadTestError("A segment was left that is wholly published.")
    return phases


def write_table(phases: list[Phase]) -> Table:
    """Write what was measured."""
    table = Table(
        "records/s", "for s", "records", "lag p50 s", "p99 s", "most s", "backlog", "cores"
    )
    for one in phases:
        table.add_row(
            f"{one.rate:,.0f}",
            f"{one.seconds:.0f}",
            f"{one.written:,}",
            *(f"{value:.2f}" for value in (one.lag_p50, one.lag_p99, one.lag_most)),
            f"{one.backlog_most:,}",
            f"{one.controller_cores:.2f}",
        )
    return table


def _size(checkpoint: Path) -> int:
    note = read_published(checkpoint)
    return 0 if note is None else Checkpoint.read(note).size


def _wait_for_checkpoint(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise LoadTestError("The controller published nothing.")
        time.sleep(_LOOK_S)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    main()
