"""`gateway audit verify`: is the log what was signed? The checker of `registry.audit` answers."""

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from registry.audit.verify.checkpoints import Trust, open_checkpoint
from registry.audit.verify.faults import Fault, Invalid, Malformed
from registry.audit.verify.leaves import read_leaf
from registry.audit.verify.log import check_log
from registry.audit.verify.notes import COSIGNATURE, ED25519, VerifierKey, read_vkey
from registry.audit.verify.receipts import check_growth, check_receipt, read_answer
from registry.audit.verify.report import Report
from registry.audit.verify.sources import ExportSource, read_file
from registry.audit.verify.store import StoreSource
from registry.console import PIPE_WIDTH, data_dir_option, printable

_COUNTS = ("index", "records", "gone", "unsigned", "payloads", "checkpoints")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _VerifierKey(click.ParamType[VerifierKey]):
    name = "vkey"

    def convert(self, value: Any, param: Any, ctx: Any) -> VerifierKey:
        try:
            return read_vkey(value)
        except Malformed as error:
            self.fail(str(error), param, ctx)


@click.command("verify")
@data_dir_option
@click.option(
    "--export",
    "export_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Check a static export instead.",
)
@click.option("--receipt", type=_FILE, help="Check the proof of one record instead; needs --vkey.")
@click.option(
    "--record", type=_FILE, help="The exact bytes of the receipt's record, if it has them not."
)
@click.option(
    "--consistency",
    type=_FILE,
    help="Check a consistency proof between two --checkpoint instead; needs --vkey.",
)
@click.option(
    "--vkey",
    "vkeys",
    multiple=True,
    type=_VerifierKey(),
    help="Verifier key that you trust, of the log or a witness; more than once after a rotation.",
)
@click.option(
    "--checkpoint",
    "saved",
    multiple=True,
    type=_FILE,
    help="A checkpoint that you saved: the log must still begin with it.",
)
@click.option("--tree-only", is_flag=True, help="Hash the records and do not read them.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
def verify(
    *,
    data_dir: Path,
    export_dir: Path | None,
    receipt: Path | None,
    record: Path | None,
    consistency: Path | None,
    vkeys: Sequence[VerifierKey],
    saved: Sequence[Path],
    tree_only: bool,
    as_json: bool,
) -> None:
    """Check the log against what was signed; ends with 0 if it is valid, with 1 if not.

    The log of the data directory is checked while its gateway runs or not. What was tampered with
    is named by the first record that does not fit.
    """
    trust = Trust(
        keys=tuple(key for key in vkeys if key.kind == ED25519),
        witnesses=tuple(key for key in vkeys if key.kind == COSIGNATURE),
        saved=tuple(map(read_file, saved)),
    )
    try:
        if receipt is not None:
            report = _check_receipt(receipt, record, trust)
        elif consistency is not None:
            report = _check_growth(consistency, trust)
        elif export_dir is not None:
            report = check_log(ExportSource(export_dir), trust, tree_only=tree_only)
        else:
            report = _check_store(data_dir, trust, tree_only=tree_only)
    except Invalid as error:
        report = Report(fault=Fault(reason=str(error)))
    told = report.told() | {"pinned": bool(trust.keys)}
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _print(told)
    sys.exit(0 if report.is_valid else 1)


def _check_receipt(path: Path, record: Path | None, trust: Trust) -> Report:
    _need_key(trust)
    receipt, leaf = read_answer(read_file(path))
    leaf = leaf if record is None else read_file(record)
    if leaf is None:
        raise click.UsageError("The receipt does not carry its record; give it with --record.")
    checkpoint = check_receipt(receipt, leaf, trust)
    read_leaf(leaf)
    return Report(checkpoint=checkpoint, index=receipt.index, records=1, checkpoints=1)


def _check_growth(path: Path, trust: Trust) -> Report:
    _need_key(trust)
    if len(trust.saved) != 2:
        raise click.UsageError("A consistency proof is between two files: --checkpoint twice.")
    one, other = (open_checkpoint(note, trust.keys) for note in trust.saved)
    check_growth(read_file(path), one, other)
    return Report(checkpoint=max(one, other, key=lambda found: found.size), checkpoints=2)


def _need_key(trust: Trust) -> None:
    if not trust.keys:
        raise click.UsageError("A receipt proves nothing without a --vkey that you trust.")


def _check_store(data_dir: Path, trust: Trust, *, tree_only: bool) -> Report:
    if not data_dir.is_dir():
        raise click.UsageError(f"There is no data directory {str(data_dir)!r}.")
    # What was published is read before the store, which is never behind it.
    published = data_dir / "checkpoint"
    if published.exists():
        trust = replace(trust, saved=(*trust.saved, read_file(published)))
    with closing(StoreSource(data_dir)) as source:
        return check_log(source, trust, tree_only=tree_only)


def _print(told: dict[str, Any]) -> None:
    """Say what was found: the verdict first, then what it rests on."""
    fault = told["fault"]
    verdict = Text("valid", "bold green") if fault is None else Text("NOT VALID", "bold red")
    lines: list[tuple[str, object]] = [("verdict", verdict)]
    if fault is not None:
        lines += [("why", fault["reason"]), ("first record that does not fit", _place(fault))]
    if "size" in told:
        signers = ", ".join(map(_signer, told["signatures"]))
        trusted = "as trusted" if told["pinned"] else "NOT PINNED: the key is the log's own word"
        lines += [
            ("origin", told["origin"]),
            ("checkpoint", f"{told['size']} records, root {told['root']}"),
            ("signed by", f"{signers} ({trusted})"),
        ]
    lines += [(name, told[name]) for name in _COUNTS if told[name] is not None]
    table = Table.grid(padding=(0, 2))
    for name, value in lines:
        table.add_row(name, value if isinstance(value, Text) else Text(printable(value)))
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def _place(fault: dict[str, Any]) -> str:
    if fault["first"] is None:
        return "none can be named"
    if fault["first"] != fault["last"]:
        return f"one of {fault['first']} to {fault['last']}"
    return f"{fault['first']} {fault['record_id'] or ''}".rstrip()


def _signer(signature: dict[str, Any]) -> str:
    if signature["time"] is None:
        return str(signature["name"])
    return f"{signature['name']} at {_moment(signature['time'])}"


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # a witness may claim any time
        return str(seconds)
