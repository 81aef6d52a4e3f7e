"""Between stored values and rows of SQLite; the order of columns is that of `schema.sql`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from registry.errors import InvalidRequest
from registry.records import (
    AliasCause,
    AliasChange,
    Key,
    Kind,
    Outcome,
    RecordFilter,
    Setting,
    SettingName,
    Version,
    VersionState,
    WorkerStatus,
)
from registry.times import from_us, to_us

Row = tuple[Any, ...]
ALL_MODELS = ""  # of a setting; no model has this name


def version_row(version: Version) -> Row:
    return (
        version.model,
        version.number,
        version.artifact,
        version.manifest,
        version.state.value,
        version.author,
        to_us(version.created),
    )


def to_version(row: Row) -> Version:
    model, number, artifact, manifest, state, author, created = row
    return Version(
        model=model,
        number=number,
        artifact=artifact,
        manifest=manifest,
        state=VersionState(state),
        author=author,
        created=from_us(created),
    )


def alias_change_row(change: AliasChange) -> Row:
    return (
        change.model,
        change.alias,
        change.version,
        change.cause.value,
        to_us(change.at),
        change.principal,
        change.reason,
        change.record_id,
    )


def to_alias_change(row: Row) -> AliasChange:
    model, alias, version, cause, at, principal, reason, record_id = row
    return AliasChange(
        model=model,
        alias=alias,
        version=version,
        cause=AliasCause(cause),
        at=from_us(at),
        principal=principal,
        reason=reason,
        record_id=record_id,
    )


def key_row(key: Key) -> Row:
    return (
        key.id,
        key.name,
        key.digest,
        " ".join(key.roles),
        key.author,
        to_us(key.created),
        None if key.expires is None else to_us(key.expires),
        None if key.revoked is None else to_us(key.revoked),
    )


def to_key(row: Row) -> Key:
    key_id, name, digest, roles, author, created, expires, revoked = row
    return Key(
        id=key_id,
        name=name,
        digest=digest,
        roles=tuple(roles.split()),
        author=author,
        created=from_us(created),
        expires=None if expires is None else from_us(expires),
        revoked=None if revoked is None else from_us(revoked),
    )


def setting_row(setting: Setting) -> Row:
    return (setting.name.value, setting.model or ALL_MODELS, setting.value)


def to_setting(row: Row) -> Setting:
    name, model, value = row
    return Setting(name=SettingName(name), model=model or None, value=value)


# What the indexes of `schema.sql` leave out.
_USUAL = {"kind": Kind.INFERENCE, "outcome": Outcome.ANSWERED}


class _Columns(Struct, frozen=True):
    """What queries filter by, as a leaf holds it."""

    id: str
    time: str
    kind: str
    outcome: str
    model: str | None = None
    version: int | None = None
    lane: str | None = None
    principal: str | None = None
    request_id: str | None = None


_read_columns = msgspec.json.Decoder(_Columns).decode


def record_row(index: int, leaf: bytes) -> Row:
    found = _read_columns(leaf)
    return (
        index,
        bytes.fromhex(found.id.replace("-", "")),
        int(found.time),
        found.kind,
        found.outcome,
        found.model,
        found.version,
        found.lane,
        found.principal,
        found.request_id,
        leaf,
    )


def worker_row(status: WorkerStatus) -> Row:
    failures = msgspec.json.encode(status.failures).decode()
    return (status.worker, status.pid, status.generation, failures)


def to_worker(row: Row) -> WorkerStatus:
    worker, pid, generation, failures = row
    return WorkerStatus(
        worker=worker,
        pid=pid,
        generation=generation,
        failures=msgspec.json.decode(failures, type=dict[str, str]),
    )


def id_bytes(record_id: str) -> bytes | None:
    """Return the 16 bytes of a record id, or None for a text that is none."""
    try:
        return UUID(record_id).bytes
    except ValueError:
        return None


def conditions(wanted: RecordFilter, before: str | None) -> tuple[str, list[Any]]:
    """Write a filter as the WHERE clause of a query over records, and its values.

    Raises InvalidRequest where `before` is no record id.
    """
    clauses: list[str] = []
    values: list[Any] = []
    for column in ("model", "version", "lane", "kind", "principal", "outcome", "request_id"):
        value = getattr(wanted, column)
        if value is not None:
            clauses.append(f"{column} = ?")
            values.append(_in_64_bits(value) if isinstance(value, int) else str(value))
            if column in _USUAL and value != _USUAL[column]:
                # Said in the words of the index, or SQLite does not see that it may use it.
                clauses.append(f"{column} <> '{_USUAL[column].value}'")
    for moment, sign in ((wanted.since, ">="), (wanted.until, "<")):
        if moment is not None:
            # The id begins with its time, so a bound on it lets every index serve the range.
            clauses += ["id >= ?" if sign == ">=" else "id < ?", f"time_ns {sign} ?"]
            values += [id_bound(moment, sign), _in_64_bits(to_us(moment) * 1000)]
    if before is not None:
        bound = id_bytes(before)
        if bound is None:
            raise InvalidRequest("cursor", "This cursor was not given by a query.")
        clauses.append("id < ?")
        values.append(bound)
    return (" AND ".join(clauses) or "TRUE"), values


def id_bound(moment: datetime, sign: str) -> bytes:
    """Return what the ids of records at a moment lie on the right side of, as `sign` compares."""
    milliseconds = to_us(moment) // 1000 + (sign == "<")
    return max(0, milliseconds).to_bytes(6) + bytes(10)


def _in_64_bits(number: int) -> int:
    """Return the nearest number that the database can compare; what it holds is far from both ends.

    >>> _in_64_bits(2**64) == 2**63 - 1
    True
    """
    return max(-(2**63), min(number, 2**63 - 1))
