"""What is kept of payloads, for how long, under which hold; and how a person is erased.

Each verb is one transaction that contains its audit record. Workers and the controller obey what is
set without a restart.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from registry import service
from registry.errors import InvalidRequest, SubjectNotFound, UnderHold
from registry.names import check_reason, is_subject
from registry.payload_policy import PayloadPolicy, check_policy
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.records import Kind
from registry.registry import Registry
from registry.retention import Retention, check_retention, effective_policy
from registry.stores.payloads import Subject
from registry.times import now
from registry.versions import VersionState
from registry.workers import SettingName


class Erased(Struct, frozen=True, kw_only=True):
    """What an erasure did: its record, the random id of the person's key, payloads destroyed."""

    record_id: str
    subject_id: str
    payloads: int


def set_payload_policy(
    registry: Registry, model: str, policy: PayloadPolicy, author: Author
) -> None:
    """Set what is kept of a model's payloads from now on.

    Raises ModelNotFound, and InvalidRequest for a policy that its versions cannot meet.
    """
    versions = [one for one in registry.versions(model) if one.state is not VersionState.RETIRED]
    check_policy(policy, [registry.manifest(one).signature for one in versions])
    if policy.needs_key:
        registry.store.vault.make_key()
    change = _to(None if policy == PayloadPolicy() else policy)
    service.change_setting(registry, SettingName.PAYLOAD_POLICY, model, change, author)


def set_retention(registry: Registry, model: str, retention: Retention, author: Author) -> None:
    """Set how long what is kept of a model stays.

    Raises ModelNotFound, and InvalidRequest for a retention that makes no sense.
    """
    checked = check_retention(retention)
    change = _to(None if checked == Retention() else checked)
    service.change_setting(registry, SettingName.RETENTION, model, change, author)


def set_hold(registry: Registry, model: str, reason: str, author: Author) -> None:
    """Keep all there is of a model, whatever its retention, until the hold is lifted.

    Raises ModelNotFound and InvalidRequest.
    """
    _change_hold(registry, model, reason, author, is_held=True)


def lift_hold(registry: Registry, model: str, reason: str, author: Author) -> None:
    """Let retention and erasure have effect on a model again; without a hold nothing is changed.

    Raises ModelNotFound and InvalidRequest.
    """
    _change_hold(registry, model, reason, author, is_held=False)


def payload_policy(view: Reader, model: str) -> PayloadPolicy:
    """Return what is set to be kept of a model's payloads."""
    value = service.values(view, SettingName.PAYLOAD_POLICY).get(model)
    return PayloadPolicy() if value is None else msgspec.json.decode(value, type=PayloadPolicy)


def retentions(view: Reader) -> dict[str, Retention]:
    """Return for how long what is kept of each model stays, of those that have an end."""
    return {
        model: msgspec.json.decode(value, type=Retention)
        for model, value in service.values(view, SettingName.RETENTION).items()
        if model is not None
    }


def holds(view: Reader) -> dict[str, str]:
    """Return the models under legal hold, and why."""
    held = service.values(view, SettingName.HOLD)
    return {model: msgspec.json.decode(why, type=str) for model, why in held.items() if model}


def effective_policies(view: Reader) -> dict[str, PayloadPolicy]:
    """Return what workers keep of the payloads of each model for which anything is set."""
    kept = retentions(view)
    models = {model for model in service.values(view, SettingName.PAYLOAD_POLICY) if model}
    return {
        model: effective_policy(payload_policy(view, model), kept.get(model))
        for model in models | kept.keys()
    }


def erase(registry: Registry, subject: str, reason: str, author: Author) -> Erased:
    """Destroy the key of a person and all their payloads in the store; records stay.

    What is still in the journal is not reached: `gateway.erasing` waits for it first.
    Raises SubjectNotFound, UnderHold, InvalidRequest and PayloadKeyMissing.
    """
    _check_texts(subject, reason)
    with registry.store.write() as tx:
        found = tx.find_subject(subject)
        if found is None:
            raise SubjectNotFound
        _check_hold(tx, found)
        payloads = tx.erase(found)
        record = append_record(
            tx, "erase", author, now(), kind=Kind.ERASURE,
            subject=found.id.hex(), count=payloads, reason=reason,
        )  # fmt: skip
    return Erased(record_id=record.id, subject_id=found.id.hex(), payloads=payloads)


def check_erasure(registry: Registry, subject: str, reason: str) -> None:
    """Accept an erasure, as far as can be told before the journal is in the store.

    Raises UnderHold, InvalidRequest and PayloadKeyMissing.
    """
    _check_texts(subject, reason)
    with registry.store.write() as tx:
        found = tx.find_subject(subject)
        if found is not None:
            _check_hold(tx, found)


def _check_hold(view: Reader, found: Subject) -> None:
    if held := sorted(found.models & holds(view).keys()):
        raise UnderHold(held)


def _check_texts(subject: str, reason: str) -> None:
    check_reason(reason)
    if not is_subject(subject):
        raise InvalidRequest("subject", "A subject is a text of 1 to 256 characters.")


def _to(value: Struct | None) -> Callable[[str | None], str | None]:
    return lambda _: None if value is None else msgspec.json.encode(value).decode()


def _change_hold(
    registry: Registry, model: str, reason: str, author: Author, *, is_held: bool
) -> None:
    check_reason(reason)
    registry.versions(model)
    with registry.store.write() as tx:
        if not is_held and model not in holds(tx):
            return
        value = msgspec.json.encode(reason).decode() if is_held else None
        service.put_value(tx, SettingName.HOLD, model, value)
        action = "hold.set" if is_held else "hold.lift"
        append_record(tx, action, author, now(), model=model, reason=reason)
