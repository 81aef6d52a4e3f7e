"""What must be true of a data directory however its processes or its machine ended.

One function, simpler than what it checks, for every test that breaks the gateway on purpose.
"""

import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import msgspec
from msgspec import Struct

from registry.audit.keyfile import KeyFile
from registry.audit.log import drop_segments, integrate
from registry.audit.origins import open_log
from registry.audit.publisher import Publisher
from registry.audit.verify.checkpoints import Trust
from registry.audit.verify.log import check_log
from registry.audit.verify.store import StoreSource
from registry.entry import commit, decode_record
from registry.errors import RegistryError
from registry.records import AuditRecord, Kind, RecordFilter
from registry.store import Store, open_store
from registry.times import now

_PAGE = 1000


class Verdict(Struct, frozen=True, kw_only=True):
    """What the log holds, which acknowledged records it lost, and what else is wrong with it."""

    records: int = 0
    inferences: int = 0
    lost: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.lost and not self.faults


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, and whose syncs cost nothing where the machine has one."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


def copy_left(data_dir: Path, copy: Path) -> None:
    """Copy what a gateway left that was killed, to be checked while the next one serves."""
    # In another process: closing a descriptor of the database here would drop the locks that
    # SQLite holds for this one.
    names = ("store.sqlite3*", "journal", "checkpoint", "*.key")
    files = [path for name in names for path in data_dir.glob(name)]
    copy.mkdir()
    subprocess.run(["cp", "-R", *files, copy], check=True)


def open_and_check(
    data_dir: Path, acknowledged: Mapping[str, str | None], published: Collection[str] = ()
) -> Verdict:
    """Check a data directory that no process holds open."""
    try:
        store = open_store(data_dir)
    except RegistryError as error:
        return Verdict(lost=tuple(acknowledged), faults=(str(error),))
    try:
        return check(store, data_dir, acknowledged, published)
    finally:
        store.close()


def check(
    store: Store,
    data_dir: Path,
    acknowledged: Mapping[str, str | None],
    published: Collection[str] = (),
) -> Verdict:
    """Integrate what the journal holds, then hold all that is stored against what was promised.

    `acknowledged` maps the ids of records to the request ids they were answered under. Every one of
    them is stored; indexes have no gaps; each payload is what its record commits to; SQLite finds
    its file whole; no damage was found, and no segment is left that a record could be in. The log
    is what its checkpoints say, those in `published` and all that are kept: `gateway audit verify`
    finds so, which shares no code with the writer.
    """
    torn = _flaws_of_file(data_dir / "store.sqlite3")
    if torn:
        return Verdict(lost=tuple(acknowledged), faults=tuple(torn))
    try:
        keys, shown = KeyFile(data_dir / "log.key"), data_dir / "checkpoint"
        open_log(store, keys, shown, name=None, at=now())
        drop_segments(store, data_dir / "journal", integrate(store, data_dir / "journal").done)
        Publisher(store, keys, shown).publish()
        leaves = list(_leaves(store))
        faults = [
            *_left_over(data_dir / "journal"),
            *_flaws_of_log(data_dir, len(leaves), published),
        ]
        records = [decode_record(leaf) for _, leaf in leaves]
        faults += _damages(records)
        if len(store.origins()) != 1:
            faults.append("a crash was taken for a restored backup")
        faults += [flaw for record in records if (flaw := _flaw_of_payload(store, record))]
    except (RegistryError, apsw.Error, msgspec.DecodeError) as error:
        return Verdict(lost=tuple(acknowledged), faults=(f"{type(error).__name__}: {error}",))
    held = {record.id: record.request_id for record in records}
    return Verdict(
        records=len(records),
        inferences=sum(record.kind is Kind.INFERENCE and bool(record.output) for record in records),
        lost=tuple(one for one, request in acknowledged.items() if held.get(one, "") != request),
        faults=tuple(faults),
    )


def _leaves(store: Store) -> Iterator[tuple[int, bytes]]:
    before = None
    while page := store.records(RecordFilter(), before=before, limit=_PAGE):
        yield from page
        before = decode_record(page[-1][1]).id


def _flaws_of_file(path: Path) -> list[str]:
    try:
        with apsw.Connection(str(path)) as connection:
            said = [str(line) for (line,) in connection.execute("PRAGMA integrity_check")]
    except apsw.Error as error:
        said = [str(error)]
    return said if said != ["ok"] else []


def _left_over(journal: Path) -> list[str]:
    files = (path for path in journal.iterdir() if path.is_file())
    return [f"left in the journal: {path.name}" for path in files if path.stat().st_size]


def _flaws_of_log(data_dir: Path, records: int, published: Collection[str]) -> list[str]:
    with closing(StoreSource(data_dir)) as source:
        report = check_log(source, Trust(saved=[note.encode() for note in published]))
    if report.fault is not None:
        return [f"the log is not valid: {report.fault}"]
    whole = (report.records, report.unsigned) == (records, 0)
    return [] if whole else [f"{report.records} of {records} records verified: {report}"]


def _damages(records: list[AuditRecord]) -> list[str]:
    return [f"damage: {record.subject}" for record in records if record.kind is Kind.DAMAGE]


def _flaw_of_payload(store: Store, record: AuditRecord) -> str | None:
    if not record.output:
        return None
    payload = store.payload(record.id)
    if payload is None or payload.input is None or payload.output is None:
        return f"record {record.id} has no payload"
    said = (commit(payload.salt, payload.input), commit(payload.salt, payload.output))
    return None if said == (record.input, record.output) else f"payload of {record.id} is another"
