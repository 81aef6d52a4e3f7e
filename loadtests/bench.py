"""`make bench`: what one core of the gateway answers, beside peers that do none of what it does.

Every session has a fresh server. The server, with every process it has, is held to one core and its
load to another. The first answer is compared with scikit-learn's, later ones with the first.
Capacity is measured in a closed loop (wrk), latency in an open one at 25, 50 and 75 % of that
capacity, counted from when each request was due. Subjects take turns within a round, and ratios
compare runs of one round. The gateway's processor time counts until its last record is in the
store, and the audit log must hold a record for every answer that was counted.
"""

import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from msgspec import Struct
from rich.console import Console

from loadtests import machine, subjects, workloads, wrk
from loadtests.errors import LoadTestError
from loadtests.measure import Course, Material, Session, Trial
from loadtests.model import MODEL
from loadtests.report import Line, summarise, tabulate
from loadtests.results import FORMAT, RESULTS, Written
from loadtests.server import publish
from loadtests.subjects import FASTAPI, GATEWAY, Subject
from loadtests.workloads import Workload

_WIDTH = 170  # of the table, where no terminal says how wide it is
_QUIET = 0.05  # a larger share of the server's core in other hands makes numbers worth little


class Order(Struct, frozen=True, kw_only=True):
    """What a benchmark measures, how often, and in which folder."""

    subjects: Sequence[Subject]
    workloads: Sequence[Workload]
    rounds: int
    course: Course
    folder: Path


def prepare(workload: Workload, folder: Path) -> Material:
    """Train a workload's model and publish it in a data directory that sessions copy."""
    trained = workload.model()
    data_dir, model_file = folder / "data", folder / "model.onnx"
    model_file.write_bytes(trained.artifact)
    key = publish(data_dir, MODEL, [(trained.artifact, trained.draft)])
    return Material(trained=trained, model_file=model_file, data_dir=data_dir, key=key)


def measure_all(order: Order, console: Console) -> list[Session]:
    """Measure every subject under every workload, in rounds."""
    sessions: list[Session] = []
    for workload in order.workloads:
        with tempfile.TemporaryDirectory(dir=order.folder) as folder:
            material = prepare(workload, Path(folder))
            for number in range(order.rounds):
                for subject in order.subjects:
                    if not takes_part(subject, workload, number):
                        continue
                    with tempfile.TemporaryDirectory(dir=order.folder) as own:
                        trial = Trial(
                            course=order.course,
                            subject=subject,
                            workload=workload,
                            material=material,
                            folder=Path(own),
                            round=number,
                        )
                        session = trial.run()
                    sessions.append(session)
                    console.print(describe(session), markup=False, highlight=False)
    return sessions


def takes_part(subject: Subject, workload: Workload, round: int) -> bool:
    """Say whether a subject is measured: workers are the gateway's own affair.

    A server that has no form for large batches is not asked for any.
    """
    if workload.workers > 1 and subject.name != GATEWAY:
        return False
    if workload.is_large and subject.large is None:
        return False
    return not (subject.once and round)


def describe(session: Session) -> str:
    """Say in a line what a session brought."""
    start = f"{session.workload}, {session.subject}: "
    capacity = session.capacity
    if session.fault or capacity is None:
        return start + session.fault
    caught_up = f", log caught up in {session.catch_up_s:.1f} s" if session.records else ""
    late = ["" if result.kept_rate else " (rate not kept)" for result in session.opened]
    opened = "".join(
        f", {result.p99_us / 1000:.1f} ms p99 at {result.wanted_per_second:,.0f}/s{mark}"
        for result, mark in zip(session.opened, late, strict=True)
    )
    return f"{start}{capacity.per_second:,.0f}/s{opened}{caught_up}"


def _report(order: Order, sessions: Sequence[Session], console: Console) -> list[Line]:
    lines = summarise(sessions)
    console.print(tabulate(lines))
    for line in lines:
        if line.fault:
            console.print(f"{line.workload}, {line.subject}: {line.fault}", markup=False)
    apart = {workload.name for workload in order.workloads if workload.is_apart}
    if any((line.others_cores or 0.0) > _QUIET for line in lines if line.workload in apart):
        console.print("Other work had a part of the server's core: run this again when it is idle.")
    return lines


def write(order: Order, sessions: list[Session], lines: list[Line], folder: Path) -> Path:
    """Keep everything in one file, named after its time."""
    at = datetime.now(UTC)
    written = Written(
        format=FORMAT,
        at=at.isoformat(timespec="seconds"),
        machine=machine.describe(),
        versions={one.name: one.versions() for one in order.subjects if one.is_installed},
        method=" ".join((__doc__ or "").split()),
        closed_s=order.course.closed_s,
        opened_s=order.course.opened_s,
        rounds=order.rounds,
        lines=lines,
        sessions=sessions,
    )
    folder.mkdir(exist_ok=True)
    path = folder / f"bench-{at:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
    return path


@click.command()
@click.option("--subject", "names", multiple=True, help="Measure only this one (repeat for more).")
@click.option("--workload", "kinds", multiple=True, help="Ask only this (repeat for more).")
@click.option("--seconds", default=3, show_default=True, help="Length of a closed-loop run.")
@click.option("--open-seconds", default=2.0, show_default=True, help="Of an open one; 0 for none.")
@click.option("--rounds", default=2, show_default=True, help="Sessions of each subject.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    help="Folder that the result is written to.",
)
def main(
    *,
    names: Sequence[str],
    kinds: Sequence[str],
    seconds: int,
    open_seconds: float,
    rounds: int,
    output: Path,
) -> None:
    """Measure the gateway beside its peers; ends with status 1 where it or FastAPI failed.

    `make bench-peers` installs the peers. C++ onnxruntime-server is built by hand, from a release
    of kibae/onnxruntime-server; the environment variable ONNXRUNTIME_SERVER names the program.
    """
    # Ends as an error does, so that the server under load is stopped as well.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    console = Console(width=_WIDTH if not sys.stdout.isatty() else None)
    try:
        course = _plan_course(closed_s=seconds, opened_s=open_seconds)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            order = Order(
                subjects=subjects.choose(names),
                workloads=workloads.choose(kinds),
                rounds=rounds,
                course=course,
                folder=Path(folder),
            )
            sessions = measure_all(order, console)
        lines = _report(order, sessions, console)
        console.print(f"Written to {write(order, sessions, lines, output)}")
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)
    needed = {GATEWAY, FASTAPI}
    sys.exit(1 if any(line.fault and line.subject in needed for line in lines) else 0)


def _plan_course(*, closed_s: int, opened_s: float) -> Course:
    """Say for how long and on which cores is measured. Raises LoadTestError."""
    server_core, client_core = machine.two_cores()
    return Course(
        wrk=wrk.find_wrk(),
        closed_s=closed_s,
        opened_s=opened_s,
        server_core=server_core,
        client_core=client_core,
    )


if __name__ == "__main__":
    main()
