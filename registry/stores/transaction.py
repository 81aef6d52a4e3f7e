"""The changes that a store in SQLite takes, made within one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from registry.entry import encode_record
from registry.events import Destination, Event
from registry.findings import Finding
from registry.labels import Batch, Label
from registry.promotions import Promotion
from registry.records import AuditRecord, Origin, SignedCheckpoint
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
    windows,
)
from registry.stores.connection import translated
from registry.stores.payloads import Subject
from registry.stores.reader import ALIAS_CHANGE, SqliteReader
from registry.times import to_us
from registry.vault import Vault
from registry.versions import AliasChange, Version, VersionState
from registry.windows import DetectorState
from registry.workers import Key, Setting, SettingName

_ADD_ROLLOUT_CHANGE = "INSERT INTO rollout_change (rollout, content) VALUES (?, ?)"


class SqliteTransaction(SqliteReader):
    """Changes over one connection that holds SQLite's write lock."""

    def __init__(self, connection: apsw.Connection, vault: Vault) -> None:
        super().__init__(connection, vault)
        self._changed = False  # what workers obey
        self._needs_record = False
        self._recorded = False

    def add_version(self, version: Version) -> None:
        self._change("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?)", rows.version_row(version))

    def set_state(self, model: str, number: int, state: VersionState) -> None:
        query = "UPDATE version SET state = ? WHERE model = ? AND number = ?"
        self._change(query, (state.value, model, number))

    def add_alias_change(self, change: AliasChange) -> None:
        query = f"INSERT INTO alias_change ({ALIAS_CHANGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constant
        self._change(query, rows.alias_change_row(change))

    def add_key(self, key: Key) -> None:
        self._change("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows.key_row(key))

    def revoke_key(self, key_id: str, at: datetime) -> None:
        self._change("UPDATE key SET revoked = ? WHERE id = ?", (to_us(at), key_id))

    def put_setting(self, setting: Setting) -> None:
        self._change("INSERT OR REPLACE INTO setting VALUES (?, ?, ?)", rows.setting_row(setting))

    def remove_setting(self, name: SettingName, model: str | None) -> None:
        query = "DELETE FROM setting WHERE name = ? AND model = ?"
        self._change(query, (name.value, model or rows.ALL_MODELS))

    def append(self, record: AuditRecord) -> None:
        leaf = encode_record(record)
        with translated():
            records.add_records(self._own, log.extend(self._rows, [leaf]), [leaf], {})
        self._recorded = True

    def find_subject(self, subject: str) -> Subject | None:
        with translated():
            return payloads.find_subject(self._connection, self._vault, subject)

    def erase(self, subject: Subject) -> int:
        self._needs_record = True
        with translated():
            return payloads.erase(self._connection, subject)

    def expire(self, indexes: Sequence[int]) -> None:
        self._needs_record = True
        with translated():
            payloads.expire(self._connection, indexes)

    def remove(self, indexes: Sequence[int]) -> None:
        self._needs_record = True
        with translated():
            payloads.remove(self._connection, indexes)

    def add_checkpoint(self, signed: SignedCheckpoint) -> None:
        log.add_checkpoint(self._rows, signed)

    def amend_checkpoint(self, size: int, note: str) -> None:
        log.amend_checkpoint(self._rows, size, note)

    def add_origin(self, origin: Origin) -> None:
        log.add_origin(self._rows, origin)

    def add_finding(self, finding: Finding) -> None:
        self._needs_record = True
        findings.add(self._rows, finding)

    def change_finding(self, finding: Finding) -> None:
        self._needs_record = True
        findings.change(self._rows, finding)

    def add_labels(self, batch: Batch, kept: Sequence[Label]) -> None:
        self._needs_record = True
        labels.add(self._rows, batch, kept)

    def add_rollout(self, rollout: Rollout, change: RolloutChange) -> None:
        row = rollouts.rollout_row(rollout)
        self._change("INSERT INTO rollout VALUES (?, ?, ?, ?, ?, ?)", row)
        self._change(_ADD_ROLLOUT_CHANGE, rollouts.change_row(change))

    def change_rollout(self, rollout: Rollout, change: RolloutChange) -> None:
        rollout_id, *_, is_open, content = rollouts.rollout_row(rollout)
        query = "UPDATE rollout SET is_open = ?, content = ? WHERE id = ?"
        self._change(query, (is_open, content, rollout_id))
        self._change(_ADD_ROLLOUT_CHANGE, rollouts.change_row(change))

    def add_promotion(self, promotion: Promotion) -> None:
        self._needs_record = True
        promotions.add(self._rows, promotion)

    def change_promotion(self, promotion: Promotion) -> None:
        self._needs_record = True
        promotions.change(self._rows, promotion)

    def keep_detector(self, model: str, version: int, kept: DetectorState) -> None:
        windows.keep_detector(self._rows, model, version, kept)

    def drop_detector(self, model: str, version: int) -> None:
        windows.drop_detector(self._rows, model, version)

    def drop_blocks(self, model: str, version: int) -> None:
        windows.drop_blocks(self._rows, model, version)

    def add_destination(self, destination: Destination) -> None:
        self._needs_record = True
        outbox.add_destination(self._rows, destination)

    def remove_destination(self, name: str) -> None:
        self._needs_record = True
        outbox.remove_destination(self._rows, name)

    def pause_destination(self, name: str, at: datetime) -> None:
        self._needs_record = True
        outbox.pause_destination(self._rows, name, at)

    def resume_destination(self, name: str, at: datetime) -> None:
        self._needs_record = True
        outbox.resume_destination(self._rows, name, at)

    def add_event(self, event: Event, told: Sequence[str]) -> None:
        self._needs_record = True
        outbox.add_event(self._rows, event, told)

    def send_again(self, number: int, at: datetime) -> None:
        self._needs_record = True
        outbox.send_again(self._rows, number, at)

    def finish(self) -> None:
        """Move the generation if anything changed; a change without its record is refused."""
        if self._needs_record and not self._recorded:
            raise RuntimeError("A transaction changed the registry without an audit record.")
        if self._changed:
            self._rows("UPDATE generation SET number = number + 1")

    def _change(self, query: str, values: Sequence[Any]) -> None:
        self._rows(query, values)
        self._changed = self._needs_record = True
