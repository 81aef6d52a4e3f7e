"""A dossier, gathered from the trail, the registry and the artifacts."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from math import inf

from msgspec import Raw

import gateway
from gateway.dossier.content import MAX_VALUES, Decider, Dossier, Event, Gathered, Kept, Proof
from gateway.dossier.standing import stand
from gateway.dossier.words import UNKEPT, outcome_in_words, place_in_words
from gateway.protocol.response import JsonTensor, json_tensor
from gateway.replay.what_if import WhatIf
from registry.audit.published import PublishedLog
from registry.audit.query import AuditTrail, Found
from registry.audit.replay import Replay, Why, read_kept, read_manifest
from registry.entry import Payload
from registry.errors import Gone, InvalidRequest, NotPublished, PayloadNotFound
from registry.records import AuditRecord, Kind, RecordFilter
from registry.registry import Registry
from registry.tensors import Tensor
from registry.times import from_us, now
from registry.tlog.note import Checkpoint
from registry.versions import CHAMPION, AliasChange

_MOST_EVENTS = 100
_NOT_PUBLISHED = (
    "The record is on disk and not under a signed checkpoint yet, which takes a second or two while"
    " the gateway runs. A dossier made later carries the proof."
)
_NOT_KEPT = "The input and the output of this request are not kept."
_NOT_AS_COMMITTED = "What is kept beside the record is not what the record commits to."


def find_proof(log: PublishedLog, found: Found) -> Proof:
    """Return the proof that the log has a record, or say that it is not published yet."""
    if found.index is None:
        return Proof(note=_NOT_PUBLISHED)
    try:
        text = log.proof(found.index, f"record {found.record.id}")
        vkey = log.origins()[-1].vkey
    except NotPublished:
        return Proof(note=_NOT_PUBLISHED)
    size = Checkpoint.read(text.partition("\n\n")[2]).size
    note = (
        f"The record is entry {found.index:,} (from 0) of a log of {size:,} records whose head is"
        " signed. Nobody can change, remove or insert a record unnoticed by those who keep a head."
    )
    return Proof(note=note, text=text, vkey=vkey)


def gather(
    registry: Registry,
    trail: AuditTrail,
    record_id: str,
    *,
    log: PublishedLog,
    replay: Replay | WhatIf | None = None,
) -> Gathered:
    """Collect what is known of one inference.

    Raises RecordNotFound, and InvalidRequest for a record of another kind.
    """
    found = trail.record(record_id)
    record = found.record
    if record.kind is not Kind.INFERENCE:
        raise InvalidRequest("record", f"Record {record.id} tells of no inference.")
    payload, note = _payload(trail, record)
    kept, inputs, outputs = _kept(record, payload, note)
    decider = _decider(registry, trail, record)
    manifest = None if decider is None else decider.manifest
    dossier = Dossier(
        made=now(),
        made_with=f"governed-gateway {gateway.VERSION}",
        record_id=record.id,
        index=found.index,
        time=_time(record),
        outcome=outcome_in_words(record),
        record=Raw(found.leaf),
        leaf=found.leaf.decode(),
        kept=kept,
        violations=tuple(map(place_in_words, record.violations)),
        flags=tuple(map(place_in_words, record.flags)),
        observed=tuple(map(place_in_words, record.observed)),
        repaired=tuple(map(place_in_words, record.repaired)),
        rules=()
        if manifest is None
        else stand(manifest, _as_they_were(record, inputs), _as_they_were(record, outputs)),
        decider=decider,
        principals=_principals(registry, record, decider),
        replay=replay,
        proof=find_proof(log, found),
    )
    return Gathered(dossier, record, inputs, outputs)


def _payload(trail: AuditTrail, record: AuditRecord) -> tuple[Payload | None, str]:
    """Return what is kept, and what to say where that is nothing."""
    try:
        return trail.payload(record.id), _why_not_kept(record)
    except PayloadNotFound:
        return None, _why_not_kept(record)
    except Gone as error:
        return None, str(error)


def _why_not_kept(record: AuditRecord) -> str:
    return f"{_NOT_KEPT} {UNKEPT.get(record.payload or '', '')}".strip()


def _kept(
    record: AuditRecord, payload: Payload | None, note: str
) -> tuple[Kept, Mapping[str, Tensor], Mapping[str, Tensor]]:
    if payload is None or payload.input is None or payload.output is None:
        return Kept(is_committed=None, note=note), {}, {}
    kept = read_kept(record, payload)
    if isinstance(kept, Why):
        return Kept(is_committed=False, note=_NOT_AS_COMMITTED), {}, {}
    treated = f" By the model's policy: {', '.join(record.reduced)}." if record.reduced else ""
    shown = Kept(
        is_committed=True,
        note=f"What is kept is what the record commits to.{treated}",
        salt=payload.salt.hex(),
        input_bytes=b64encode(payload.input).decode(),
        output_bytes=b64encode(payload.output).decode(),
        inputs=_written_out(kept.inputs),
        outputs=_written_out(kept.outputs),
    )
    return shown, kept.inputs, kept.outputs


def _as_they_were(record: AuditRecord, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    reduced = {one.rpartition(":")[0] for one in record.reduced}
    return {name: tensor for name, tensor in inputs.items() if name not in reduced}


def _written_out(tensors: Mapping[str, Tensor]) -> tuple[JsonTensor, ...]:
    return tuple(json_tensor(n, t) for n, t in tensors.items() if t.size <= MAX_VALUES)


def _decider(registry: Registry, trail: AuditTrail, record: AuditRecord) -> Decider | None:
    if record.model is None or record.version is None:
        return None
    version = registry.version(record.model, record.version)
    manifest = read_manifest(registry.artifacts, version.manifest)
    changes = [
        change
        for change in registry.store.alias_changes(record.model)
        if change.at <= _time(record)
    ]
    named = {change.alias: change.version for change in changes}
    return Decider(
        version=version,
        manifest=None if isinstance(manifest, Why) else manifest,
        manifest_note=manifest.detail if isinstance(manifest, Why) else "",
        live=_came_live(changes, record),
        others=tuple(a for a, v in named.items() if v == record.version and a != CHAMPION),
        events=_events(trail, record),
    )


def _came_live(changes: list[AliasChange], record: AuditRecord) -> AliasChange | None:
    """Find the change that made the version champion; a later one may not be obeyed yet."""
    if record.lane != CHAMPION:
        return None
    ours = (c for c in changes if c.alias == CHAMPION and c.version == record.version)
    return max(ours, key=lambda change: change.at, default=None)


def _events(trail: AuditTrail, record: AuditRecord) -> tuple[Event, ...]:
    wanted = RecordFilter(
        model=record.model, version=record.version, kind=Kind.ADMIN, until=_time(record)
    )
    page = trail.find(wanted, limit=_MOST_EVENTS)
    # In the order of the log: the ids of one millisecond have none.
    return tuple(_event(found) for found in sorted(page.records, key=_place))


def _place(found: Found) -> float:
    return inf if found.index is None else found.index


def _event(found: Found) -> Event:
    record = found.record
    return Event(
        time=_time(record),
        action=record.action or "",
        alias=record.alias,
        previous=record.previous,
        principal=record.principal,
        source=record.source,
        reason=record.reason,
        record_id=record.id,
        index=found.index,
    )


def _principals(registry: Registry, record: AuditRecord, decider: Decider | None) -> dict[str, str]:
    """Say what is known of each key that is named: what it is called and what it may do."""
    named = {record.principal}
    if decider is not None:
        named |= {decider.version.author, *(event.principal for event in decider.events)}
    return {
        key.id: f"{key.name or 'without a name'} ({', '.join(key.roles)})"
        for key in registry.store.api_keys()
        if key.id in named
    }


def _time(record: AuditRecord) -> datetime:
    return from_us(int(record.time) // 1000)
