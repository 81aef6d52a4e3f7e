"""Labels and the batches they came in, in SQL; the order of columns is `schema.sql`'s.

Rows are only ever added. A label goes with the payload that it is of: what it says is overwritten
where it stands, and with it the salt of its batch, so that no guess of it can be tested against the
commitment. Its row goes with the record. Each function is given `ask`, which runs one statement in
the transaction that is open.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import apsw
import msgspec
from msgspec import Struct

from registry.errors import InvalidRequest
from registry.labels import AnswerCount, AnswerKept, Batch, KeptLabel, Label, Truth
from registry.stores.rows import Row, id_bytes
from registry.times import from_us, to_us

Ask = Callable[..., Sequence[Row]]

_ADD_BATCH = (
    "INSERT INTO feedback (id, model, at, salt, counts) VALUES (?, ?, ?, ?, ?) RETURNING number"
)
_ADD = "INSERT INTO label (model, record, row, content, batch) VALUES (?, ?, ?, ?, ?)"
# The label that counts is the last one; what was erased says nothing any more.
_NOW = """
    SELECT record, row, content, (SELECT at FROM feedback WHERE number = batch),
        (SELECT id FROM feedback WHERE number = batch),
        (SELECT min(at) FROM label AS first JOIN feedback ON number = first.batch
         WHERE first.model = label.model AND first.record = label.record AND first.row = label.row),
        (SELECT count(*) FROM label AS one
         WHERE one.model = label.model AND one.record = label.record AND one.row = label.row)
    FROM label
    WHERE model = ? AND record >= ? AND record < ? AND substr(content, 1, 1) <> x'00'
        AND sequence = (
            SELECT max(sequence) FROM label AS last
            WHERE last.model = label.model AND last.record = label.record AND last.row = label.row
        )
    ORDER BY record, row LIMIT ?
"""
_LAST = """
    SELECT content FROM label WHERE model = ? AND record = ? AND row = ?
    ORDER BY sequence DESC LIMIT 1
"""
_HISTORY = """
    SELECT record, row, content, at, id FROM label JOIN feedback ON number = batch
    WHERE label.model = ? AND record = ? AND substr(content, 1, 1) <> x'00' ORDER BY row, sequence
"""
_BATCHES = "SELECT id, model, at, salt, counts FROM feedback WHERE model = ? AND at >= ? AND at < ?"
_ANSWER = """
    SELECT leaf, payload.subject = zeroblob(16),
        payload.salt = x'' AND payload.subject IS NULL
    FROM record LEFT JOIN payload USING (idx) WHERE id = ?
"""
_STREAMS = """
    SELECT number, version, lane FROM stream
    WHERE kind = 'inference' AND outcome = 'answered' AND model = ? AND version IS NOT NULL
"""
_COUNT = (
    "SELECT count(*) FROM record INDEXED BY record_stream WHERE stream = ? AND id >= ? AND id < ?"
)
# Each in place and as long as it was.
_ERASE_SALTS = """
    UPDATE feedback SET salt = zeroblob(length(salt)) WHERE number IN
        (SELECT batch FROM label WHERE record = (SELECT id FROM record WHERE idx = ?))
"""
_ERASE = """
    UPDATE label SET content = zeroblob(length(content))
    WHERE record = (SELECT id FROM record WHERE idx = ?)
"""
_REMOVE = "DELETE FROM label WHERE record = (SELECT id FROM record WHERE idx = ?)"


class _Content(Struct, frozen=True, array_like=True):
    """What a label says, as it is stored: JSON, which never begins with a zero byte."""

    value: Truth
    slices: dict[str, str] = {}


class _Counts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    new: int = 0
    repeated: int = 0
    corrected: int = 0
    refused: dict[str, int] = {}


_content = msgspec.json.Decoder(_Content)
_counts = msgspec.json.Decoder(_Counts)


def add(ask: Ask, batch: Batch, labels: Iterable[Label]) -> None:
    """Keep a batch and the labels that it brought, in their order."""
    counts = _Counts(**{name: getattr(batch, name) for name in _Counts.__struct_fields__})
    said = msgspec.json.encode(counts).decode()
    row = (_required(batch.id), batch.model, to_us(batch.at), batch.salt, said)
    [(number,)] = ask(_ADD_BATCH, row)
    for label in labels:
        content = _written(label)
        ask(_ADD, (batch.model, _required(label.record_id), label.row, content, number))


def last(ask: Ask, model: str, record_id: str, row: int) -> Label | None:
    """Return the label that counts of a row, or None; None also where it was erased."""
    found = ask(_LAST, (model, id_bytes(record_id), row))
    if not found or found[0][0][:1] == b"\0":
        return None
    return _label(id_bytes(record_id) or b"", row, found[0][0])


def labels(ask: Ask, model: str, since: datetime, until: datetime, limit: int) -> list[KeptLabel]:
    """Return the label that counts of each row answered in a time, to the millisecond."""
    found = ask(_NOW, (model, *_bounds(since, until), limit))
    return [
        KeptLabel(
            label=_label(record, row, content), at=from_us(at), batch=_id_text(batch),
            first_at=from_us(first), values=values,
        )
        for record, row, content, at, batch, first, values in found
    ]  # fmt: skip


def history(ask: Ask, model: str, record_id: str) -> list[KeptLabel]:
    """Return every label that came of a record, by row, the oldest of each first."""
    kept: list[KeptLabel] = []
    for record, row, content, at, batch in ask(_HISTORY, (model, id_bytes(record_id))):
        before = kept[-1] if kept and kept[-1].label.row == row else None
        kept.append(
            KeptLabel(
                label=_label(record, row, content), at=from_us(at), batch=_id_text(batch),
                first_at=from_us(at) if before is None else before.first_at,
                values=1 if before is None else before.values + 1,
            )
        )  # fmt: skip
    return kept


def batches(ask: Ask, model: str, since: datetime, until: datetime) -> list[Batch]:
    """Return what came of a model in a time, oldest first."""
    return [
        Batch(
            id=_id_text(batch), model=name, at=from_us(at), salt=salt,
            **msgspec.structs.asdict(_counts.decode(counts)),
        )
        for batch, name, at, salt, counts in ask(
            f"{_BATCHES} ORDER BY at, number", (model, to_us(since), to_us(until))
        )
    ]  # fmt: skip


def answer(ask: Ask, record_id: str) -> AnswerKept | None:
    """Return what is there of a record, or None."""
    found = ask(_ANSWER, (id_bytes(record_id),))
    if not found:
        return None
    [(leaf, is_erased, is_expired)] = found
    return AnswerKept(leaf, bool(is_erased), bool(is_expired))


def answer_counts(ask: Ask, model: str, since: datetime, until: datetime) -> list[AnswerCount]:
    """Count the integrated answers of a time, to the millisecond, by version and lane."""
    bounds = _bounds(since, until)
    counts = (
        AnswerCount(version, lane or "", ask(_COUNT, (stream, *bounds))[0][0])
        for stream, version, lane in ask(_STREAMS, (model,))
    )
    return [one for one in counts if one.answers]


def forget(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Overwrite what the labels of records say, and the salts of their batches."""
    for query in (_ERASE_SALTS, _ERASE):
        connection.executemany(query, [(index,) for index in indexes])


def remove(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Remove the labels of records that go next; what they said is overwritten already."""
    connection.executemany(_REMOVE, [(index,) for index in indexes])


def _label(record: bytes, row: int, content: bytes) -> Label:
    said = _content.decode(content)
    return Label(record_id=_id_text(record), row=row, value=said.value, slices=said.slices)


def _id_text(record_id: bytes) -> str:
    """Write an id as records hold it, in a quarter of the time that `UUID` takes."""
    digits = record_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _written(label: Label) -> bytes:
    return msgspec.json.encode(_Content(label.value, label.slices))


def _required(record_id: str) -> bytes:
    found = id_bytes(record_id)
    if found is None:
        raise InvalidRequest("record_id", "This is no record id.")
    return found


def _bounds(since: datetime, until: datetime) -> tuple[bytes, bytes]:
    """Bound the ids of a time: an id begins with its millisecond."""
    low, high = (max(0, -(-to_us(one) // 1000)).to_bytes(6) for one in (since, until))
    return low, high
