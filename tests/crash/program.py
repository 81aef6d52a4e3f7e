"""A program that uses the store and the journal as workers, controller and operators do.

It takes turns in one process, so that all it does to its files is in one order. Where the disk
refuses it goes on as the gateway does: what was refused is not acknowledged, a journal that is
broken gets a successor, and integration is tried again.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Protocol

from registry.audit.keyfile import KeyFile
from registry.audit.log import drop_segments, integrate
from registry.audit.origins import open_log
from registry.audit.published import read_published
from registry.audit.publisher import Publisher
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, Payload, commit, encode_record, new_record_id, new_salt, now_ns
from registry.errors import JournalBroken, RegistryError
from registry.records import AuditRecord, Kind, Outcome
from registry.store import Store, open_store
from registry.times import now
from registry.workers import Setting, SettingName

WRITERS = 2
REFUSED_EXIT = 3
_LARGEST_PAYLOAD = 3000


class Promises(Protocol):
    """What a program has told others, who will hold it to that."""

    def acknowledge(self, record: str) -> None: ...

    def publish(self, note: str) -> None: ...


class Program:
    """A data directory and those who write to it."""

    def __init__(self, data_dir: Path, promises: Promises, chance: Random) -> None:
        self._promises = promises
        self._chance = chance
        self._checkpoint = data_dir / "checkpoint"
        self._journal_dir = data_dir / "journal"
        self._journal_dir.mkdir(parents=True)
        self._store = open_store(data_dir)
        keys = KeyFile(data_dir / "log.key")
        open_log(self._store, keys, self._checkpoint, name="tests/log", at=now())
        self._publisher = Publisher(self._store, keys, self._checkpoint)
        self._writers: list[SegmentWriter | None] = [None] * WRITERS
        self._verbs = (self._append, self._append, self._append, self._rotate, self._set)

    def take_turns(self, turns: int) -> None:
        """Append, rotate, set, integrate and publish by chance."""
        for _ in range(turns):
            with suppress(RegistryError):
                self._chance.choice(self._verbs)()
            if self._chance.random() < 0.25:
                self._integrate()

    def finish(self) -> None:
        """Seal the segments, and integrate and publish all."""
        for writer in self._writers:
            if writer is not None:
                writer.close()
        self._integrate()
        self._store.close()

    def _append(self) -> None:
        number = self._chance.randrange(WRITERS)
        group = [make_entry(self._chance) for _ in range(self._chance.randint(1, 4))]
        writer = self._writers[number] = self._writers[number] or SegmentWriter(self._journal_dir)
        try:
            writer.append([entry for _, entry in group])
        except JournalBroken:
            writer.close()
            self._writers[number] = None
            raise
        for record_id, _ in group:
            self._promises.acknowledge(record_id)

    def _rotate(self) -> None:
        number = self._chance.randrange(WRITERS)
        full, self._writers[number] = self._writers[number], SegmentWriter(self._journal_dir)
        if full is not None:
            full.close()

    def _set(self) -> None:
        self._promises.acknowledge(_set_trace_rate(self._store, self._chance.randrange(1000)))

    def _integrate(self) -> None:
        with suppress(RegistryError, OSError):
            done = integrate(self._store, self._journal_dir).done
            self._publisher.publish()
            note = read_published(self._checkpoint)
            assert note is not None
            self._promises.publish(note)
            drop_segments(self._store, self._journal_dir, done)


def make_entry(chance: Random) -> tuple[str, Entry]:
    """Make the record of an inference and its payload, as a worker would."""
    salt, given, answered = new_salt(), chance.randbytes(chance.randrange(_LARGEST_PAYLOAD)), b"y"
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.ANSWERED,
        input=commit(salt, given),
        output=commit(salt, answered),
    )
    return record.id, Entry(encode_record(record), Payload(salt, given, answered))


def _set_trace_rate(store: Store, rate: int) -> str:
    """Change a setting, with its record in the same transaction; return the record's id."""
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns), kind=Kind.ADMIN, time=str(time_ns), outcome=Outcome.DONE
    )
    with store.write() as transaction:
        transaction.put_setting(Setting(name=SettingName.TRACE, model=None, value=str(rate)))
        transaction.append(record)
    return record.id


class _Printed:
    """Promises as lines of JSON: an id, or an array with a note."""

    def acknowledge(self, record: str) -> None:
        print(json.dumps(record), flush=True)

    def publish(self, note: str) -> None:
        print(json.dumps([note]), flush=True)


def main() -> None:
    """Run on a folder with a seed, for a number of turns, and print the promises."""
    data_dir, seed, turns = sys.argv[1:]
    try:
        program = Program(Path(data_dir), _Printed(), Random(int(seed)))
    except (RegistryError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED_EXIT)
    program.take_turns(int(turns))
    program.finish()


if __name__ == "__main__":
    main()
