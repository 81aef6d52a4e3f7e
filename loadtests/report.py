"""What the sessions of a benchmark say together: medians, ratios to FastAPI, and one table."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct
from rich.table import Table

from loadtests.measure import Session
from loadtests.openloop import OpenResult
from loadtests.subjects import FASTAPI
from loadtests.wrk import WrkResult

HEADINGS = (
    "workload", "server", "asked in", "conns", "req/s", "runs", "× FastAPI", "p50", "p99",
    "p99 at 25 / 50 / 75 %", "CPU µs", "PSS MiB", "cores",
)  # fmt: skip
_WIDTHS = (4, 22, 12)  # of the first columns, which hold words
_LONGEST_FAULT = 60


class Line(Struct, frozen=True, kw_only=True):
    """The medians of a subject's rounds over one number of connections, under one workload.

    `ratio` is how many times FastAPI's rate it had: the median over rounds, each compared with
    FastAPI's run in the same round. It is None where FastAPI was not measured.
    """

    workload: str
    subject: str
    form: str
    connections: int
    per_second: float = 0.0
    slowest: float = 0.0
    fastest: float = 0.0
    ratio: float | None = None
    p50_us: float = 0.0
    p99_us: float = 0.0
    cpu_us: float | None = None
    memory_bytes: int | None = None
    opened: list[OpenResult] = []
    server_cores: float | None = None
    others_cores: float | None = None
    fault: str = ""


def summarise(sessions: Sequence[Session]) -> list[Line]:
    """Return a line for each workload, subject and number of connections, in the order measured."""
    lines: list[Line] = []
    for workload in dict.fromkeys(session.workload for session in sessions):
        own = [session for session in sessions if session.workload == workload]
        for subject in dict.fromkeys(session.subject for session in own):
            lines += _lines([session for session in own if session.subject == subject], own)
    return lines


def _lines(sessions: Sequence[Session], rivals: Sequence[Session]) -> list[Line]:
    first = sessions[0]
    faults = [session.fault for session in sessions if session.fault]
    if faults:
        line = Line(
            workload=first.workload,
            subject=first.subject,
            form=first.form,
            connections=0,
            fault=faults[0],
        )
        return [line]
    numbers = dict.fromkeys(run.connections for session in sessions for run in session.closed)
    return [_line(sessions, rivals, connections) for connections in numbers]


def _line(sessions: Sequence[Session], rivals: Sequence[Session], connections: int) -> Line:
    first = sessions[0]
    is_main = connections == first.closed[0].connections
    runs = [run for run in (_run(session, connections) for session in sessions) if run is not None]
    rates = [run.per_second for run in runs]
    line = Line(
        workload=first.workload,
        subject=first.subject,
        form=first.form,
        connections=connections,
        per_second=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        ratio=_ratio(sessions, rivals, connections),
        p50_us=median(run.p50_us for run in runs),
        p99_us=median(run.p99_us for run in runs),
    )
    if not is_main:
        return line
    return _with_costs(line, sessions)


def _with_costs(line: Line, sessions: Sequence[Session]) -> Line:
    return Line(
        **{name: getattr(line, name) for name in Line.__struct_fields__}
        | {
            "cpu_us": median(sum(session.cpu_us.values()) for session in sessions),
            "memory_bytes": sum(sessions[0].memory_bytes.values()),
            "opened": [result for session in sessions for result in session.opened],
            "server_cores": median(session.busy["server"] for session in sessions),
            "others_cores": max(session.busy["others"] for session in sessions),
        }
    )


def _run(session: Session, connections: int) -> WrkResult | None:
    for run in session.closed:
        if run.connections == connections:
            return run.result
    return None


def _ratio(
    sessions: Sequence[Session], rivals: Sequence[Session], connections: int
) -> float | None:
    peers = {session.round: session for session in rivals if session.subject == FASTAPI}
    found: list[float] = []
    for session in sessions:
        run = _run(session, connections)
        peer = peers.get(session.round)
        beside = None if peer is None or peer.fault else _run(peer, connections)
        if run is not None and beside is not None:
            found.append(run.per_second / beside.per_second)
    return median(found) if found else None


def tabulate(lines: Sequence[Line]) -> Table:
    """Show the lines; latencies in ms, those of the open loop from when a request was due."""
    table = Table(title="Answers a second, one server core")
    for number, heading in enumerate(HEADINGS):
        if number < len(_WIDTHS):
            table.add_column(heading, min_width=_WIDTHS[number])
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    shown = ""
    for line in lines:
        if line.workload != shown:
            table.add_section()
            shown = line.workload
        table.add_row(*cells(line))
    return table


def cells(line: Line) -> list[str]:
    """Write a line as words; a server that was not measured says why in place of numbers."""
    start = [line.workload, line.subject, line.form]
    if line.fault:
        return [line.workload, line.subject, line.fault[:_LONGEST_FAULT], *[""] * 10]
    return [
        *start,
        str(line.connections),
        f"{line.per_second:,.0f}",
        f"{line.slowest:,.0f}–{line.fastest:,.0f}",
        "" if line.ratio is None else f"{line.ratio:.2f}",
        f"{line.p50_us / 1000:.2f}",
        f"{line.p99_us / 1000:.2f}",
        " / ".join(_opened(result) for result in line.opened),
        "" if line.cpu_us is None else f"{line.cpu_us:.0f}",
        "" if line.memory_bytes is None else f"{line.memory_bytes / 2**20:.0f}",
        "" if line.server_cores is None else f"{line.server_cores:.2f} + {line.others_cores:.2f}",
    ]


def _opened(result: OpenResult) -> str:
    """Write the 99th percentile; a star says that the generator could not keep its rate."""
    return f"{result.p99_us / 1000:.1f}{'' if result.kept_rate else '*'}"
