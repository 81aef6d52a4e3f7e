"""`gateway audit`: the group whose commands stand in `gateway.audit_commands`."""

import importlib

import click

# Each command, and where it is: imported only when it is run or described, so that `gateway --help`
# waits for none of them.
_COMMANDS = {
    "dossier": "gateway.audit_commands.dossier:write_dossier",
    "erase": "gateway.audit_commands.erase:erase_subject",
    "export": "gateway.audit_commands.export:export_records",
    "hold": "gateway.audit_commands.keeping:hold",
    "policy": "gateway.audit_commands.keeping:payload_policy",
    "records": "gateway.audit_commands.records:list_records",
    "replay": "gateway.audit_commands.replay:replay_records",
    "retention": "gateway.audit_commands.keeping:retention",
    "rotate-key": "gateway.audit_commands.rotate_key:rotate",
    "summary": "gateway.audit_commands.summary:show_summary",
    "tiles": "gateway.audit_commands.tiles:export",
    "verify": "gateway.audit_commands.verify:verify",
}


class AuditCommands(click.Group):
    """The commands of the audit trail, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group("audit", cls=AuditCommands)
def audit() -> None:
    """Ask the audit trail; no server needs to run."""
