"""What the demo saw, held against what it promised, and shown in one table."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from gateway.demo.replay import MODEL, Reply
from registry.manifest import Metric

_LONGEST_SWAP_MS = 1000


class Check(Struct, frozen=True):
    """One thing that happened, what was seen of it, and whether it is what was promised."""

    what: str
    seen: str
    holds: bool


class Summary:
    """Collects the checks of a run."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def add_replay(self, what: str, replies: Sequence[Reply], expected_version: str) -> None:
        """Every flight is answered, and by the version that is live; a flag does not hinder it."""
        statuses = Counter(reply.status for reply in replies)
        versions = Counter(reply.version for reply in replies if reply.status == 200)
        flagged = sum(reply.flags is not None for reply in replies)
        latency_ms = statistics.median(reply.latency_ms for reply in replies)
        by = ", ".join(f"{count:,} by version {version}" for version, count in versions.items())
        self._add(
            what,
            f"{statuses[200]:,} of {len(replies):,} answered: {by}; {flagged} flagged; "
            f"median {latency_ms:.1f} ms",
            statuses[200] == len(replies) and set(versions) == {expected_version},
        )

    def add_refusals(self, replies: Sequence[Reply]) -> None:
        """Both broken requests are refused, each naming the input at fault."""
        for reply, (name, rule) in zip(
            replies, (("carrier", "categories"), ("distance", "missing")), strict=True
        ):
            found = [f"{v['input']} row {v['row']}: {v['rule']}, expected {v['expected']}"
                     for v in reply.violations]  # fmt: skip
            named = any(v["input"] == name and v["rule"] == rule for v in reply.violations)
            self._add(
                f"Refused: {rule} of {name}",
                f"{reply.status}, " + "; ".join(found),
                reply.status == 400 and named and reply.record_id != "",
            )

    def add_swap(self, what: str, took_ms: float) -> None:
        """Every worker follows within a second."""
        self._add(
            what, f"every worker serves it after {took_ms:.0f} ms", took_ms < _LONGEST_SWAP_MS
        )

    def add_quality(self, version: str, area: Metric) -> None:
        """A version tells late flights from others better than chance, on flights it never saw."""
        self._add(
            f"Quality of version {version} in July",
            f"{area.name} {area.value:.3f} [{area.low:.3f}, {area.high:.3f}], n = {area.n:,}",
            area.low > 0.5,
        )

    def add_audit(self, answered: Sequence[str], found: set[str]) -> None:
        """Every answer is found in the audit trail."""
        lost = [record_id for record_id in answered if record_id not in found]
        self._add(
            "Audit records of these answers",
            f"{len(answered) - len(lost):,} of {len(answered):,} found",
            not lost,
        )

    def add_payload(self, record_id: str, payload: dict[str, Any]) -> None:
        """What a caller sent is kept, and is what the record commits to."""
        given = {tensor["name"]: tensor["data"][0] for tensor in payload["inputs"]}
        self._add(
            "Input of the first answer",
            ", ".join(f"{name} {value}" for name, value in list(given.items())[:5]) + ", …",
            payload["committed"] and payload["record_id"] == record_id,
        )

    def add_history(self, changes: Sequence[dict[str, Any]]) -> None:
        """The history names every change of the champion with its reason."""
        told = " → ".join(f"{c['cause']} {c['version']} ({c['reason']})" for c in changes)
        self._add("What was live, and why", told, [c["version"] for c in changes] == [1, 2, 1])

    def _add(self, what: str, seen: str, holds: bool) -> None:
        self.checks.append(Check(what, seen, holds))


def print_summary(console: Console, summary: Summary) -> None:
    """Print one row for each thing that happened."""
    table = Table("what", "seen", "as promised", title="What happened")
    for check in summary.checks:
        verdict = "[green]yes[/green]" if check.holds else "[red]no[/red]"
        table.add_row(check.what, check.seen, verdict)
    console.print(table)


def print_commands(console: Console, url: str, caller: str, deployer: str, auditor: str) -> None:
    """Print commands to try by hand against the gateway that goes on serving."""
    request = (
        '{"inputs": [{"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": ["UA"]}, …]}'
    )
    lines = (
        "",
        f"The gateway goes on serving at {url} until you press Ctrl-C. To try by hand:",
        "",
        f"export CALLER={caller}",
        f"export DEPLOYER={deployer}",
        f"export AUDITOR={auditor}",
        f'curl -H "Authorization: Bearer $CALLER" {url}/v2/models/{MODEL}',
        f"curl -H \"Authorization: Bearer $CALLER\" {url}/v2/models/{MODEL}/infer -d '{request}'",
        f'curl -H "Authorization: Bearer $DEPLOYER" {url}/admin/models/{MODEL}/promotions '
        '-d \'{"version": 2, "reason": "by hand"}\'',
        f'curl -H "Authorization: Bearer $DEPLOYER" {url}/admin/models/{MODEL}/rollback '
        '-d \'{"reason": "by hand"}\'',
        f"curl -H \"Authorization: Bearer $AUDITOR\" '{url}/audit/records?outcome=refused&limit=5'",
        f"All routes: {url}/docs",
    )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
