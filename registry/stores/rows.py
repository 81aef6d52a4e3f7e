"""Between stored values and rows of SQLite; the order of columns is that of `schema.sql`."""

from typing import Any
from uuid import UUID

import msgspec

from registry.times import from_us, to_us
from registry.versions import AliasCause, AliasChange, Version, VersionState
from registry.workers import Key, Setting, SettingName, WorkerStatus

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
        int(key.hides_expected),
        key.owner,
    )


def to_key(row: Row) -> Key:
    key_id, name, digest, roles, author, created, expires, revoked, hides_expected, owner = row
    return Key(
        id=key_id,
        name=name,
        digest=digest,
        roles=tuple(roles.split()),
        author=author,
        created=from_us(created),
        expires=None if expires is None else from_us(expires),
        revoked=None if revoked is None else from_us(revoked),
        hides_expected=bool(hides_expected),
        owner=owner,
    )


def setting_row(setting: Setting) -> Row:
    return (setting.name.value, setting.model or ALL_MODELS, setting.value)


def to_setting(row: Row) -> Setting:
    name, model, value = row
    return Setting(name=SettingName(name), model=model or None, value=value)


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
