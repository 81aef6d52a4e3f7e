"""`gateway audit`: the group whose commands stand in `gateway.audit_commands`."""

import click

from gateway.lazy_commands import LazyCommands

_PLACES = {
    "dossier": "gateway.audit_commands.dossier:write_dossier",
    "erase": "gateway.audit_commands.erase:erase_subject",
    "export": "gateway.audit_commands.export:export_records",
    "export-log": "gateway.audit_commands.export_log:export_log",
    "hold": "gateway.audit_commands.keeping:hold",
    "policy": "gateway.audit_commands.keeping:payload_policy",
    "records": "gateway.audit_commands.records:list_records",
    "replay": "gateway.audit_commands.replay:replay_records",
    "retention": "gateway.audit_commands.keeping:retention",
    "rotate-key": "gateway.audit_commands.rotate_key:rotate",
    "summary": "gateway.audit_commands.summary:show_summary",
    "verify": "gateway.audit_commands.verify:verify",
}


@click.group("audit", cls=LazyCommands, places=_PLACES)
def audit() -> None:
    """Ask the audit trail; no server needs to run."""
