"""`gateway audit dossier`: one decision in one file."""

from pathlib import Path

import click

from gateway.dossier.content import write_json
from gateway.dossier.gather import gather
from gateway.dossier.page import write_page
from gateway.replay.asking import Asking, record_replay
from gateway.replay.engines import Sessions
from gateway.replay.what_if import WhatIf
from registry.audit.published import PublishedLog
from registry.audit.query import AuditTrail
from registry.audit.replay import Replay
from registry.console import data_dir_option, local_author, open_registry, record_read
from registry.errors import Gone
from registry.registry import Registry

_DEADLINE_S = 10.0


@click.command("dossier")
@data_dir_option
@click.argument("record_id")
@click.option(
    "--to",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "json"]),
    default="html",
    show_default=True,
    help="A page, which carries the JSON too, or the JSON alone.",
)
@click.option("--replay", "is_replayed", is_flag=True, help="Compute the answer again for it.")
def write_dossier(
    data_dir: Path, record_id: str, file: Path, form: str, *, is_replayed: bool
) -> None:
    """Write all that is known of one decision into one file, to hand to whoever asks why.

    It tells the answer, the input as kept, the rules that applied, the version and who made it live
    and why, and proves the record; it can be checked offline. Who may read the input may read it.
    """
    registry = open_registry(data_dir)
    trail = AuditTrail(registry.store, data_dir / "journal")
    replay = _replay(registry, trail, record_id) if is_replayed else None
    log = PublishedLog(registry.store, data_dir / "checkpoint")
    gathered = gather(registry, trail, record_id, log=log, replay=replay)
    record_read(registry, "gateway audit dossier", gathered.record.id, 1)
    content = write_page(gathered) if form == "html" else write_json(gathered.dossier)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{str(file)!r} cannot be written: {error.strerror}.") from error
    click.echo(f"{file} tells of record {gathered.record.id}: {gathered.dossier.outcome}")


def _replay(registry: Registry, trail: AuditTrail, record_id: str) -> Replay | WhatIf | None:
    engine = Sessions(registry.artifacts, _DEADLINE_S)
    try:
        replay = Asking(registry, trail, engine).ask_one(record_id)
    except Gone:
        return None  # the dossier tells it of the payload itself
    finally:
        engine.close()
    record_replay(registry, local_author(), replay)
    return replay
