"""A program that uses the store and the journal as workers, controller and operators do.

It takes turns in one process, so that all it does to its files is in one order.
"""

from pathlib import Path
from random import Random

from registry.audit.log import integrate
from registry.audit.segment import SegmentWriter
from registry.entry import Entry, Payload, commit, encode_record, new_record_id, new_salt, now_ns
from registry.records import AuditRecord, Kind, Outcome, Setting, SettingName
from registry.store import Store, open_store
from tests.crash.recorder import Recorder

WRITERS = 2
_LARGEST_PAYLOAD = 3000


def run(data_dir: Path, recorder: Recorder, chance: Random, *, turns: int) -> None:
    """Append, integrate, rotate and set by chance, and tell the recorder what was promised."""
    journal_dir = data_dir / "journal"
    journal_dir.mkdir(parents=True)
    store = open_store(data_dir)
    writers = [SegmentWriter(journal_dir) for _ in range(WRITERS)]
    for turn in range(turns):
        number = chance.randrange(WRITERS)
        match chance.choice(("append", "append", "append", "integrate", "rotate", "set")):
            case "append":
                group = [make_entry(chance) for _ in range(chance.randint(1, 4))]
                writers[number].append([entry for _, entry in group])
                recorder.acknowledge(*(record_id for record_id, _ in group))
            case "integrate":
                integrate(store, journal_dir)
            case "rotate":
                full, writers[number] = writers[number], SegmentWriter(journal_dir)
                full.close()
            case "set":
                recorder.acknowledge(set_trace_rate(store, turn))
    for writer in writers:
        writer.close()
    integrate(store, journal_dir)
    store.close()


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


def set_trace_rate(store: Store, rate: int) -> str:
    """Change a setting, with its record in the same transaction; return the record's id."""
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns), kind=Kind.ADMIN, time=str(time_ns), outcome=Outcome.DONE
    )
    with store.write() as transaction:
        transaction.put_setting(Setting(name=SettingName.TRACE, model=None, value=str(rate)))
        transaction.append(record)
    return record.id
