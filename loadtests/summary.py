"""What the runs of a benchmark say together."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct
from rich.table import Table

from loadtests.wrk import WrkResult

GATEWAY, PEER = "gateway", "FastAPI"
SUBJECTS = (GATEWAY, PEER)


class Run(Struct, frozen=True, kw_only=True):
    """One run of one subject. Processor time is in seconds, by part of the server.

    `catch_up_s` is how long after the last answer the last record was in the store, `others` the
    share of the server's core that went to other processes, or to other guests of the machine.
    """

    subject: str
    result: WrkResult
    cpu_s: dict[str, float]
    catch_up_s: float = 0.0
    others: float = 0.0

    def cpu_us(self, part: str | None = None) -> float:
        """Processor time for each answer, in microseconds, of one part or of all."""
        used = sum(self.cpu_s.values()) if part is None else self.cpu_s.get(part, 0.0)
        return used / self.result.answers * 1e6


class Summary(Struct, frozen=True, kw_only=True):
    """The medians of a subject's runs."""

    subject: str
    per_second: float
    slowest: float
    fastest: float
    p50_us: float
    p99_us: float
    cpu_us: float
    controller_us: float
    catch_up_s: float
    most_others: float


def summarise(subject: str, runs: Sequence[Run]) -> Summary:
    """Take the median of each measure over a subject's runs."""
    own = [run for run in runs if run.subject == subject]
    rates = [run.result.per_second for run in own]
    return Summary(
        subject=subject,
        per_second=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        p50_us=median(run.result.p50_us for run in own),
        p99_us=median(run.result.p99_us for run in own),
        cpu_us=median(run.cpu_us() for run in own),
        controller_us=median(run.cpu_us("controller") for run in own),
        catch_up_s=median(run.catch_up_s for run in own),
        most_others=max(run.others for run in own),
    )


def ratios(runs: Sequence[Run]) -> list[float]:
    """Return how many times the peer's rate the gateway had, for each pair of neighbouring runs."""
    own, peers = ([run.result.per_second for run in runs if run.subject == s] for s in SUBJECTS)
    return [rate / peer for rate, peer in zip(own, peers, strict=True)]


def tabulate(summaries: Sequence[Summary]) -> Table:
    """Show the medians."""
    table = Table(title="One core, 32 connections, one row of 30 floats as JSON (medians)")
    for heading in ("", "req/s", "runs", "p50 ms", "p99 ms", "CPU µs/req", "of it log", "others"):
        table.add_column(heading, justify="right" if heading else "left")
    for one in summaries:
        table.add_row(
            one.subject,
            f"{one.per_second:,.0f}",
            f"{one.slowest / 1000:.1f}–{one.fastest / 1000:.1f}k",
            f"{one.p50_us / 1000:.2f}",
            f"{one.p99_us / 1000:.2f}",
            f"{one.cpu_us:.0f}",
            f"{one.controller_us:.0f}",
            f"{one.most_others:.0%}",
        )
    return table
