"""The registry's verbs: each a decision, and a transaction that contains its record."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.entry import decode_record
from registry.errors import (
    AliasNotFound,
    AlreadyChampion,
    ArtifactDamaged,
    InvalidRequest,
    KeyNotFound,
    ModelNotFound,
    NothingToRollBackTo,
    Rejected,
    VersionInUse,
    VersionNotFound,
    VersionRetired,
)
from registry.records import (
    Action,
    AuditRecord,
    Contract,
    Draft,
    RecordFilter,
    Rule,
    RuleKind,
    VersionState,
)
from registry.registry import Registry
from tests.builders import AUTHOR, add_key, linear_model, publish


def records(registry: Registry) -> list[AuditRecord]:
    rows = registry.store.records(RecordFilter(), before=None, limit=1000)
    return [decode_record(leaf) for _, leaf in sorted(rows)]


def test_versions_are_numbered_from_one_even_when_published_at_once(registry: Registry) -> None:
    artifact = linear_model()
    threads = [
        threading.Thread(target=publish, args=(registry, "m", artifact), kwargs={"promote": False})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [version.number for version in registry.versions("m")] == [1, 2, 3, 4]


def test_a_version_keeps_its_manifest_and_its_bytes(registry: Registry) -> None:
    rule = Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, low=0.0)
    draft = Draft(contract=Contract(rules=(rule,)), description="sums")

    version = publish(registry, "m", linear_model(), draft)
    manifest = registry.manifest(version)

    assert manifest.artifact == version.artifact
    assert manifest.contract == draft.contract
    assert manifest.description == "sums"
    assert registry.artifacts.read(version.artifact) == linear_model()


def test_damaged_bytes_are_found_when_they_are_read(registry: Registry, tmp_path: Path) -> None:
    version = publish(registry, "m", linear_model())
    algorithm, value = version.artifact.split(":")
    path = tmp_path / "artifacts" / algorithm / value[:2] / value
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    with pytest.raises(ArtifactDamaged):
        registry.artifacts.read(version.artifact)


@pytest.mark.parametrize(
    "name", ["", "stats", "../x", "a/b", ".hidden", "a..b", "ü", "a\x00", "a b", "x" * 129]
)
def test_a_name_that_is_no_safe_path_segment_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(InvalidRequest):
        registry.publish(name, linear_model(), Draft(), AUTHOR)


def test_a_contract_that_does_not_fit_the_signature_is_refused(registry: Registry) -> None:
    rule = Rule(input="nothing", kind=RuleKind.RANGE, action=Action.FLAG, low=0.0)

    with pytest.raises(Rejected) as refusal:
        publish(registry, "m", linear_model(), Draft(contract=Contract(rules=(rule,))))

    assert refusal.value.check == "contract"
    assert registry.store.models() == []


@pytest.mark.parametrize("reason", ["", "x" * 1001])
def test_a_change_needs_a_reason(registry: Registry, reason: str) -> None:
    publish(registry, "m", linear_model(), promote=False)

    with pytest.raises(InvalidRequest):
        registry.promote("m", 1, reason, AUTHOR)


def test_promotion_rollback_and_history_agree(registry: Registry) -> None:
    moments = iter(datetime(2026, 3, 1, 12, minute, tzinfo=UTC) for minute in range(60))
    registry._clock = lambda: next(moments)
    publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(2.0))
    registry.roll_back("m", "worse", AUTHOR)
    changes = registry.store.alias_changes("m")

    assert [(change.cause, change.version) for change in changes] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
    ]
    for change in changes:
        live = registry.live_at("m", change.at)
        assert (live.version, live.change) == (change.version, change)
    just_before = changes[0].at - timedelta(microseconds=1)
    assert registry.live_at("m", just_before).version is None
    with pytest.raises(NothingToRollBackTo):
        registry.roll_back("m", "again", AUTHOR)


def test_every_refusal_leaves_no_record(registry: Registry) -> None:
    publish(registry, "m", linear_model())
    before = records(registry)

    for refused, error in (
        (lambda: registry.promote("m", 1, "r", AUTHOR), AlreadyChampion),
        (lambda: registry.promote("m", 2, "r", AUTHOR), VersionNotFound),
        (lambda: registry.promote("other", 1, "r", AUTHOR), ModelNotFound),
        (lambda: registry.roll_back("m", "r", AUTHOR), NothingToRollBackTo),
        (lambda: registry.retire("m", 1, "r", AUTHOR), VersionInUse),
        (lambda: registry.point_alias("m", "champion", 1, "r", AUTHOR), InvalidRequest),
        (lambda: registry.remove_alias("m", "mine", "r", AUTHOR), AliasNotFound),
        (lambda: registry.revoke_key("key-0", AUTHOR), KeyNotFound),
    ):
        with pytest.raises(error):
            refused()

    assert records(registry) == before


def test_a_retired_version_takes_no_part_any_more(registry: Registry) -> None:
    publish(registry, "m", linear_model(), promote=False)
    retired = registry.retire("m", 1, "unused", AUTHOR)

    assert retired.state is VersionState.RETIRED
    for refused in (
        lambda: registry.promote("m", 1, "r", AUTHOR),
        lambda: registry.point_alias("m", "mine", 1, "r", AUTHOR),
        lambda: registry.retire("m", 1, "r", AUTHOR),
    ):
        with pytest.raises(VersionRetired):
            refused()


def test_every_verb_leaves_one_record_that_names_what_it_did(registry: Registry) -> None:
    publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(2.0))
    registry.roll_back("m", "worse", AUTHOR)
    registry.point_alias("m", "mine", 2, "to try", AUTHOR)
    registry.remove_alias("m", "mine", "tried", AUTHOR)
    registry.retire("m", 2, "worse", AUTHOR)
    add_key(registry)
    registry.revoke_key(registry.store.api_keys()[0].id, AUTHOR)

    told = [(record.action, record.version, record.previous) for record in records(registry)]

    assert told == [
        ("publish", 1, None),
        ("promote", 1, None),
        ("publish", 2, None),
        ("promote", 2, 1),
        ("rollback", 1, 2),
        ("point", 2, None),
        ("remove", None, 2),
        ("retire", 2, None),
        ("key.create", None, None),
        ("key.revoke", None, None),
    ]
    assert {record.principal for record in records(registry)} == {AUTHOR.principal}


def test_revoking_a_key_again_changes_nothing(registry: Registry) -> None:
    add_key(registry)
    key_id = registry.store.api_keys()[0].id
    first = registry.revoke_key(key_id, AUTHOR)
    count = len(records(registry))

    assert registry.revoke_key(key_id, AUTHOR) == first
    assert len(records(registry)) == count
