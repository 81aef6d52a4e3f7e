"""`gateway`: serve, demo, and the keys and records of a data directory."""

import importlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import gateway
from gateway.logs import configure_logs
from gateway.security import Role, make_key
from gateway.serve import serve
from gateway.settings import Settings
from registry.audit.query import AuditTrail
from registry.console import DEFAULT_DATA_DIR, Commands, data_dir, local_author, open_registry
from registry.records import Kind, Outcome, RecordFilter
from registry.times import from_us, now

_CONSOLE = Console()
_ROLES = click.Choice([role.value for role in Role])
_DEFAULTS = Settings(data_dir=DEFAULT_DATA_DIR)


class WithDemo(Commands):
    """Imports the demo only to run it: it needs scikit-learn and pandas, serving does not."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "demo"])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "demo":
            command: click.Command = importlib.import_module("gateway.demo.story").demo
            return command
        return super().get_command(ctx, name)


@click.group(cls=WithDemo, context_settings={"auto_envvar_prefix": "GATEWAY"})
@click.version_option(gateway.VERSION)
def main() -> None:
    """Serve versioned ONNX models, and prove every answer."""


@main.command("serve")
@data_dir
@click.option("--host", default=_DEFAULTS.host, show_default=True)
@click.option("--port", default=_DEFAULTS.port, show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", default=_DEFAULTS.workers, show_default=True, type=click.IntRange(1))
@click.option(
    "--body-limit",
    default=_DEFAULTS.body_limit,
    show_default=True,
    type=click.IntRange(1),
    help="Bytes of one inference request.",
)
@click.option(
    "--run-deadline",
    "run_deadline_s",
    default=_DEFAULTS.run_deadline_s,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds that one run of a model may take.",
)
@click.option(
    "--body-deadline",
    "body_deadline_s",
    default=_DEFAULTS.body_deadline_s,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds within which the body of a request must arrive.",
)
def serve_command(data_dir: Path, **options: Any) -> None:
    """Serve the models of a data directory."""
    configure_logs("supervisor")
    serve(Settings(data_dir=data_dir.resolve(), **options))


@main.group()
def keys() -> None:
    """Make, list and revoke API keys; no server needs to run."""


@keys.command("create")
@data_dir
@click.option("--role", "roles", multiple=True, required=True, type=_ROLES)
@click.option("--name", default="", help="What the key is for.")
@click.option("--days", type=click.IntRange(1), help="Days until it expires; never, if not given.")
def create_key(data_dir: Path, roles: tuple[str, ...], name: str, days: int | None) -> None:
    """Make a key and print its token, this once."""
    registry, created = open_registry(data_dir), now()
    expires = None if days is None else created + timedelta(days=days)
    key, token = make_key(
        name=name, roles=roles, author=local_author().principal, created=created, expires=expires
    )
    registry.add_key(key, local_author())
    click.echo(f"{key.id} has the roles: {', '.join(key.roles)}", err=True)
    click.echo(token)


@keys.command("list")
@data_dir
def list_keys(data_dir: Path) -> None:
    """List all keys."""
    table = Table("id", "name", "roles", "created", "expires", "revoked")
    for key in open_registry(data_dir).store.api_keys():
        moments = (key.created, key.expires, key.revoked)
        texts = ("" if m is None else m.isoformat(" ", "seconds") for m in moments)
        table.add_row(key.id, key.name, ", ".join(key.roles), *texts)
    _CONSOLE.print(table)


@keys.command("revoke")
@data_dir
@click.argument("key_id")
def revoke_key(data_dir: Path, key_id: str) -> None:
    """End a key; a running gateway refuses it within a second."""
    open_registry(data_dir).revoke_key(key_id, local_author())
    click.echo(f"{key_id} is revoked.")


@main.group()
def audit() -> None:
    """Ask the audit trail; no server needs to run."""


@audit.command("records")
@data_dir
@click.option("--model")
@click.option("--version", type=int)
@click.option("--kind", type=click.Choice([one.value for one in Kind]))
@click.option("--outcome", type=click.Choice([one.value for one in Outcome]))
@click.option("--principal")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def list_records(data_dir: Path, limit: int, **wanted: Any) -> None:
    """Show the newest records that fit."""
    trail = AuditTrail(open_registry(data_dir).store, data_dir / "journal")
    table = Table("time", "kind", "outcome", "model", "lane", "principal", "what", "id")
    for found in trail.find(RecordFilter(**wanted), limit=limit).records:
        record = found.record
        model = "" if record.model is None else f"{record.model} {record.version or ''}"
        table.add_row(
            from_us(int(record.time) // 1000).isoformat(" ", "milliseconds"),
            record.kind,
            record.outcome,
            model,
            record.lane,
            record.principal,
            record.action or record.error or f"{record.rows} rows",
            record.id,
        )
    _CONSOLE.print(table)


if __name__ == "__main__":
    main()
