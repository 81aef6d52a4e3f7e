"""What clients met while champions changed under load: judged, and as a table."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from rich.table import Table


class Swap(Struct, frozen=True, kw_only=True):
    """One change of champion, or the start of a canary, in seconds of the monotonic clock.

    `old` is the version that answers no more, none where a canary starts. `asked` and `answered`
    tell when the change was, `obeyed` when every worker said that it obeys it.
    """

    old: str
    asked: float
    answered: float
    obeyed: float


class Sample(Struct, frozen=True, kw_only=True):
    """One request: when it was meant to leave, left and was answered, by which version, or why not.

    `fault` is empty for a right answer.
    """

    meant: float
    left: float
    answered: float
    version: str
    fault: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """What clients met. Seconds; latencies are of the answers to requests meant during swaps."""

    swaps: int
    requests: int
    failures: list[str]
    longest_to_obey_s: float
    longest_old_answer_s: float
    p50_s: float
    p99_s: float
    p99_in_swaps_s: float
    most_behind_s: float


def report(samples: Sequence[Sample], swaps: Sequence[Swap]) -> Report:
    """Judge the samples of a run by its swaps."""
    failures = [sample.fault for sample in samples if sample.fault]
    longest_old_s = 0.0
    during: list[float] = []
    ends = [*(swap.asked for swap in swaps), float("inf")][1:]
    for swap, end in zip(swaps, ends, strict=True):
        for sample in samples:
            if swap.answered <= sample.meant <= swap.obeyed:
                during.append(sample.answered - sample.meant)
            # What was answered after the next change was asked for may have met that one.
            if not swap.old or sample.version != swap.old or sample.answered >= end:
                continue
            if sample.left > swap.obeyed:
                failures.append(f"version {swap.old} answered after every worker had left it")
            longest_old_s = max(longest_old_s, sample.answered - swap.answered)
    latencies = [sample.answered - sample.meant for sample in samples]
    return Report(
        swaps=sum(bool(swap.old) for swap in swaps),
        requests=len(samples),
        failures=failures,
        longest_to_obey_s=max((swap.obeyed - swap.answered for swap in swaps), default=0.0),
        longest_old_answer_s=longest_old_s,
        p50_s=_percentile(latencies, 50),
        p99_s=_percentile(latencies, 99),
        p99_in_swaps_s=_percentile(during, 99),
        most_behind_s=max((sample.left - sample.meant for sample in samples), default=0.0),
    )


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else 0.0


def tabulate(found: Report) -> Table:
    """Show what clients met."""
    table = Table(title="Changes of champion under load", show_header=False)
    rows = {
        "changes of champion": f"{found.swaps}",
        "requests": f"{found.requests:,}",
        "failures": f"{len(found.failures)}",
        "longest until every worker obeyed": f"{found.longest_to_obey_s * 1000:.0f} ms",
        "last answer of the version before": f"{found.longest_old_answer_s * 1000:.0f} ms",
        "p50": f"{found.p50_s * 1000:.1f} ms",
        "p99": f"{found.p99_s * 1000:.1f} ms",
        "p99 of requests during changes": f"{found.p99_in_swaps_s * 1000:.1f} ms",
        "most that a client was behind its rate": f"{found.most_behind_s * 1000:.1f} ms",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
