"""`gateway rollout rehearse`: a plan held over recorded traffic, before it touches anybody."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec

from gateway.audit_commands.filters import as_query, since_option, until_option
from gateway.audit_commands.replay import with_progress
from gateway.errors import GatewayError
from gateway.plan_rehearsal.course import StageCourse
from gateway.plan_rehearsal.lanes import Lanes
from gateway.plan_rehearsal.recorded import find_requests, read_requests
from gateway.plan_rehearsal.report import PlanRehearsal, rehearse_plan, rehearsed_rollout
from gateway.rollout_commands.show import print_assessment
from gateway.routing import MOST_SALT_BYTES
from gateway.runtime import Watchdog
from gateway.shadow.challenger import Challenger
from gateway.version_loading import load_version
from registry.audit.query import AuditTrail
from registry.console import data_dir_option, open_registry, record_read
from registry.errors import RegistryError
from registry.phases import Action
from registry.plan_check import check_plan
from registry.registry import Registry
from registry.rollout_file import RolloutFile, read_rollout_file
from registry.rollout_start import find_versions, fit_versions
from registry.rollouts import Plan, Rollout
from registry.times import now
from registry.versions import Version

_DEADLINE_S = 10.0
_ENDS = {
    Action.ADVANCE: "passed",
    Action.PASS: "passed",
    Action.ROLL_BACK: "rolled back",
    Action.EXPIRE: "expired",
    None: "undecided",
}


def _check_salt(_: click.Context, __: click.Parameter, salt: str) -> str:
    if len(salt.encode("utf-8", "surrogatepass")) > MOST_SALT_BYTES:
        raise click.BadParameter(f"at most {MOST_SALT_BYTES} bytes")
    return salt


@click.command("rehearse")
@data_dir_option
@click.option("--model", required=True)
@click.option(
    "--plan",
    "plan_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Challenger, stages and guards (.toml, .json).",
)
@since_option
@until_option
@click.option(
    "--salt",
    default="rehearsal",
    callback=_check_salt,
    show_default=True,
    help="Draws the callers whom the challenger answers; another one draws others.",
)
@click.option("--json", "as_json", is_flag=True, help="Write what was found as JSON.")
def rehearse(  # noqa: PLR0917 - click passes them by name
    data_dir: Path,
    model: str,
    plan_path: Path,
    since: datetime | None,
    until: datetime | None,
    salt: str,
    *,
    as_json: bool,
) -> None:
    """Say what would have become of a rollout in recorded traffic; nothing is changed.

    Needs payloads, of requests to the present champion. Stages and time-outs last by recorded time.
    """
    registry = open_registry(data_dir)
    file = read_rollout_file(plan_path)
    champion, challenger, plan = _prepare(registry, model, file)
    end = until or now()
    rollout = rehearsed_rollout(model, champion.number, plan, salt, end)
    trail = AuditTrail(registry.store, data_dir / "journal")
    record_ids = find_requests(trail, champion, since, end)
    found = _rehearse(registry, trail, rollout, challenger, record_ids)
    query = as_query(model=model, version=challenger.number, since=since, until=until)
    record_read(registry, "gateway rollout rehearse", query, found.taken)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _print(found)


def _prepare(registry: Registry, model: str, file: RolloutFile) -> tuple[Version, Version, Plan]:
    """Return champion, challenger and plan as a start would, refused where that would refuse."""
    try:
        check_plan(file.plan)
        champion, challenger = find_versions(registry.store, model, file.plan)
        return champion, challenger, fit_versions(registry, file.plan, champion, challenger)
    except RegistryError as fault:
        raise file.locate(fault) from fault


def _rehearse(
    registry: Registry,
    trail: AuditTrail,
    rollout: Rollout,
    challenger: Version,
    record_ids: Sequence[str],
) -> PlanRehearsal:
    watchdog = Watchdog(_DEADLINE_S)
    try:
        # As of a version that nothing has named, whose rules act as they declare.
        served = load_version(registry, challenger, None, watchdog)
        lanes = Lanes(Challenger(rollout, served, payload_limit=0))
        outputs = frozenset(spec.name for spec in served.signature.outputs)
        requests = with_progress(read_requests(trail, record_ids, outputs))
        return rehearse_plan(rollout, lanes, requests, len(record_ids))
    except GatewayError as fault:
        raise click.ClickException(str(fault)) from fault
    finally:
        watchdog.close()


def _print(found: PlanRehearsal) -> None:
    click.echo(
        f"Version {found.challenger} of {found.model} against champion {found.champion}, over"
        f" {found.taken:,} of {found.records:,} recorded requests: {_outcome(found)}."
    )
    for reason, count in sorted(found.untaken.items()):
        click.echo(f"Not taken, {reason}: {count:,}.")
    if found.left:
        click.echo(f"Not needed any more: {found.left:,}.")
    for one in found.unjudged:
        click.echo(f"Not judged, {one.guard}: {one.why}.")
    if found.callers is not None:
        click.echo(f"Callers are {found.callers}.")
    for stage in found.stages:
        _print_stage(stage)


def _outcome(found: PlanRehearsal) -> str:
    if not found.stages:
        return "there is nothing to rehearse it over"
    last = found.stages[-1]
    return f"{_ENDS[last.action]} in {last.name}"


def _print_stage(stage: StageCourse) -> None:
    lasted_s = (stage.ended - stage.began).total_seconds()
    click.echo(
        f"\n{stage.name}: {_ENDS[stage.action]} after {stage.requests:,} requests,"
        f" {stage.challenger:,} of them the challenger's, {lasted_s:,.0f} s and"
        f" {stage.looks:,} looks: {stage.reason}."
    )
    print_assessment(stage.assessment, "What the guards said last")
