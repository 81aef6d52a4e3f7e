"""What must be true of a data directory however its processes or its machine ended.

One function, simpler than what it checks, for every test that breaks the gateway on purpose.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec
from msgspec import Struct

from registry.audit.log import integrate
from registry.entry import commit, decode_record
from registry.errors import RegistryError
from registry.records import AuditRecord, Kind, RecordFilter
from registry.store import Store, open_store

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


def check_copy(data_dir: Path, acknowledged: Mapping[str, str | None]) -> Verdict:
    """Check what a gateway left that was killed, and leave it to the next one as it is."""
    with memory_folder() as copy:
        # In another process: closing a descriptor of the database here would drop the locks that
        # SQLite holds for this one.
        files = [*data_dir.glob("store.sqlite3*"), data_dir / "journal"]
        subprocess.run(["cp", "-R", *files, copy], check=True)
        return open_and_check(copy, acknowledged)


def open_and_check(data_dir: Path, acknowledged: Mapping[str, str | None]) -> Verdict:
    """Check a data directory that no process holds open."""
    try:
        store = open_store(data_dir)
    except RegistryError as error:
        return Verdict(lost=tuple(acknowledged), faults=(str(error),))
    try:
        return check(store, data_dir, acknowledged)
    finally:
        store.close()


def check(store: Store, data_dir: Path, acknowledged: Mapping[str, str | None]) -> Verdict:
    """Integrate what the journal holds, then hold all that is stored against what was promised.

    `acknowledged` maps the ids of records to the request ids they were answered under. Every one of
    them is stored; indexes have no gaps; each payload is what its record commits to; SQLite finds
    its file whole; no damage was found, and no segment is left that a record could be in.
    """
    try:
        while integrate(store, data_dir / "journal").records:
            pass
        leaves = list(_leaves(store))
        faults = [*_flaws_of_file(data_dir), *_flaws_of_order(leaves)]
        records = [decode_record(leaf) for _, leaf in leaves]
        faults += _damages(records)
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


def _flaws_of_file(data_dir: Path) -> list[str]:
    with apsw.Connection(str(data_dir / "store.sqlite3")) as connection:
        said = [str(line) for (line,) in connection.execute("PRAGMA integrity_check")]
    journal = data_dir / "journal"
    left = [path.name for path in journal.iterdir() if path.stat().st_size and path.is_file()]
    return [*(said if said != ["ok"] else []), *(f"left in the journal: {name}" for name in left)]


def _flaws_of_order(leaves: list[tuple[int, bytes]]) -> list[str]:
    indexes = sorted(index for index, _ in leaves)
    return [] if indexes == list(range(len(indexes))) else ["the indexes have gaps"]


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
