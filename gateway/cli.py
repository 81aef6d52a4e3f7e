"""`gateway`: serve, demo, and the keys, audit trail and notifications of a data directory."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

import gateway
from gateway.audit_cli import audit
from gateway.contract_cli import contract
from gateway.lazy_commands import LazyCommands
from gateway.logs import configure_logs
from gateway.security import Role, make_key
from gateway.serve import serve
from gateway.settings import Settings, Transport, WitnessAddress
from registry.console import (
    DATA_DIR,
    PAYLOAD_KEY_VARIABLE,
    Commands,
    data_dir_option,
    local_author,
    log_key_option,
    open_registry,
    print_table,
)
from registry.times import now
from registry.tlog.note import BadNote, Verifier

_ROLES = click.Choice([role.value for role in Role])
_DEFAULTS = Settings(data_dir=DATA_DIR)
# An erasure, which waits for it, gives up after a minute.
_OLDEST_SEGMENT_S = 30
# Further ahead than anybody plans; a date must still exist.
_MOST_DAYS = 36_500


_PLACES = {
    # It needs scikit-learn and pandas, which serving does not.
    "demo": "gateway.demo.command:demo",
    "drift": "gateway.drift_cli:show_drift",
    "drift-policy": "gateway.drift_cli:drift_policy",
    "findings": "gateway.drift_cli:findings",
    "notify": "gateway.notify_cli:notify",
    "promotion-policy": "gateway.promotion_cli:promotion_policy",
    "promotions": "gateway.promotion_cli:promotions",
    "truth": "gateway.truth_cli:show_truth",
    "truth-policy": "gateway.truth_cli:truth_policy",
    "rollout": "gateway.rollout_cli:rollout",
}


class GatewayCommands(Commands, LazyCommands):
    """The commands; what serving does not need is imported to be run."""


@click.group(
    cls=GatewayCommands, places=_PLACES, context_settings={"auto_envvar_prefix": "GATEWAY"}
)
@click.version_option(gateway.VERSION)
def main() -> None:
    """Serve versioned ONNX models, and prove every answer."""


@main.command("serve")
@data_dir_option
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
    "--payload-limit",
    default=_DEFAULTS.payload_limit,
    show_default=True,
    type=click.IntRange(0),
    help="Bytes of input and output that a record keeps; more is committed to alone.",
)
@click.option(
    "--payload-key",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=PAYLOAD_KEY_VARIABLE,
    help="File of the key that payloads of persons are sealed with; in the data directory if none.",
)
@click.option(
    "--segment-age",
    "segment_age_s",
    default=_DEFAULTS.segment_age_s,
    show_default=True,
    type=click.FloatRange(0, _OLDEST_SEGMENT_S, min_open=True),
    help="Seconds after which a file of the journal is left; an erasure waits for it.",
)
@click.option(
    "--queue-limit",
    "queue_limit_s",
    default=_DEFAULTS.queue_limit_s,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds that a run may have to wait, if it does not take longer itself.",
)
@click.option(
    "--header-deadline",
    "header_deadline_s",
    default=_DEFAULTS.header_deadline_s,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds within which the head of a request must arrive.",
)
@click.option(
    "--idle-deadline",
    "idle_deadline_s",
    default=_DEFAULTS.idle_deadline_s,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds that a connection may be idle.",
)
@click.option(
    "--transport",
    default=_DEFAULTS.transport,
    type=click.Choice(list(Transport), case_sensitive=False),
    hidden=True,
)
@click.option(
    "--body-deadline",
    "body_deadline_s",
    default=_DEFAULTS.body_deadline_s,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds within which the body of a request must arrive.",
)
@click.option(
    "--otlp-endpoint",
    help="Send spans to this OpenTelemetry collector, as in http://localhost:4318.",
)
@log_key_option
@click.option(
    "--log-name",
    help="Name of the log at its first start, as in example.com/log; else one that no other has.",
)
@click.option(
    "--witness", "witness_urls", multiple=True, help="Where a witness of the log answers."
)
@click.option(
    "--witness-key", "witness_keys", multiple=True, help="Its verifier key; one for each witness."
)
def serve_command(
    data_dir: Path, witness_urls: tuple[str, ...], witness_keys: tuple[str, ...], **options: Any
) -> None:
    """Serve the models of a data directory."""
    configure_logs("supervisor")
    witnesses = _pair(witness_urls, witness_keys)
    serve(Settings(data_dir=data_dir.resolve(), witnesses=witnesses, **options))


def _pair(urls: tuple[str, ...], vkeys: tuple[str, ...]) -> tuple[WitnessAddress, ...]:
    if len(urls) != len(vkeys):
        raise click.UsageError("Give one --witness-key for each --witness.")
    try:
        for vkey in vkeys:
            Verifier.read(vkey)
    except BadNote as error:
        raise click.BadParameter(str(error), param_hint="--witness-key") from error
    return tuple(WitnessAddress(url=url, vkey=vkey) for url, vkey in zip(urls, vkeys, strict=True))


@main.group()
def keys() -> None:
    """Make, list and revoke API keys; no server needs to run."""


@keys.command("create")
@data_dir_option
@click.option("--role", "roles", multiple=True, required=True, type=_ROLES)
@click.option("--name", default="", help="What the key is for.")
@click.option(
    "--days",
    type=click.IntRange(1, _MOST_DAYS),
    help="Days until it expires; never, if not given.",
)
@click.option(
    "--hide-expected",
    "hides_expected",
    is_flag=True,
    help="Do not tell its holder, in a refusal, what would have been accepted.",
)
@click.option("--owner", help="Who holds it: keys of one owner are one person.")
def create_key(
    data_dir: Path,
    roles: tuple[str, ...],
    name: str,
    days: int | None,
    owner: str | None,
    *,
    hides_expected: bool,
) -> None:
    """Make a key and print its token, this once."""
    registry, created = open_registry(data_dir, create=True), now()
    expires = None if days is None else created + timedelta(days=days)
    key, token = make_key(
        name=name,
        roles=roles,
        author=local_author().principal,
        created=created,
        expires=expires,
        hides_expected=hides_expected,
        owner=owner,
    )
    registry.add_key(key, local_author())
    click.echo(f"{key.id} has the roles: {', '.join(key.roles)}", err=True)
    click.echo(token)


@keys.command("list")
@data_dir_option
def list_keys(data_dir: Path) -> None:
    """List all keys."""
    print_table(
        ("id", "name", "owner", "roles", "created", "expires", "revoked"),
        (
            (
                key.id, key.name, key.owner, ", ".join(key.roles),
                key.created, key.expires, key.revoked,
            )
            for key in open_registry(data_dir).store.api_keys()
        ),
    )  # fmt: skip


@keys.command("revoke")
@data_dir_option
@click.argument("key_id")
def revoke_key(data_dir: Path, key_id: str) -> None:
    """End a key; a running gateway refuses it within a second."""
    open_registry(data_dir).revoke_key(key_id, local_author())
    click.echo(f"{key_id} is revoked.")


main.add_command(audit)
main.add_command(contract)


if __name__ == "__main__":
    main()
