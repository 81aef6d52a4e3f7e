"""Taking models out of service and back, and settings: what is stored and what is recorded."""

import pytest

from registry import service
from registry.entry import decode_record
from registry.errors import Conflict, InvalidRequest, ModelNotFound
from registry.records import AuditRecord, RecordFilter
from registry.registry import Registry
from registry.workers import Setting, SettingName
from tests.builders import AUTHOR, linear_model, publish


def newest(registry: Registry) -> AuditRecord:
    # By index: the ids of one millisecond come in any order.
    _, leaf = max(registry.store.records(RecordFilter(), before=None, limit=1000))
    return decode_record(leaf)


def test_unloading_and_loading_leave_a_record_and_no_alias_change(registry: Registry) -> None:
    publish(registry, "linear", linear_model())
    aliases = registry.store.alias_changes("linear")

    service.unload(registry, "linear", AUTHOR, "it misbehaves")
    assert service.unloaded(registry.store) == {"linear"}
    record = newest(registry)
    assert (record.action, record.model, record.principal, record.reason) == (
        "unload", "linear", AUTHOR.principal, "it misbehaves",
    )  # fmt: skip

    service.load(registry, "linear", AUTHOR)
    assert service.unloaded(registry.store) == frozenset()
    assert (newest(registry).action, newest(registry).model) == ("load", "linear")
    assert registry.store.alias_changes("linear") == aliases


def test_what_is_so_already_changes_nothing(registry: Registry) -> None:
    publish(registry, "linear", linear_model())
    before = (registry.store.generation(), newest(registry))
    service.load(registry, "linear", AUTHOR)
    assert (registry.store.generation(), newest(registry)) == before

    service.unload(registry, "linear", AUTHOR)
    before = (registry.store.generation(), newest(registry))
    service.unload(registry, "linear", AUTHOR)
    assert (registry.store.generation(), newest(registry)) == before


def test_loading_is_no_way_around_promotion(registry: Registry) -> None:
    publish(registry, "linear", linear_model(), promote=False)
    with pytest.raises(Conflict, match="promote"):
        service.load(registry, "linear", AUTHOR)
    assert registry.store.aliases("linear") == {}


def test_an_unknown_model_has_no_service(registry: Registry) -> None:
    for verb in (service.load, service.unload):
        with pytest.raises(ModelNotFound):
            verb(registry, "none", AUTHOR)
    with pytest.raises(ModelNotFound):
        service.change_setting(registry, SettingName.TRACE, "none", lambda _: "{}", AUTHOR)
    assert registry.store.settings() == []


def test_a_blank_reason_is_refused_and_nothing_is_changed(registry: Registry) -> None:
    publish(registry, "linear", linear_model())
    with pytest.raises(InvalidRequest):
        service.unload(registry, "linear", AUTHOR, " ")
    assert service.unloaded(registry.store) == frozenset()


def test_a_setting_and_its_end_are_recorded(registry: Registry) -> None:
    publish(registry, "linear", linear_model())
    service.change_setting(registry, SettingName.TRACE, "linear", lambda _: '{"a":1}', AUTHOR)
    assert registry.store.settings() == [
        Setting(name=SettingName.TRACE, model="linear", value='{"a":1}')
    ]
    assert (newest(registry).action, newest(registry).reason) == ("trace.set", '{"a":1}')

    seen: list[str | None] = []
    service.change_setting(registry, SettingName.TRACE, "linear", seen.append, AUTHOR)
    assert seen == ['{"a":1}']
    assert registry.store.settings() == []
    assert (newest(registry).action, newest(registry).reason) == ("trace.set", None)
