"""Each verb is one decision, in one transaction with its record."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from registry.artifacts import Artifacts
from registry.entry import decode_record
from registry.errors import (
    AliasNotFound,
    AlreadyChampion,
    InvalidRequest,
    KeyNotFound,
    ModelNotFound,
    NothingToRollBackTo,
    RegistryError,
    Rejected,
    StoreUnavailable,
    VersionInUse,
    VersionNotFound,
    VersionRetired,
)
from registry.integrity import inspect_versions
from registry.manifest import Action, Contract, Draft, Lineage, Metric, Rule, RuleKind
from registry.recording import Author
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.registry import Registry
from registry.store import Transaction, open_store
from registry.times import to_us
from registry.versions import AliasCause, Version, VersionState
from registry.workers import Key
from tests.builders import linear_model, open_registry

ANNE = Author(principal="key:anne", source="192.0.2.7")
START = datetime(2026, 5, 4, 9, tzinfo=UTC)


class Clock:
    """A clock that moves one second at each look."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Registry]:
    """A registry with the versions 1 to 4 of `m` and 1 of `other`, none of them live."""
    registry = Registry(open_store(tmp_path), Artifacts(tmp_path / "artifacts"), Clock())
    with registry.store.write() as tx:
        for model, number in (("m", 1), ("m", 2), ("m", 3), ("m", 4), ("other", 1)):
            tx.add_version(
                Version(
                    model=model,
                    number=number,
                    artifact=f"sha256:{number:064x}",
                    manifest=f"sha256:{number + 100:064x}",
                    state=VersionState.PUBLISHED,
                    author="x",
                    created=START,
                )
            )
        tx.append(make_filler())
    yield registry
    registry.store.close()


def make_filler() -> AuditRecord:
    time_ns = to_us(START) * 1000
    return AuditRecord(
        id="00000000-0000-7000-8000-000000000000",
        kind=Kind.ADMIN,
        time=str(time_ns),
        outcome=Outcome.DONE,
    )


def promote(registry: Registry, *numbers: int) -> None:
    for number in numbers:
        registry.promote("m", number, f"promote {number}", ANNE)


def champion(registry: Registry) -> int | None:
    return registry.store.aliases("m").get("champion")


def records(registry: Registry) -> list[AuditRecord]:
    found = registry.store.records(RecordFilter(), before=None, limit=1000)
    return [decode_record(leaf) for _, leaf in sorted(found)]


def state(registry: Registry) -> list[Any]:
    with registry.store.snapshot() as view:
        return [
            view.generation(),
            [view.versions(model) for model in view.models()],
            [view.alias_changes(model) for model in view.models()],
            view.api_keys(),
            view.records(RecordFilter(), before=None, limit=1000),
        ]


def make_key(key_id: str = "key-1", name: str = "k") -> Key:
    return Key(id=key_id, name=name, digest=key_id.encode(), roles=("admin",), author="x",
               created=START, expires=None, revoked=None)  # fmt: skip


# publish


def publish_in_process(data_dir: Path, count: int) -> list[int]:
    registry = open_registry(data_dir)
    return [registry.publish("m", linear_model(), Draft(), ANNE).number for _ in range(count)]


def test_versions_are_numbered_one_two_three_for_each_model(registry: Registry) -> None:
    numbers = [registry.publish(model, linear_model(), Draft(), ANNE).number
               for model in ("m", "n", "m", "m")]  # fmt: skip
    assert numbers == [1, 1, 2, 3]


def test_threads_that_publish_at_once_get_numbers_without_gaps(registry: Registry) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: registry.publish("m", linear_model(), Draft(), ANNE), range(8))
    assert sorted(version.number for version in found) == list(range(1, 9))


def test_processes_that_publish_at_once_get_numbers_without_gaps(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(publish_in_process, tmp_path, 4) for _ in range(2)]
        numbers = [number for future in futures for number in future.result()]
    assert sorted(numbers) == list(range(1, 9))


def test_a_published_version_keeps_what_was_said_of_it(registry: Registry) -> None:
    rule = Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, low=0, column=1)
    lineage = Lineage(code_commit="abc", metrics=(Metric(name="a", value=1, n=2, low=0, high=1),))
    draft = Draft(contract=Contract(rules=(rule,)), lineage=lineage, description="first")
    content = linear_model()
    version = registry.publish("m", content, draft, ANNE)
    manifest = registry.manifest(registry.version("m", 1))
    assert registry.version("m", 1) == version
    assert version.author == "key:anne"
    assert version.state is VersionState.PUBLISHED
    assert registry.artifacts.read(version.artifact) == content
    assert (manifest.contract, manifest.lineage, manifest.description) == (
        draft.contract, lineage, "first",
    )  # fmt: skip
    assert [spec.name for spec in manifest.signature.inputs] == ["x"]
    assert manifest.certificate.runtime.startswith("onnxruntime-")


def test_publishing_makes_nothing_live(registry: Registry) -> None:
    registry.publish("m", linear_model(), Draft(), ANNE)
    assert registry.store.aliases("m") == {}


def test_the_record_of_a_publication_names_artifact_and_manifest(registry: Registry) -> None:
    version = registry.publish("m", linear_model(), Draft(), ANNE)
    [record] = records(registry)
    assert (record.action, record.model, record.version) == ("publish", "m", 1)
    assert (record.digest, record.manifest) == (version.artifact, version.manifest)
    assert (record.kind, record.outcome) == (Kind.ADMIN, Outcome.DONE)
    assert (record.principal, record.source) == ("key:anne", "192.0.2.7")


@pytest.mark.parametrize(
    "model",
    [
        "", ".", "..", ".m", "m/n", "../m", "m\n", "m\0", " m", "m ", "m..n", "é", "m\u202e",
        "\udcff", "a" * 129, "-m", "_m", "m%2f", "stats", "٣",
    ],
)  # fmt: skip
def test_a_hostile_model_name_is_refused(registry: Registry, model: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        registry.publish(model, linear_model(), Draft(), ANNE)
    assert caught.value.field == "model"
    assert state(registry)[1:] == [[], [], [], []]


@pytest.mark.parametrize("model", ["m", "0", "a" * 128, "a.b-c_d", "Stats", "a."])
def test_a_plain_model_name_is_accepted(registry: Registry, model: str) -> None:
    assert registry.publish(model, linear_model(), Draft(), ANNE).model == model


@pytest.mark.parametrize(
    "draft",
    [
        Draft(lineage=Lineage(metrics=(Metric(name="a", value=math.nan, n=1, low=0, high=1),))),
        Draft(lineage=Lineage(hyper_parameters={"c": math.inf})),
        Draft(description="\udcff"),
    ],
    ids=["nan", "infinite", "no unicode"],
)
def test_a_manifest_that_could_not_be_read_again_is_rejected(
    registry: Registry, draft: Draft
) -> None:
    with pytest.raises(Rejected) as caught:
        registry.publish("m", linear_model(), draft, ANNE)
    assert caught.value.check == "manifest"
    assert registry.store.models() == []


def test_a_contract_that_does_not_fit_is_rejected(registry: Registry) -> None:
    rule = Rule(input="gone", kind=RuleKind.MISSING, action=Action.FLAG)
    with pytest.raises(Rejected) as caught:
        registry.publish("m", linear_model(), Draft(contract=Contract(rules=(rule,))), ANNE)
    assert caught.value.check == "contract"
    assert registry.store.models() == []


# promote, roll back


def test_a_promotion_makes_the_version_live_and_says_why(filled: Registry) -> None:
    change = filled.promote("m", 2, "it is better", ANNE)
    assert champion(filled) == 2
    assert (change.cause, change.version, change.reason) == (
        AliasCause.PROMOTE, 2, "it is better",
    )  # fmt: skip
    record = records(filled)[-1]
    assert record.id == change.record_id
    assert (record.action, record.alias, record.version, record.previous, record.reason) == (
        "promote", "champion", 2, None, "it is better",
    )  # fmt: skip
    assert record.time == str(to_us(change.at) * 1000)


def test_rolling_back_twice_goes_back_two(filled: Registry) -> None:
    promote(filled, 1, 2, 3)
    assert filled.roll_back("m", "bad", ANNE).version == 2
    assert filled.roll_back("m", "bad", ANNE).version == 1
    assert records(filled)[-1].previous == 2
    with pytest.raises(NothingToRollBackTo):
        filled.roll_back("m", "bad", ANNE)
    assert champion(filled) == 1


def test_a_rollback_can_name_an_earlier_champion(filled: Registry) -> None:
    promote(filled, 1, 2, 3)
    assert filled.roll_back("m", "bad", ANNE, 1).version == 1


def test_a_rollback_skips_versions_that_were_retired(filled: Registry) -> None:
    promote(filled, 1, 2, 3)
    filled.retire("m", 2, "wrong data", ANNE)
    assert filled.roll_back("m", "bad", ANNE).version == 1


def test_a_rollback_never_goes_to_what_is_live(filled: Registry) -> None:
    promote(filled, 1, 2, 1)
    filled.retire("m", 2, "wrong data", ANNE)
    with pytest.raises(NothingToRollBackTo):
        filled.roll_back("m", "bad", ANNE)


def test_an_alias_of_the_users_own_leaves_the_champion_alone(filled: Registry) -> None:
    promote(filled, 1, 2)
    filled.point_alias("m", "blue", 3, "try it", ANNE)
    assert filled.store.aliases("m") == {"blue": 3, "champion": 2}
    assert filled.roll_back("m", "bad", ANNE).version == 1
    change = filled.remove_alias("m", "blue", "tried", ANNE)
    assert change.version is None
    assert filled.store.aliases("m") == {"champion": 1}
    assert (records(filled)[-1].action, records(filled)[-1].previous) == ("remove", 3)


# retire


def test_a_live_version_cannot_be_retired_until_its_aliases_move(filled: Registry) -> None:
    promote(filled, 1)
    filled.point_alias("m", "blue", 1, "try it", ANNE)
    with pytest.raises(VersionInUse, match="blue, champion"):
        filled.retire("m", 1, "old", ANNE)
    promote(filled, 2)
    with pytest.raises(VersionInUse, match="blue"):
        filled.retire("m", 1, "old", ANNE)
    filled.remove_alias("m", "blue", "tried", ANNE)
    assert filled.retire("m", 1, "old", ANNE).state is VersionState.RETIRED
    assert filled.version("m", 1).state is VersionState.RETIRED
    assert (records(filled)[-1].action, records(filled)[-1].reason) == ("retire", "old")


def test_retiring_changes_nothing_of_a_version_but_its_state(filled: Registry) -> None:
    before = filled.version("m", 1)
    filled.retire("m", 1, "old", ANNE)
    after = filled.version("m", 1)
    for field in ("model", "number", "artifact", "manifest", "author", "created"):
        assert getattr(after, field) == getattr(before, field)


def test_the_alias_of_one_model_does_not_hold_the_version_of_another(filled: Registry) -> None:
    filled.promote("other", 1, "first", ANNE)
    assert filled.retire("m", 1, "old", ANNE).state is VersionState.RETIRED


# refusals


def prepare(registry: Registry) -> None:
    promote(registry, 1, 2)
    registry.retire("m", 4, "old", ANNE)
    registry.point_alias("m", "blue", 2, "try it", ANNE)


REFUSALS: dict[str, tuple[Callable[[Registry], Any], type[RegistryError]]] = {
    "promote live": (lambda r: r.promote("m", 2, "y", ANNE), AlreadyChampion),
    "promote retired": (lambda r: r.promote("m", 4, "y", ANNE), VersionRetired),
    "promote none": (lambda r: r.promote("m", 9, "y", ANNE), VersionNotFound),
    "promote zero": (lambda r: r.promote("m", 0, "y", ANNE), VersionNotFound),
    "promote negative": (lambda r: r.promote("m", -1, "y", ANNE), VersionNotFound),
    "promote huge": (lambda r: r.promote("m", 2**70, "y", ANNE), InvalidRequest),
    "promote no model": (lambda r: r.promote("x", 1, "y", ANNE), ModelNotFound),
    "promote no unicode": (lambda r: r.promote("\udcff", 1, "y", ANNE), InvalidRequest),
    "back no model": (lambda r: r.roll_back("x", "y", ANNE), ModelNotFound),
    "back to none": (lambda r: r.roll_back("m", "y", ANNE, 9), NothingToRollBackTo),
    "back to never live": (lambda r: r.roll_back("m", "y", ANNE, 3), NothingToRollBackTo),
    "back to live": (lambda r: r.roll_back("m", "y", ANNE, 2), NothingToRollBackTo),
    "back never live": (lambda r: r.roll_back("other", "y", ANNE), NothingToRollBackTo),
    "alias champion": (lambda r: r.point_alias("m", "champion", 3, "y", ANNE), InvalidRequest),
    "alias retired": (lambda r: r.point_alias("m", "a", 4, "y", ANNE), VersionRetired),
    "alias none": (lambda r: r.point_alias("m", "a", 9, "y", ANNE), VersionNotFound),
    "alias no model": (lambda r: r.point_alias("x", "a", 1, "y", ANNE), ModelNotFound),
    "unalias champion": (lambda r: r.remove_alias("m", "champion", "y", ANNE), InvalidRequest),
    "unalias none": (lambda r: r.remove_alias("m", "a", "y", ANNE), AliasNotFound),
    "unalias no model": (lambda r: r.remove_alias("x", "a", "y", ANNE), ModelNotFound),
    "retire live": (lambda r: r.retire("m", 2, "y", ANNE), VersionInUse),
    "retire retired": (lambda r: r.retire("m", 4, "y", ANNE), VersionRetired),
    "retire none": (lambda r: r.retire("m", 9, "y", ANNE), VersionNotFound),
    "retire no model": (lambda r: r.retire("x", 1, "y", ANNE), ModelNotFound),
    "revoke none": (lambda r: r.revoke_key("x", ANNE), KeyNotFound),
    "key name": (lambda r: r.add_key(make_key(name="\udcff"), ANNE), InvalidRequest),
    "long key name": (lambda r: r.add_key(make_key(name="k" * 201), ANNE), InvalidRequest),
    **{
        f"alias {name!r}": (lambda r, name=name: r.point_alias("m", name, 3, "y", ANNE),
                            InvalidRequest)
        for name in ("", "..", "a/b", "a\n", "\udcff", "a" * 129)
    },
}  # fmt: skip


@pytest.mark.parametrize(("ask", "refusal"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_changes_nothing_and_is_short(
    filled: Registry, ask: Callable[[Registry], Any], refusal: type[RegistryError]
) -> None:
    prepare(filled)
    before = state(filled)
    with pytest.raises(RegistryError) as caught:
        ask(filled)
    assert type(caught.value) is refusal
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()
    assert state(filled) == before


@pytest.mark.parametrize("reason", ["", " ", "\n\t ", "x" * 1001, "\udcff"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda r, why: r.promote("m", 3, why, ANNE),
        lambda r, why: r.roll_back("m", why, ANNE),
        lambda r, why: r.point_alias("m", "green", 3, why, ANNE),
        lambda r, why: r.remove_alias("m", "blue", why, ANNE),
        lambda r, why: r.retire("m", 3, why, ANNE),
    ],
    ids=["promote", "roll back", "alias", "unalias", "retire"],
)
def test_every_verb_needs_a_reason_that_says_something(
    filled: Registry, ask: Callable[[Registry, str], Any], reason: str
) -> None:
    prepare(filled)
    before = state(filled)
    with pytest.raises(InvalidRequest) as caught:
        ask(filled, reason)
    assert caught.value.field == "reason"
    assert state(filled) == before
    ask(filled, "x" * 1000)
    assert records(filled)[-1].reason == "x" * 1000


# keys


def test_a_key_is_revoked_once(filled: Registry) -> None:
    filled.add_key(make_key(), ANNE)
    first = filled.revoke_key("key-1", ANNE)
    before = state(filled)
    assert filled.revoke_key("key-1", ANNE) == first
    assert state(filled) == before
    assert [one.action for one in records(filled)[1:]] == ["key.create", "key.revoke"]
    assert all(one.subject == "key-1" for one in records(filled)[1:])


# one transaction


VERBS: dict[str, Callable[[Registry], Any]] = {
    "publish": lambda r: r.publish("m", linear_model(), Draft(), ANNE),
    "promote": lambda r: r.promote("m", 3, "y", ANNE),
    "roll back": lambda r: r.roll_back("m", "y", ANNE),
    "alias": lambda r: r.point_alias("m", "green", 3, "y", ANNE),
    "unalias": lambda r: r.remove_alias("m", "blue", "y", ANNE),
    "retire": lambda r: r.retire("m", 3, "y", ANNE),
    "add key": lambda r: r.add_key(make_key("key-2"), ANNE),
    "revoke key": lambda r: r.revoke_key("key-1", ANNE),
}


class Breaking:
    """A store whose transactions break: once their work is done, or at the record."""

    def __init__(self, store: Any, *, at_record: bool) -> None:
        self._store, self._at_record = store, at_record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._store.write() as tx:
            if self._at_record:
                tx.append = self._break
            yield tx
            self._break()

    def _break(self, *_: object) -> None:
        raise StoreUnavailable("the power failed")


@pytest.mark.parametrize("at_record", [True, False])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_change_and_its_record_stand_or_fall_together(
    filled: Registry, verb: Callable[[Registry], Any], *, at_record: bool
) -> None:
    prepare(filled)
    filled.add_key(make_key(), ANNE)
    before = state(filled)
    breaking: Any = Breaking(filled.store, at_record=at_record)
    with pytest.raises(StoreUnavailable, match="power"):
        verb(Registry(breaking, filled.artifacts))
    assert state(filled) == before
    verb(filled)
    after = state(filled)
    assert after[0] == before[0] + 1
    assert len(after[4]) == len(before[4]) + 1
    assert after[1:4] != before[1:4]


# history


def test_what_was_live_is_known_for_every_time(filled: Registry) -> None:
    changes = [filled.promote("m", n, f"promote {n}", ANNE) for n in (1, 2, 3)]
    changes.append(filled.roll_back("m", "bad", ANNE))
    filled.point_alias("m", "blue", 4, "try it", ANNE)
    moment = timedelta(microseconds=1)
    assert filled.live_at("m", changes[0].at - moment).version is None
    assert filled.live_at("m", changes[0].at - moment).change is None
    for change, following in zip(changes, [*changes[1:], None], strict=True):
        for at in (change.at, change.at + moment):
            live = filled.live_at("m", at)
            assert (live.version, live.change) == (change.version, change)
        if following is not None:
            assert filled.live_at("m", following.at - moment).change == change
    assert filled.live_at("m", datetime.max.replace(tzinfo=UTC)).version == 2
    assert filled.live_at("m", datetime.max.replace(tzinfo=UTC), "blue").version == 4
    assert filled.live_at("m", datetime.max.replace(tzinfo=UTC), "none").version is None


def test_an_alias_that_was_removed_names_nothing_from_then_on(filled: Registry) -> None:
    filled.point_alias("m", "blue", 1, "try it", ANNE)
    removed = filled.remove_alias("m", "blue", "tried", ANNE)
    live = filled.live_at("m", removed.at, "blue")
    assert (live.version, live.change) == (None, removed)
    assert filled.live_at("m", removed.at - timedelta(microseconds=1), "blue").version == 1


def test_the_history_of_no_model_is_not_found(filled: Registry) -> None:
    with pytest.raises(ModelNotFound):
        filled.live_at("none", START)


# integrity


def test_damage_is_found_in_artifacts_and_manifests_of_all_versions(
    registry: Registry, tmp_path: Path
) -> None:
    versions = [registry.publish("m", linear_model(w), Draft(), ANNE) for w in (1.0, 2.0, 3.0)]
    registry.retire("m", 3, "old", ANNE)
    assert inspect_versions(registry).flaws == ()
    folder = tmp_path / "artifacts" / "sha256"
    gone = versions[1].manifest.removeprefix("sha256:")
    (folder / gone[:2] / gone).unlink()
    bad = versions[2].artifact.removeprefix("sha256:")
    (folder / bad[:2] / bad).chmod(0o644)
    (folder / bad[:2] / bad).write_bytes(b"other")
    found = inspect_versions(registry)
    assert found.versions == 3
    assert [(flaw.version.number, flaw.part) for flaw in found.flaws] == [
        (2, "manifest"), (3, "artifact"),
    ]  # fmt: skip
