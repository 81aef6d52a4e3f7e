"""The questions that a store in SQLite answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from registry.entry import Payload
from registry.errors import InvalidRequest
from registry.events import Delivery, DeliveryCount, DeliveryState, Destination
from registry.findings import Finding
from registry.labels import AnswerCount, AnswerKept, Batch, KeptLabel, Label
from registry.promotions import Promotion
from registry.records import Origin, RecordFilter, SignedCheckpoint, Tally
from registry.rollouts import Rollout, RolloutChange
from registry.stores import (
    findings,
    labels,
    log,
    outbox,
    payloads,
    promotions,
    records,
    rollouts,
    rows,
    tallies,
    windows,
)
from registry.stores.connection import translated
from registry.stores.payloads import Aged
from registry.vault import Vault
from registry.versions import AliasChange, Version
from registry.windows import Block, DetectorState, Span, Window
from registry.workers import Key, Setting, WorkerStatus

_VERSION = "model, number, artifact, manifest, state, author, created"
ALIAS_CHANGE = "model, alias, version, cause, at, principal, reason, record_id"
_NOW_NAMED = """
    SELECT alias, version FROM alias_change AS change
    WHERE model = ? AND version IS NOT NULL AND sequence = (
        SELECT max(sequence) FROM alias_change
        WHERE model = change.model AND alias = change.alias
    )
    ORDER BY alias
"""


class SqliteReader:
    """The questions a store answers, asked over one connection."""

    def __init__(self, connection: apsw.Connection, vault: Vault) -> None:
        self._own = connection
        self._vault = vault

    @property
    def _connection(self) -> apsw.Connection:
        return self._own

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[rows.Row]:
        with translated():
            try:
                return self._connection.execute(query, values).fetchall()
            except (OverflowError, UnicodeEncodeError) as error:
                message = "A number is beyond 64 bits, or a text is no Unicode."
                raise InvalidRequest("value", message) from error

    def generation(self) -> int:
        return int(self._rows("SELECT number FROM generation")[0][0])

    def models(self) -> list[str]:
        return [name for (name,) in self._rows("SELECT DISTINCT model FROM version ORDER BY model")]

    def versions(self, model: str) -> list[Version]:
        query = f"SELECT {_VERSION} FROM version WHERE model = ? ORDER BY number"  # noqa: S608 - constant
        return [rows.to_version(row) for row in self._rows(query, (model,))]

    def version(self, model: str, number: int) -> Version | None:
        query = f"SELECT {_VERSION} FROM version WHERE model = ? AND number = ?"  # noqa: S608 - constant
        found = self._rows(query, (model, number))
        return rows.to_version(found[0]) if found else None

    def alias_changes(self, model: str) -> list[AliasChange]:
        query = f"SELECT {ALIAS_CHANGE} FROM alias_change WHERE model = ? ORDER BY sequence"  # noqa: S608 - constant
        return [rows.to_alias_change(row) for row in self._rows(query, (model,))]

    def aliases(self, model: str) -> dict[str, int]:
        return dict(self._rows(_NOW_NAMED, (model,)))

    def api_keys(self) -> list[Key]:
        return [rows.to_key(row) for row in self._rows("SELECT * FROM key ORDER BY created, id")]

    def settings(self) -> list[Setting]:
        found = self._rows("SELECT * FROM setting ORDER BY name, model")
        return [rows.to_setting(row) for row in found]

    def records(
        self, wanted: RecordFilter, *, before: str | None, limit: int
    ) -> list[tuple[int, bytes]]:
        return records.find_records(self._rows, wanted, before, limit)

    def record(self, record_id: str) -> tuple[int, bytes] | None:
        found = self._rows("SELECT idx, leaf FROM record WHERE id = ?", (rows.id_bytes(record_id),))
        return (found[0][0], found[0][1]) if found else None

    def payload(self, record_id: str) -> Payload | None:
        with translated():
            return payloads.read(self._connection, self._vault, rows.id_bytes(record_id))

    def streams(self, model: str) -> list[int]:
        return payloads.streams(self._rows, model)

    def aged(self, stream: int, *, after: bytes, before: datetime, limit: int) -> list[Aged]:
        return payloads.aged(self._rows, (stream, after, before), limit)

    def tallies(
        self, *, since: datetime, until: datetime, hours: int, model: str | None
    ) -> list[Tally]:
        span = tallies.span(since, until, hours, model)
        return [tallies.to_tally(row) for row in self._rows(tallies.SELECT, span)]

    def positions(self) -> dict[str, int]:
        return dict(self._rows("SELECT segment, reached FROM position"))

    def tree_size(self) -> int:
        return log.size(self._rows)

    def tile(self, level: int, number: int) -> bytes:
        return log.tile(self._rows, level, number)

    def leaves(self, start: int, end: int) -> list[bytes]:
        return log.leaves(self._rows, start, end)

    def checkpoint(self) -> SignedCheckpoint | None:
        return log.checkpoint(self._rows)

    def checkpoints(self) -> list[SignedCheckpoint]:
        return log.checkpoints(self._rows)

    def origins(self) -> list[Origin]:
        return log.origins(self._rows)

    def destinations(self) -> list[Destination]:
        return outbox.destinations(self._rows)

    def deliveries(
        self, state: DeliveryState | None, *, before: int | None, limit: int
    ) -> list[Delivery]:
        return outbox.deliveries(self._rows, state, before, limit)

    def delivery(self, number: int) -> Delivery | None:
        return outbox.delivery(self._rows, number)

    def next_delivery(self, destination: str, at: datetime) -> Delivery | None:
        return outbox.next_delivery(self._rows, destination, at)

    def waiting_destinations(self, at: datetime) -> list[str]:
        return outbox.waiting(self._rows, at)

    def delivery_counts(self) -> list[DeliveryCount]:
        return outbox.counts(self._rows)

    def workers(self) -> list[WorkerStatus]:
        return [rows.to_worker(row) for row in self._rows("SELECT * FROM worker ORDER BY worker")]

    def windows(
        self, model: str, version: int, lane: str, span: Span, *, since: datetime, until: datetime
    ) -> list[Window]:
        return windows.windows(self._rows, (model, version, lane, span), since, until)

    def taken(self) -> list[str]:
        return windows.taken(self._rows)

    def judged(self) -> list[tuple[str, int]]:
        return windows.judged(self._rows)

    def blocks(self, model: str, version: int) -> list[Block]:
        return windows.blocks(self._rows, model, version)

    def detector(self, model: str, version: int) -> DetectorState | None:
        return windows.detector(self._rows, model, version)

    def findings(self, model: str, *, only_open: bool = False) -> list[Finding]:
        return findings.find(self._rows, model, only_open=only_open)

    def models_with_findings(self) -> list[str]:
        return findings.open_models(self._rows)

    def label(self, model: str, record_id: str, row: int) -> Label | None:
        return labels.last(self._rows, model, record_id, row)

    def labels(
        self, model: str, *, since: datetime, until: datetime, limit: int
    ) -> list[KeptLabel]:
        return labels.labels(self._rows, model, since, until, limit)

    def label_history(self, model: str, record_id: str) -> list[KeptLabel]:
        return labels.history(self._rows, model, record_id)

    def label_batches(self, model: str, *, since: datetime, until: datetime) -> list[Batch]:
        return labels.batches(self._rows, model, since, until)

    def answer(self, record_id: str) -> AnswerKept | None:
        return labels.answer(self._rows, record_id)

    def answer_counts(self, model: str, *, since: datetime, until: datetime) -> list[AnswerCount]:
        return labels.answer_counts(self._rows, model, since, until)

    def rollouts(self, model: str | None = None) -> list[Rollout]:
        return rollouts.rollouts(self._rows, model)

    def open_rollouts(self) -> list[Rollout]:
        return rollouts.open_rollouts(self._rows)

    def rollout(self, rollout_id: str) -> Rollout | None:
        return rollouts.rollout(self._rows, rollout_id)

    def rollout_changes(self, rollout_id: str) -> list[RolloutChange]:
        return rollouts.changes(self._rows, rollout_id)

    def promotion(self, promotion_id: str) -> Promotion | None:
        return promotions.read(self._rows, promotion_id)

    def promotions(
        self, model: str | None = None, *, only_pending: bool = False
    ) -> list[Promotion]:
        return promotions.find(self._rows, model, only_pending=only_pending)
