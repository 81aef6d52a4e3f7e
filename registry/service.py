"""What an operator changes of a running gateway: models out of service and back, settings.

None of these verbs moves an alias. What is set is stored, so that every worker obeys it and a
restart remembers it, and each change is one transaction that contains its audit record.
"""

from collections.abc import Callable

from registry.announcing import announce, service_changed
from registry.errors import Conflict, ModelNotFound, clip
from registry.names import check_reason
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.registry import Registry
from registry.store import Transaction
from registry.times import now
from registry.workers import Setting, SettingName


def unload(registry: Registry, model: str, author: Author, reason: str | None = None) -> None:
    """Take a model out of service until it is loaded; doing so again changes nothing.

    Raises ModelNotFound and InvalidRequest.
    """
    _change_service(registry, model, author, reason, is_unloaded=True)


def load(registry: Registry, model: str, author: Author, reason: str | None = None) -> None:
    """Bring back into service what the aliases of a model name, and nothing else.

    Raises Conflict where none names a version, ModelNotFound and InvalidRequest.
    """
    if not registry.store.aliases(model):
        _check_model(registry.store, model)
        raise Conflict(
            f"No alias names a version of {clip(model)!r}: promote one, and it is loaded."
        )
    _change_service(registry, model, author, reason, is_unloaded=False)


def change_setting(
    registry: Registry,
    name: SettingName,
    model: str | None,
    change: Callable[[str | None], str | None],
    author: Author,
) -> None:
    """Set what `change` makes of the present value; what that is, is the record's reason.

    None stands for no value. Raises ModelNotFound, and what `change` raises.
    """
    with registry.store.write() as tx:
        if model is not None:
            _check_model(tx, model)
        value = change(values(tx, name).get(model))
        put_value(tx, name, model, value)
        append_record(tx, f"{name}.set", author, now(), model=model, reason=value)


def put_value(tx: Transaction, name: SettingName, model: str | None, value: str | None) -> None:
    """Set a value, or let there be none where it is None; the record is the caller's to write."""
    if value is None:
        tx.remove_setting(name, model)
    else:
        tx.put_setting(Setting(name=name, model=model, value=value))


def values(view: Reader, name: SettingName) -> dict[str | None, str]:
    """Return the values of a setting by model; that of None is the one for all models."""
    return {one.model: one.value for one in view.settings() if one.name == name}


def unloaded(view: Reader) -> frozenset[str]:
    """Name the models that are out of service."""
    return frozenset(model for model in values(view, SettingName.UNLOADED) if model is not None)


def _change_service(
    registry: Registry, model: str, author: Author, reason: str | None, *, is_unloaded: bool
) -> None:
    if reason is not None:
        check_reason(reason)
    with registry.store.write() as tx:
        _check_model(tx, model)
        if (model in unloaded(tx)) == is_unloaded:
            return
        put_value(tx, SettingName.UNLOADED, model, "true" if is_unloaded else None)
        action = "unload" if is_unloaded else "load"
        record = append_record(tx, action, author, now(), model=model, reason=reason)
        announce(tx, service_changed(record))


def _check_model(view: Reader, model: str) -> None:
    if not view.versions(model):
        raise ModelNotFound(model)
