import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.loader import Loader
from gateway.security import make_key
from registry.errors import StoreUnavailable
from registry.registry import Registry
from registry.times import now
from registry.versions import Version
from tests.builders import AUTHOR, linear_model, publish
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
