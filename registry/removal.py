"""The end of what was kept for as long as it had to be: payloads first, then records.

Done in small pieces, so that nothing else waits for long, each a transaction that contains its
record. Whether something may go is asked again in that transaction: a hold that is set before it
holds. The leaves that go keep their places in the tree, as hashes. Records of changes stay.
"""

import time
from datetime import datetime, timedelta
from itertools import takewhile

from msgspec import Struct

from registry.entry import new_record_id
from registry.privacy import holds, retentions
from registry.reader import Reader
from registry.records import AuditRecord, Kind, Outcome
from registry.registry import Clock
from registry.store import Store, Transaction
from registry.stores.payloads import Aged
from registry.times import now, to_us

PIECE = 300  # records looked at in one piece
_TILE = 256  # leaves; those beyond the last full tile are still needed to serve it
# What is due is looked for this often, and from the beginning once a day: a record may come late.
_REST = timedelta(minutes=1)
_SWEEP = timedelta(days=1)
_SCRUB_S = 10.0


class _Lot(Struct):
    """Payloads or records of one stream, their days, and the id up to which all due are gone."""

    model: str
    stream: int
    of_records: bool
    days: int
    after: bytes = b""

    def before(self, at: datetime) -> datetime:
        """Return what time everything that goes at a moment is before."""
        return at - timedelta(days=self.days)

    @property
    def name(self) -> tuple[int, bool, int]:
        return (self.stream, self.of_records, self.days)


class Remover:
    """Removes what is due, a piece at a time."""

    def __init__(self, store: Store, clock: Clock = now) -> None:
        self._store = store
        self._clock = clock
        self._lots: list[_Lot] = []
        self._generation = -1
        self._scrub_at = time.monotonic()
        self._swept = self._rest_until = clock() - _SWEEP

    def run(self, budget_s: float) -> None:
        """Remove for about so many seconds, and leave no older state of the store in its files."""
        until = time.monotonic() + budget_s
        while self.remove_piece() and time.monotonic() < until:
            pass
        if time.monotonic() >= self._scrub_at:
            self._store.scrub()
            self._scrub_at = time.monotonic() + _SCRUB_S

    def remove_piece(self) -> bool:
        """Remove a piece of what is due, and say whether there may be more."""
        at = self._clock()
        self._plan(at)
        if at < self._rest_until:
            return False
        for lot in self._lots:
            if self._go_on(lot, at):
                return True
        self._rest_until = at + _REST
        return False

    def _plan(self, at: datetime) -> None:
        """Keep the list of lots what settings and streams say, and begin anew once a day."""
        generation = self._store.generation()
        if generation == self._generation and at < self._rest_until:
            return
        is_new_sweep = at - self._swept >= _SWEEP
        reached = {} if is_new_sweep else {lot.name: lot.after for lot in self._lots}
        with self._store.snapshot() as view:
            self._lots = [lot for model in retentions(view) for lot in _lots(view, model)]
        for lot in self._lots:
            lot.after = reached.get(lot.name, b"")
        self._generation, self._rest_until = generation, at
        self._swept = at if is_new_sweep else self._swept

    def _go_on(self, lot: _Lot, at: datetime) -> bool:
        """Look at the next records of a lot and remove those that are due; False at its end."""
        before = lot.before(at)
        found = self._store.aged(lot.stream, after=lot.after, before=before, limit=PIECE)
        if lot.of_records:
            bound = self._store.tree_size() // _TILE * _TILE
            due = found = list(takewhile(lambda one: one.index < bound, found))
        else:
            due = [one for one in found if one.has_payload]
        if due:
            with self._store.write() as tx:
                if lot.name not in {one.name for one in _lots(tx, lot.model)}:
                    return False
                _remove(tx, lot, due, at)
        if found:
            lot.after = found[-1].id
        return bool(found)


def _lots(view: Reader, model: str) -> list[_Lot]:
    """List what of a model has an end, as its settings are; nothing has while it is held."""
    retention = retentions(view).get(model)
    if retention is None or model in holds(view):
        return []
    ends = ((False, retention.payload_days), (True, retention.record_days))
    return [
        _Lot(model, stream, of_records, days)
        for stream in view.streams(model)
        for of_records, days in ends
        if days is not None
    ]


def _remove(tx: Transaction, lot: _Lot, due: list[Aged], at: datetime) -> None:
    indexes = [one.index for one in due]
    if lot.of_records:
        tx.remove(indexes)
    else:
        tx.expire(indexes)
    time_ns = to_us(at) * 1000
    preset = retentions(tx)[lot.model].preset
    tx.append(
        AuditRecord(
            id=new_record_id(time_ns),
            kind=Kind.REMOVAL,
            time=str(time_ns),
            outcome=Outcome.DONE,
            action="records.remove" if lot.of_records else "payloads.expire",
            model=lot.model,
            reason=f"{preset or 'own retention'}, {lot.days} days",
            count=len(due),
            first=min(indexes),
            last=max(indexes),
            newest=str(max(one.time_ms for one in due) * 1_000_000),
        )
    )
