"""What the demo saw, told as it happens, each thing held against what was promised."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from gateway.demo.replay import Reply
from gateway.demo.rollout import Shown, Stage
from gateway.rollout.words import guard_name, judgement_words
from registry.records import Lane
from registry.rollouts import POINTS, Phase, Plan, Rollout

_LONGEST_SWAP_MS = 1000
# Sharing by chance: so many standard deviations off happens once in 16,000 runs.
_FAR = 4


class Check(Struct, frozen=True):
    """One thing that happened, what was seen of it, and whether it is what was promised."""

    what: str
    seen: str
    holds: bool


class Summary:
    """Tells each thing as it happens, and keeps whether it is as promised."""

    def __init__(self, console: Console) -> None:
        self.checks: list[Check] = []
        self._console = console

    @property
    def is_kept(self) -> bool:
        """Whether all so far is as promised."""
        return all(check.holds for check in self.checks)

    def begin(self, title: str, what: str) -> None:
        """Begin an act: its title, and what it is about for somebody who is new here."""
        self._console.print()
        self._console.print(Text.assemble((title, "bold"), " ", (what, "dim")))

    def add_replay(self, what: str, replies: Sequence[Reply], expected_version: str) -> None:
        """Every flight is answered, and by the version that is live; a flag does not hinder it."""
        statuses = Counter(reply.status for reply in replies)
        flagged = sum(reply.flags is not None for reply in replies)
        latency_ms = statistics.median(reply.latency_ms for reply in replies)
        self._add(
            what,
            f"{statuses[200]:,} of {len(replies):,} answered: {_by(replies)}; "
            f"{flagged:,} flagged as unlike training; median {latency_ms:.0f} ms{_tried(replies)}",
            statuses[200] == len(replies)
            and {reply.version for reply in replies} == {expected_version},
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

    def add_drift(self, report: dict[str, Any]) -> None:
        """What July has and the winter had not is seen: the temperature."""
        material = [one for one in report["features"] if one["comparison"]["level"] == "material"]
        worst = sorted(material, key=lambda one: -one["comparison"]["effect"])[:3]
        told = [f"{one['feature']} {one['comparison']['effect']:.0%}" for one in worst]
        self._add(
            "Drift",
            f"{report['rows']:,} flights of July are not as in winter; shares that moved most: "
            + ", ".join(told),
            any(one["feature"] == "temp" for one in material),
        )

    def add_plan(self, plan: Plan) -> None:
        """Guards are declared before anything is seen."""
        guards = [f"{guard_name(one)} (margin {one.margin:g})" for one in plan.guards]
        share = plan.stages[-1].points / POINTS
        self._add(
            "Declared before the start",
            f"shadow, then {share:.0%} of the callers; must not be worse in " + ", ".join(guards),
            bool(guards),
        )

    def add_shadow(self, stage: Stage, report: dict[str, Any]) -> None:
        """A shadow answers nobody, and its predictions are compared in pairs."""
        by = [
            f"{one['segment']} {1 - one['differing'] / max(1, one['compared']):.0%}"
            for one in report["segments"]
        ]
        labels = [one for one in report["outputs"] if one["output"] == "label"]
        agreement = (labels[0]["agreement"] or 0.0) if labels else 0.0
        is_apart = {reply.lane for reply in stage.replies} == {Lane.CHAMPION}
        self._add(
            "Shadow",
            f"{len(stage.replies):,} answers: {_by(stage.replies)}{_tried(stage.replies)}; beside "
            f"{report['compared']:,} of them version {report['challenger']} ran too, says late or "
            f"not as the champion in {agreement:.0%} (alike in all, by origin: {', '.join(by)}) "
            f"and failed {report['failed']}",
            is_apart and _all_answered(stage) and report["compared"] > 0 and not report["failed"],
        )

    def add_canary(self, stage: Stage, rollout: Rollout) -> None:
        """A canary answers its share of the callers, and no other version answers them."""
        share = rollout.plan.stages[rollout.stage].points / POINTS
        count = len(stage.replies)
        canary = [reply for reply in stage.replies if reply.lane == Lane.CANARY]
        seen = len(canary) / max(1, count)
        far = _FAR * (share * (1 - share) / max(1, count)) ** 0.5
        versions = {(reply.lane, reply.version) for reply in stage.replies}
        expected = {
            (Lane.CANARY, str(rollout.plan.challenger)),
            (Lane.CHAMPION, str(rollout.champion)),
        }
        self._add(
            "Canary",
            f"{count:,} answers: {_by(stage.replies)}, or {seen:.1%}{_tried(stage.replies)}",
            abs(seen - share) <= far and versions == expected and _all_answered(stage),
        )

    def add_truth(self, stage: Stage) -> None:
        """Every label is taken."""
        self._add(
            "Ground truth",
            f"came later, of all {stage.labels:,} flights: whether each arrived late in truth",
            stage.labels == len(stage.replies) + len(stage.late),
        )

    def add_verdict(self, shown: Shown, action: str, phase: Phase) -> None:
        """The controller decides, on evidence that is kept with the decision."""
        last = shown.changes[-1]
        judged = () if last.assessment is None else last.assessment.judgements
        told = "" if last.action == "roll_back" else ": " + "; ".join(map(judgement_words, judged))
        self._add(
            f"Verdict of the {last.principal}",
            f"{last.action}, since {last.reason}{told}",
            (last.action, last.phase, last.principal) == (action, phase, "controller")
            and bool(judged),
        )

    def add_request(self, asked: dict[str, Any] | None, author: str) -> None:
        """What passed asks to be promoted in the name of whoever started it, and waits."""
        checks = [] if asked is None else asked["checks"]
        told = ", ".join(one["name"] for one in checks if one["is_met"])
        self._add(
            "Promotion asked for",
            f"in the name of Ann, who started it; what the policy asks is there: {told}",
            asked is not None
            and asked["author"] == author
            and all(one["is_met"] for one in checks),
        )

    def add_self_approval(self, status: int, code: str, champion: int) -> None:
        """Who asks cannot approve, with no key of theirs, and nothing is changed by trying."""
        self._add(
            "Ann approves it herself, with another key",
            f"{status} {code}; champion is still version {champion}",
            (status, code, champion) == (403, "self-approval", 1),
        )

    def add_swap(self, what: str, took_ms: float) -> None:
        """Every worker follows within a second."""
        self._add(
            what, f"every worker serves it after {took_ms:.0f} ms", took_ms < _LONGEST_SWAP_MS
        )

    def add_harmless(self, stage: Stage, version: int, champion: int) -> None:
        """A version that is caught in shadow has answered nobody, and the champion stays."""
        replies = [*stage.replies, *stage.late]
        met = sum(reply.version == str(version) for reply in replies)
        self._add(
            f"Callers that met version {version}",
            f"{met} of {len(replies):,}; champion is still version {champion}",
            met == 0 and champion != version and bool(replies),
        )

    def add_quality(self, report: dict[str, Any]) -> None:
        """A version tells late flights from others better than chance, by the labels that came."""
        ranking, rows = report["ranking"], report["matured"]["scored"]
        low, high = ranking["interval"]["low"], ranking["interval"]["high"]
        self._add(
            f"Quality of version {report['version']}, measured live",
            f"area under ROC {ranking['auc']:.3f} [{low:.3f}, {high:.3f}], n = {rows:,}",
            low > 0.5,
        )

    def add_audit(self, answered: Sequence[str], found: set[str]) -> None:
        """Every answer is found in the audit trail."""
        lost = [record_id for record_id in answered if record_id not in found]
        self._add(
            "Audit records of all these answers",
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

    def add_proof(self, index: int, size: int, fault: str | None) -> None:
        """That its record is in the signed log is checked with nothing but the log's key."""
        seen = f"record {index:,} is among the {size:,} that were signed; checked with no server"
        self._add("Proof of its record", fault or seen, fault is None)

    def add_history(self, changes: Sequence[dict[str, Any]]) -> None:
        """The history names every change of the champion with its reason."""
        told = " → ".join(f"{c['cause']} {c['version']} ({c['reason']})" for c in changes)
        self._add("What was live, and why", told, [c["version"] for c in changes] == [1, 2, 1])

    def _add(self, what: str, seen: str, holds: bool) -> None:
        self.checks.append(Check(what, seen, holds))
        mark = ("  ✓ ", "green") if holds else ("  ✗ ", "bold red")
        self._console.print(Text.assemble(mark, (f"{what}: ", "cyan"), seen))


def _by(replies: Sequence[Reply]) -> str:
    versions = Counter(reply.version or "none" for reply in replies)
    return ", ".join(f"{count:,} by version {one}" for one, count in sorted(versions.items()))


def _tried(replies: Sequence[Reply]) -> str:
    """Say how many were asked again, since a busy gateway sheds what would wait too long."""
    again = sum(reply.tries > 1 for reply in replies)
    return f"; {again} asked again of a busy machine" if again else ""


def _all_answered(stage: Stage) -> bool:
    return bool(stage.replies) and all(reply.status == 200 for reply in stage.replies)
