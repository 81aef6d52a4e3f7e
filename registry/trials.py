"""Changes under a condition, and changes that are only tried out.

Both are the verbs themselves, on a store that looks first, or keeps nothing: so what a trial shows
is what would be done, check by check, and no verb has to know of either.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from msgspec import Struct

from registry.errors import Conflict, NotAllowed, RegistryError, StateChanged
from registry.model_state import state_tag
from registry.promotion_evidence import Check
from registry.reader import Reader
from registry.records import AuditRecord
from registry.registry import Registry
from registry.store import Store, Transaction


class Planned(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change that would be made, as its record would tell it."""

    action: str | None
    model: str | None
    version: int | None
    alias: str | None = None
    previous: int | None = None
    rollout: str | None = None
    subject: str | None = None
    reason: str | None = None


class Trial(Struct, frozen=True, kw_only=True):
    """What a change would do, and what was checked; nothing was changed.

    `plan` is empty where the change would be refused; the last check says why then.
    """

    is_allowed: bool
    plan: list[Planned]
    checks: list[Check]


def if_unchanged(registry: Registry, model: str, tags: Collection[str]) -> Registry:
    """Return a registry that changes something only while the state of a model has one of the tags.

    Its verbs raise StateChanged otherwise.
    """

    def look(view: Reader) -> None:
        if state_tag(view, model) not in tags:
            raise StateChanged(model)

    return _on(registry, _LookingStore(registry.store, look))


def try_out(
    registry: Registry,
    verb: Callable[[Registry], object],
    checks: Sequence[Check] = (),
) -> Trial:
    """Do what `verb` does and undo it, and say what it was; `checks` are what is asked of it.

    Raises what `verb` raises of requests that make no sense, name what is not there, or are meant
    for another state.
    """
    store = _UndoingStore(registry.store)
    try:
        verb(_on(registry, store))
    except StateChanged:
        raise
    except (Conflict, NotAllowed) as refusal:
        return Trial(is_allowed=False, plan=[], checks=[*checks, _check(refusal.slug, refusal)])
    plan = [_planned(one) for one in store.records]
    return Trial(is_allowed=True, plan=plan, checks=[*checks, _check("possible", None)])


class _LookingStore:
    """A store that looks at its state in each transaction, before anything is changed."""

    def __init__(self, store: Store, look: Callable[[Reader], None]) -> None:
        self._store = store
        self._look = look

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._store.write() as tx:
            self._look(tx)
            yield tx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Undone(Exception):
    """Ends a transaction, so that nothing of it is kept."""


class _UndoingStore:
    """A store that undoes each transaction at its end; `records` has those that it would have."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.records: list[AuditRecord] = []

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with suppress(_Undone), self._store.write() as tx:
            yield cast("Transaction", _Recording(tx, self.records))
            raise _Undone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Recording:
    """A transaction that says which records it was given."""

    def __init__(self, tx: Transaction, records: list[AuditRecord]) -> None:
        self._tx = tx
        self._records = records

    def append(self, record: AuditRecord) -> None:
        self._records.append(record)
        self._tx.append(record)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def _on(registry: Registry, store: _LookingStore | _UndoingStore) -> Registry:
    # It has every verb of a store, though no checker of types sees those that it passes on.
    return Registry(cast("Store", store), registry.artifacts, registry.clock, registry.truth)


def _check(name: str, refusal: RegistryError | None) -> Check:
    found = "nothing is against it" if refusal is None else str(refusal)
    return Check(name=name, need="it can be done now", is_met=refusal is None, found=found)


def _planned(record: AuditRecord) -> Planned:
    return Planned(
        action=record.action,
        model=record.model,
        version=record.version,
        alias=record.alias,
        previous=record.previous,
        rollout=record.rollout,
        subject=record.subject,
        reason=record.reason,
    )
