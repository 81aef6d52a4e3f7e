"""Records found, asked again, and the asking itself recorded."""

from collections.abc import Callable, Iterator

import msgspec

from gateway.replay.what_if import OtherVersion, WhatIf
from registry.audit.query import AuditTrail
from registry.audit.replay import Engine, Replay, Replayer
from registry.entry import Payload
from registry.errors import Gone, PayloadNotFound
from registry.recording import Author, append_record
from registry.records import AuditRecord, Kind, RecordFilter
from registry.registry import Registry
from registry.times import now

Ask = Callable[[AuditRecord, Payload | None], Replay | WhatIf]


class Asking:
    """Asks the versions of a registry again what a trail says they were asked."""

    def __init__(self, registry: Registry, trail: AuditTrail, engine: Engine) -> None:
        self._registry = registry
        self._trail = trail
        self._engine = engine
        self._replayer = Replayer(registry.artifacts, engine)

    def ask_one(self, record_id: str, version: int | None = None) -> Replay | WhatIf:
        """Replay one record, on its own version or on another of the same model.

        Raises RecordNotFound, ModelNotFound, VersionNotFound, and Gone for a payload that was
        erased or has expired.
        """
        record = self._trail.record(record_id).record
        ask = self._ask(record.model or record.subject or "", version)
        try:
            payload = self._trail.payload(record.id)
        except PayloadNotFound:
            payload = None
        return ask(record, payload)

    def ask_all(
        self, wanted: RecordFilter, limit: int | None, version: int | None = None
    ) -> Iterator[Replay | WhatIf]:
        """Replay the inferences that a filter accepts, newest first, as many as `limit` at most.

        Raises ModelNotFound and VersionNotFound.
        """
        wanted = msgspec.structs.replace(wanted, kind=Kind.INFERENCE)
        ask = self._ask(wanted.model or "", version)
        for found in self._trail.walk(wanted, limit):
            yield ask(found.record, self._payload(found.record.id))

    def _ask(self, model: str, version: int | None) -> Ask:
        if version is None:
            return self._replayer.replay
        other = self._registry.version(model, version)
        return OtherVersion(other, self._registry.manifest(other), self._engine).ask

    def _payload(self, record_id: str) -> Payload | None:
        try:
            return self._trail.payload(record_id)
        except (Gone, PayloadNotFound):
            return None


def record_replay(registry: Registry, author: Author, replay: Replay | WhatIf) -> None:
    """Record that one record was replayed, by whom, and what came of it."""
    said = replay.result if replay.reason is None else f"{replay.result}: {replay.reason}"
    with registry.store.write() as tx:
        asked = None
        if replay.model is not None and replay.version is not None:
            asked = tx.version(replay.model, replay.version)
        append_record(
            tx,
            "replay",
            author,
            now(),
            kind=Kind.REPLAY,
            version=asked,
            runtime=replay.runtime,
            subject=replay.record_id,
            reason=said,
        )


def record_replays(
    registry: Registry, author: Author, *, model: str, version: int | None, said: str
) -> None:
    """Record that many records of a model were replayed at once, and what came of it."""
    with registry.store.write() as tx:
        asked = None if version is None else tx.version(model, version)
        append_record(
            tx, "replay", author, now(), kind=Kind.REPLAY, version=asked, model=model, reason=said
        )
