"""Many persons in a data directory, and the search for what is left of some of them."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from registry.audit.log import drop_segments, integrate
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, Payload, commit, encode_record, new_record_id, new_salt
from registry.records import AuditRecord, Kind, Outcome
from registry.registry import Registry

NOBODY = "nobody"
_TIME_NS = 1_790_000_000_000_000_000
_PREFIX = 8  # bytes that needles are first looked for by
_PIECE = 4 << 20
_LONGEST = 4096


class Kept(Struct, frozen=True):
    """A record of a person: its id, and what a search must not find once they are erased."""

    record_id: str
    input: bytes
    salt: bytes


def add_people(
    registry: Registry, journal_dir: Path, names: Sequence[str], *, records: int, seed: int
) -> dict[str, list[Kept]]:
    """Integrate records of people, mixed, in groups, and among them some of nobody."""
    journal_dir.mkdir(exist_ok=True)
    rng = random.Random(seed)
    kept: dict[str, list[Kept]] = {name: [] for name in names}
    order = [*(name for name in names for _ in range(records)), *[NOBODY] * (len(names) // 4)]
    rng.shuffle(order)
    writer = SegmentWriter(journal_dir)
    for start in range(0, len(order), 100):
        group: list[Entry] = []
        for number, name in enumerate(order[start : start + 100], start):
            one, entry = _entry(rng, number, name)
            kept.setdefault(name, []).append(one)
            group.append(entry)
        writer.append(group)
        if start % 500 == 0:
            integrate(registry.store, journal_dir)
    writer.close()
    done = integrate(registry.store, journal_dir).done
    drop_segments(registry.store, journal_dir, done)
    return kept


def _entry(rng: random.Random, number: int, name: str) -> tuple[Kept, Entry]:
    time_ns = _TIME_NS + number * 1_000_000
    given = f"<{name}>".encode() + rng.randbytes(rng.choice([24, 200, 1500, 20_000]))
    salt = new_salt()
    is_named = name != NOBODY
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.ANSWERED,
        model="linear",
        version=1,
        input=commit(salt, given),
        subject_commitment=commit(salt, name.encode()) if is_named else None,
    )
    payload = Payload(salt, given, b"", name if is_named else None)
    return Kept(record.id, given, salt), Entry(encode_record(record), payload)


def needles(
    registry: Registry, data_dir: Path, gone: Mapping[str, list[Kept]]
) -> dict[str, list[bytes]]:
    """Say what must not be found of people any more; asked before they are erased."""
    vault = registry.store.vault
    lookups = [vault.lookup(name) for name in gone]
    places = ", ".join("?" * len(lookups))
    connection = apsw.Connection(str(data_dir / "store.sqlite3"))
    rows = connection.execute(
        f"SELECT id, wrapped FROM subject_key WHERE lookup IN ({places})", lookups
    ).fetchall()
    query = "SELECT sealed FROM payload WHERE subject = ?"
    sealed = [
        blob for subject_id, _ in rows for (blob,) in connection.execute(query, (subject_id,))
    ]
    connection.close()
    assert len(rows) == len(gone)
    return {
        "name": [f"<{name}>".encode() for name in gone],
        "plaintext": [one.input[-24:] for kept in gone.values() for one in kept],
        "salt": [one.salt for kept in gone.values() for one in kept],
        "key": [vault.unwrap(subject_id, wrapped) for subject_id, wrapped in rows],
        "wrapped key": [wrapped[12:] for _, wrapped in rows],
        "look-up value": lookups,
        "ciphertext": [blob[12:44] for blob in sealed],
    }


def found(data_dir: Path, wanted: Mapping[str, Iterable[bytes]]) -> dict[str, int]:
    """Count the needles of each kind that are in the raw bytes of any file."""
    by_prefix: dict[int, list[tuple[str, bytes]]] = {}
    for kind, texts in wanted.items():
        for text in texts:
            by_prefix.setdefault(_first(text), []).append((kind, text))
    prefixes = np.array(sorted(by_prefix), np.uint64)
    counts = dict.fromkeys(wanted, 0)
    for path in sorted(data_dir.rglob("*")):
        for piece in _pieces(path):
            for at in _places(piece, prefixes):
                for kind, text in by_prefix[_first(piece[at:])]:
                    counts[kind] += piece.startswith(text, at)
    return counts


def _first(text: bytes) -> int:
    return int.from_bytes(text[:_PREFIX], "little")


def _pieces(path: Path) -> Iterator[bytes]:
    """Read a file in pieces that overlap, so that no needle lies across an edge unseen."""
    if not path.is_file():
        return
    data = path.read_bytes()
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE + _LONGEST]


def _places(piece: bytes, prefixes: NDArray[Any]) -> Iterator[int]:
    for shift in range(_PREFIX):
        count = (len(piece) - shift) // _PREFIX
        if count > 0:
            values = np.frombuffer(piece, "<u8", count, shift)
            for place in np.flatnonzero(np.isin(values, prefixes)):
                yield int(place) * _PREFIX + shift
