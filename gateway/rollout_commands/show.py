"""`gateway rollout list` and `show`: which rollouts there are, how one stands and came to."""

from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from gateway.rollout.words import guard_name
from gateway.truth.apart import matured_scores
from registry import rolling_out
from registry.console import (
    data_dir_option,
    open_registry,
    payload_key_file,
    print_table,
    printable,
)
from registry.promoting import promotion_checks
from registry.registry import Registry
from registry.rollouts import (
    Assessment,
    Guard,
    GuardKind,
    Judgement,
    Phase,
    Rollout,
    RolloutChange,
)


@click.command("list")
@data_dir_option
@click.argument("model", required=False)
def list_rollouts(data_dir: Path, model: str | None) -> None:
    """List the rollouts of MODEL, or of all models, newest first."""
    registry = open_registry(data_dir)
    found = registry.store.rollouts() if model is None else rolling_out.rollouts(registry, model)
    print_table(
        ("id", "model", "challenger", "champion", "phase", "stage", "started", "ended", "by"),
        (
            (
                one.id, one.model, one.plan.challenger, one.champion, phase_words(one),
                one.stage_name, one.started, one.ended, one.author,
            )
            for one in found
        ),
    )  # fmt: skip


@click.command("show")
@data_dir_option
@click.argument("rollout_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Write all of it as JSON.")
def show(data_dir: Path, rollout_id: str, *, as_json: bool) -> None:
    """Show what ID compares, how it stands, and what became of it on which evidence."""
    registry = open_registry(data_dir)
    registry.truth = matured_scores(data_dir, payload_key_file())
    with registry.store.snapshot() as view:
        found = rolling_out.find_rollout(view, rollout_id)
        changes = view.rollout_changes(rollout_id)
    if as_json:
        click.echo(msgspec.json.encode({"rollout": found, "changes": changes}))
        return
    click.echo(
        f"Version {found.plan.challenger} of {found.model} against champion {found.champion}:"
        f" {standing(found)}."
    )
    click.echo(printable(f"Started by {found.author}: {found.reason}"))
    if found.phase is Phase.PASSED:
        _print_what_is_left(registry, found)
    _print_guards(found)
    _print_changes(changes)
    for change in reversed(changes):
        if change.assessment is not None:
            title = "Evidence of the last decision"
            print_assessment(change.assessment, title)
            break


def _print_what_is_left(registry: Registry, rollout: Rollout) -> None:
    """Say what a rollout that has passed every stage waits for."""
    for one in registry.store.promotions(rollout.model, only_pending=True):
        if one.evidence.rollout is not None and one.evidence.rollout.rollout == rollout.id:
            click.echo(f"Another person is to decide: gateway promotions show {one.id}")
            return
    checks = promotion_checks(registry, rollout.model, rollout.plan.challenger)
    for check in checks:
        if not check.is_met:
            click.echo(printable(f"Its promotion waits for {check.need} ({check.found})."))


def _print_guards(rollout: Rollout) -> None:
    print_table(
        ("guard", "margin", "on"),
        (
            (guard.kind, f"{guard.margin:g}", _what(guard, edge_us))
            for guard, edge_us in zip(rollout.plan.guards, rollout.edges_us, strict=True)
        ),
        "Must not be worse",
    )


def _print_changes(changes: Iterable[RolloutChange]) -> None:
    print_table(
        ("at", "action", "phase", "stage", "by", "reason", "record"),
        (
            (
                one.at, one.action, one.phase, one.stage, one.principal, one.reason,
                one.record_id,
            )
            for one in changes
        ),
        "What became of it",
    )  # fmt: skip


def print_assessment(assessment: Assessment, title: str) -> None:
    """Print what each guard said, with its numbers."""
    print_table(
        ("guard", "verdict", "challenger", "champion", "events", "worse", "fine", "interval"),
        (_judged(one) for one in assessment.judgements),
        f"{title}: {assessment.verdict} in stage {assessment.stage}",
    )


def _judged(one: Judgement) -> tuple[object, ...]:
    events = None if one.events is None else f"{one.events[0]:,} · {one.events[1]:,}"
    interval = None if one.low is None or one.high is None else f"{one.low:.4g} … {one.high:.4g}"
    return (
        guard_name(one.guard), one.verdict, f"{one.challenger:,}", f"{one.champion:,}", events,
        _logarithm(one.evidence_worse), _logarithm(one.evidence_fine), interval,
    )  # fmt: skip


def _logarithm(evidence: float | None) -> str | None:
    return None if evidence is None else f"e^{evidence:.2f}"


def _what(guard: Guard, edge_us: int) -> str | None:
    if guard.kind is GuardKind.LATENCY:
        return f"requests beyond {edge_us / 1000:g} ms"
    if guard.output is not None:
        return guard.output if guard.column is None else f"{guard.output}[{guard.column}]"
    return guard.metric


def phase_words(rollout: Rollout) -> str:
    """Name the phase of a rollout, and that it is paused where it is."""
    return f"{rollout.phase}, paused" if rollout.is_paused else rollout.phase.value


def standing(rollout: Rollout) -> str:
    """Say how a rollout stands, as in `canary, paused, step 1 of 2 (1 %)`."""
    if rollout.phase is Phase.SHADOW:  # whose only stage has its name
        return f"{rollout.stage_name}, paused" if rollout.is_paused else rollout.stage_name
    return f"{phase_words(rollout)}, {rollout.stage_name}"
