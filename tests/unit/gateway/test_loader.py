import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.loader import Loader
from gateway.security import make_key
from registry import rolling_out
from registry.errors import StoreUnavailable
from registry.manifest import Contract, Draft
from registry.registry import Registry
from registry.rollouts import Step
from registry.times import now, to_us
from registry.versions import Version
from tests.builders import AUTHOR, linear_model, publish
from tests.rolling import start_canary
from tests.unit.gateway.serving import make_loader

WAIT_S = 10


class WatchedLoader(Loader):
    """A loader that tells when it has loaded."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.loaded = asyncio.Event()

    async def load(self) -> None:
        await super().load()
        self.loaded.set()


@pytest.fixture
def loader(registry: Registry) -> Iterator[Loader]:
    with make_loader(registry, WatchedLoader) as loader:
        yield loader


def load(loader: Loader) -> None:
    asyncio.run(loader.load())


def artifact_path(data_dir: Path, version: Version) -> Path:
    value = version.artifact.removeprefix("sha256:")
    return data_dir / "artifacts" / "sha256" / value[:2] / value


def damage(path: Path) -> bytes:
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1])
    return content


def champion(loader: Loader, model: str = "linear") -> int | None:
    served = loader.roster.models[model].champion
    return None if served is None else served.number


def test_loading_follows_promotion_and_rollback(registry: Registry, loader: Loader) -> None:
    publish(registry, "linear", linear_model())
    load(loader)
    assert champion(loader) == 1

    publish(registry, "linear", linear_model(2.0))
    load(loader)
    assert champion(loader) == 2
    assert loader.roster.generation == registry.store.generation()

    registry.roll_back("linear", "a test", AUTHOR)
    load(loader)
    assert champion(loader) == 1


def test_only_what_an_alias_names_and_the_last_champion_are_loaded(
    registry: Registry, loader: Loader
) -> None:
    for weight in (1.0, 2.0, 3.0):
        publish(registry, "linear", linear_model(weight))
    publish(registry, "linear", linear_model(4.0), promote=False)
    publish(registry, "linear", linear_model(5.0), promote=False)
    registry.point_alias("linear", "mine", 4, "a test", AUTHOR)

    load(loader)

    assert sorted(loader.roster.models["linear"].versions) == [2, 3, 4]


def test_what_is_retired_or_loses_its_alias_is_dropped(registry: Registry, loader: Loader) -> None:
    publish(registry, "linear", linear_model())
    publish(registry, "linear", linear_model(2.0), promote=False)
    registry.point_alias("linear", "mine", 2, "a test", AUTHOR)
    load(loader)
    assert sorted(loader.roster.models["linear"].versions) == [1, 2]

    registry.remove_alias("linear", "mine", "a test", AUTHOR)
    registry.retire("linear", 2, "a test", AUTHOR)
    load(loader)

    assert sorted(loader.roster.models["linear"].versions) == [1]


def test_a_version_is_loaded_once(registry: Registry, loader: Loader) -> None:
    publish(registry, "linear", linear_model())
    load(loader)
    before = loader.roster.models["linear"].champion

    publish(registry, "linear", linear_model(2.0))
    load(loader)

    assert loader.roster.models["linear"].versions[1] is before


def test_a_damaged_version_leaves_the_champion_answering_until_it_is_repaired(
    registry: Registry, loader: Loader, tmp_path: Path
) -> None:
    publish(registry, "linear", linear_model())
    load(loader)
    second = publish(registry, "linear", linear_model(2.0))
    path = artifact_path(tmp_path, second)
    content = damage(path)

    for _ in range(2):  # it stays so however often it is tried
        load(loader)
        assert champion(loader) == 1
        assert "linear/2" in loader.roster.failures
    [status] = registry.store.workers()
    assert status.generation == registry.store.generation()
    assert "linear/2" in status.failures

    path.write_bytes(content)
    load(loader)

    assert champion(loader) == 2
    assert loader.roster.failures == {}
    assert registry.store.workers()[0].failures == {}


def test_a_damaged_model_takes_nothing_from_the_others(
    registry: Registry, loader: Loader, tmp_path: Path
) -> None:
    damage(artifact_path(tmp_path, publish(registry, "broken", linear_model())))
    publish(registry, "linear", linear_model(2.0))

    load(loader)

    assert champion(loader) == 1
    assert champion(loader, "broken") is None
    assert list(loader.roster.failures) == ["broken/1"]


def test_challengers_of_open_rollouts_are_loaded_beyond_the_shadow_and_no_longer(
    registry: Registry, loader: Loader
) -> None:
    publish(registry, "linear", linear_model())
    for weight in (2.0, 3.0, 4.0):
        publish(registry, "linear", linear_model(weight), promote=False)
    registry.point_alias("linear", "mine", 2, "a test", AUTHOR)
    named = start_canary(registry, "linear", challenger=2, points=100)
    other = start_canary(registry, "linear", challenger=3, points=100)
    start_canary(registry, "linear", challenger=4, points=100, shadow=Step(points=5_000))
    for one in (named, other):
        rolling_out.pause(registry, one.id, "a test", AUTHOR)

    load(loader)
    model = loader.roster.models["linear"]
    assert (sorted(model.versions), model.candidates) == ([1, 2, 3], {3})
    assert loader.roster.canaries == {}  # two are paused, one is a shadow

    rolling_out.resume(registry, named.id, "a test", AUTHOR)
    rolling_out.abort(registry, other.id, "a test", AUTHOR)
    load(loader)
    model = loader.roster.models["linear"]
    assert (sorted(model.versions), model.candidates) == ([1, 2], frozenset())
    [canary] = loader.roster.canaries["linear"]
    assert (canary.rollout.id, canary.points) == (named.id, 100)
    assert canary.champion is model.champion
    assert canary.challenger.runner is model.versions[2].runner


def test_a_challenger_that_cannot_be_loaded_answers_nobody(
    registry: Registry, loader: Loader, tmp_path: Path
) -> None:
    publish(registry, "linear", linear_model())
    path = artifact_path(tmp_path, publish(registry, "linear", linear_model(2.0), promote=False))
    start_canary(registry, "linear")
    content = damage(path)

    load(loader)
    assert loader.roster.canaries == {}
    assert list(loader.roster.failures) == ["linear/2"]
    assert champion(loader) == 1

    path.write_bytes(content)
    load(loader)
    assert loader.roster.canaries["linear"]


def test_nobody_meets_a_challenger_of_another_champion_than_answers(
    registry: Registry, loader: Loader, tmp_path: Path
) -> None:
    publish(registry, "linear", linear_model())
    load(loader)
    damage(artifact_path(tmp_path, publish(registry, "linear", linear_model(2.0))))
    publish(registry, "linear", linear_model(3.0), promote=False)
    start_canary(registry, "linear", challenger=3)

    load(loader)

    assert champion(loader) == 1  # since 2 cannot be loaded
    assert loader.roster.canaries == {}


def test_the_rules_of_a_challenger_warm_up_from_the_start_of_its_rollout(
    registry: Registry, loader: Loader
) -> None:
    draft = Draft(contract=Contract(warm_up_s=3600))
    publish(registry, "linear", linear_model())
    publish(registry, "linear", linear_model(2.0), draft, promote=False)
    rollout = start_canary(registry, "linear")
    load(loader)
    wanted_ns = (to_us(rollout.started) + 3600 * 1_000_000) * 1000
    assert loader.roster.models["linear"].versions[2].enforcement._warm_until_ns == wanted_ns

    registry.promote("linear", 2, "a test", AUTHOR)
    with make_loader(registry) as later:
        load(later)
        served = later.roster.models["linear"].versions[2]
        assert served.enforcement._warm_until_ns == wanted_ns


def test_a_missing_artifact_is_a_failure_too(
    registry: Registry, loader: Loader, tmp_path: Path
) -> None:
    artifact_path(tmp_path, publish(registry, "linear", linear_model())).unlink()

    load(loader)

    assert "No artifact" in loader.roster.failures["linear/1"]


def test_a_revoked_key_is_gone_with_the_next_roster(registry: Registry, loader: Loader) -> None:
    key, token = make_key(name="test", roles=["viewer"], author="tests", created=now())
    registry.add_key(key, AUTHOR)
    load(loader)
    assert loader.roster.keyring.find(sha256(token.encode()).digest(), now) == key

    registry.revoke_key(key.id, AUTHOR)
    load(loader)

    assert loader.roster.keyring.find(sha256(token.encode()).digest(), now) is None


async def follow_promotion(registry: Registry, loader: WatchedLoader) -> None:
    """Follow until a promotion made meanwhile is served."""
    publish(registry, "linear", linear_model())
    await loader.load()
    loader.loaded.clear()
    following = asyncio.create_task(loader.follow())
    await asyncio.to_thread(publish, registry, "linear", linear_model(2.0))
    async with asyncio.timeout(WAIT_S):
        while champion(loader) != 2:
            await loader.loaded.wait()
            loader.loaded.clear()
    following.cancel()


def test_a_loader_follows_by_itself(registry: Registry) -> None:
    with make_loader(registry, WatchedLoader) as loader:
        assert isinstance(loader, WatchedLoader)
        asyncio.run(follow_promotion(registry, loader))


def test_a_loader_that_is_closed_has_taken_back_what_it_reported(registry: Registry) -> None:
    async def load_and_close(loader: Loader) -> None:
        await loader.load()
        assert len(registry.store.workers()) == 1
        await loader.close()

    with make_loader(registry) as loader:
        asyncio.run(load_and_close(loader))
    assert registry.store.workers() == []


def test_a_report_under_way_is_waited_for_before_it_is_taken_back(registry: Registry) -> None:
    """Or it would be left, of a process that has ended, as if it had crashed."""

    async def end_while_reporting(loader: Loader) -> None:
        task = asyncio.create_task(loader.load())
        while loader.roster.generation < 0:
            await asyncio.sleep(0)
        task.cancel()
        await loader.close()

    with make_loader(registry) as loader:
        asyncio.run(end_while_reporting(loader))
    assert registry.store.workers() == []


@pytest.mark.parametrize("fault", [StoreUnavailable("busy"), RuntimeError("unforeseen")])
def test_a_fault_does_not_end_the_following(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    ask = registry.store.generation
    faults = [fault, fault]

    def generation() -> int:
        if faults:
            raise faults.pop()
        return ask()

    with make_loader(registry, WatchedLoader) as loader:
        assert isinstance(loader, WatchedLoader)
        monkeypatch.setattr(registry.store, "generation", generation)
        asyncio.run(follow_promotion(registry, loader))
    assert not faults
