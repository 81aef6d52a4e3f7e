"""Loader and pipeline: what answers, and that nothing answers without its record."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import NotServed, Overloaded, Unauthenticated
from gateway.journal import Journal
from gateway.loader import Loader
from gateway.pipeline import Answer, Call, Denial, Pipeline
from gateway.runtime import Watchdog
from gateway.security import Role
from registry.audit.query import AuditTrail
from registry.errors import JournalUnavailable
from registry.records import Action, Contract, Draft, RecordFilter, Rule, RuleKind
from registry.registry import Registry
from tests.builders import AUTHOR, add_key, infer_body, linear_model, publish, two_input_model


class World:
    """One worker's parts, without HTTP."""

    def __init__(self, registry: Registry, journal: Journal, loader: Loader, folder: Path) -> None:
        self.registry = registry
        self.journal = journal
        self.loader = loader
        self.token = add_key(registry)
        self.trail = AuditTrail(registry.store, folder)
        self.pipeline = Pipeline(roster=lambda: loader.roster, journal=journal, in_flight_limit=4)

    def call(self, model: str = "sum", token: str | None = None, **fields: object) -> Call:
        return Call(
            model=model,
            version=fields.pop("version", None),  # type: ignore[arg-type]
            body=fields.pop("body", json.dumps(infer_body([[1, 2, 3]])).encode()),  # type: ignore[arg-type]
            authorization=f"Bearer {token or self.token}",
            source="127.0.0.1",
        )


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> Callable[..., None]:
    """Run a story inside a world of its own."""

    @asynccontextmanager
    async def make_world() -> AsyncIterator[World]:
        folder = tmp_path / "journal"
        folder.mkdir(exist_ok=True)
        watchdog = Watchdog(5.0)
        journal = Journal(folder, on_broken=lambda _: None)
        with ThreadPoolExecutor(2) as executor:
            loader = Loader(
                worker="w", registry=registry, watchdog=watchdog, executor=executor, poll_s=0.01
            )
            world = World(registry, journal, loader, folder)
            await loader.load()
            yield world
            await journal.close()
        watchdog.close()

    def run(story: Callable[[World], object]) -> None:
        async def play() -> None:
            async with make_world() as world:
                await story(world)  # type: ignore[misc]

        asyncio.run(play())

    return run


def damage(registry: Registry, tmp_path: Path, digest: str) -> Callable[[], None]:
    """Spoil an artifact on disk; the function returned puts it right."""
    algorithm, value = digest.split(":")
    path = tmp_path / "artifacts" / algorithm / value[:2] / value
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"spoiled")
    return lambda: path.write_bytes(content) and None


def test_an_answer_has_its_record_when_it_is_returned(
    registry: Registry, run: Callable[..., None]
) -> None:
    publish(registry, "sum", linear_model())

    async def story(world: World) -> None:
        answer = await world.pipeline.infer(world.call())
        assert isinstance(answer, Answer)
        record = world.trail.record(answer.record_id).record
        assert (record.model, record.version, record.lane) == ("sum", 1, "champion")
        assert json.loads(answer.encoded.body)["outputs"][0]["data"] == [6.0]

    run(story)


def test_nothing_is_answered_when_the_record_cannot_be_kept(
    registry: Registry, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, "sum", linear_model())

    async def story(world: World) -> None:
        async def refuse(_: object) -> None:
            raise JournalUnavailable("the disk is full")

        monkeypatch.setattr(world.journal, "append", refuse)
        for body in (world.call().body, b"not even JSON"):
            with pytest.raises(JournalUnavailable):
                await world.pipeline.infer(world.call(body=body))

    run(story)


def test_refusals_have_records_and_calls_without_a_key_have_none(
    registry: Registry, run: Callable[..., None]
) -> None:
    publish(registry, "sum", linear_model())
    auditor = add_key(registry, Role.AUDITOR)

    async def story(world: World) -> None:
        denials = [
            await world.pipeline.infer(world.call(body=b"{")),
            await world.pipeline.infer(world.call(model="nothing")),
            await world.pipeline.infer(world.call(version="7")),
            await world.pipeline.infer(world.call(token=auditor)),
        ]
        with pytest.raises(Unauthenticated):
            await world.pipeline.infer(world.call(token="wrong"))
        codes = [denial.refusal.code for denial in denials if isinstance(denial, Denial)]
        found = world.trail.find(RecordFilter(kind=None), limit=100).records
        recorded = {one.record.id: one.record.error for one in found}
        assert codes == ["malformed-json", "not-found", "not-found", "forbidden"]
        assert [recorded[d.record_id] for d in denials] == codes
        assert len([one for one in found if one.record.kind == "inference"]) == 4

    run(story)


def test_a_worker_that_holds_all_it_can_refuses_more(
    registry: Registry, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, "sum", linear_model())

    async def story(world: World) -> None:
        release = asyncio.Event()
        append = world.journal.append

        async def wait(entry: object) -> None:
            await release.wait()
            await append(entry)  # type: ignore[arg-type]

        monkeypatch.setattr(world.journal, "append", wait)
        held = [asyncio.create_task(world.pipeline.infer(world.call())) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await world.pipeline.infer(world.call())
        release.set()
        assert all(isinstance(answer, Answer) for answer in await asyncio.gather(*held))
        assert isinstance(await world.pipeline.infer(world.call()), Answer)

    run(story)


def test_rules_reject_flag_and_observe_as_declared(
    registry: Registry, run: Callable[..., None]
) -> None:
    rules = (
        Rule(input="carrier", kind=RuleKind.CATEGORIES, action=Action.REJECT, values=("AA",)),
        Rule(input="distance", kind=RuleKind.RANGE, action=Action.FLAG, low=0.0, high=100.0),
        Rule(input="distance", kind=RuleKind.MISSING, action=Action.OBSERVE),
    )
    publish(registry, "sum", two_input_model(), Draft(contract=Contract(rules=rules)))

    def body(carrier: str, distance: float | None) -> bytes:
        return json.dumps(
            {
                "inputs": [
                    {"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": [carrier]},
                    {"name": "distance", "shape": [1, 1], "datatype": "FP32", "data": [distance]},
                ]
            }
        ).encode()

    async def story(world: World) -> None:
        rejected = await world.pipeline.infer(world.call(body=body("ZZ", 1.0)))
        flagged = await world.pipeline.infer(world.call(body=body("AA", 999.0)))
        observed = await world.pipeline.infer(world.call(body=body("AA", None)))
        assert isinstance(rejected, Denial)
        assert [v.input for v in rejected.refusal.violations] == ["carrier"]
        assert isinstance(flagged, Answer)
        assert json.loads(flagged.encoded.body)["parameters"]["flags"] == "range distance[0]"
        assert isinstance(observed, Answer)
        assert "flags" not in json.loads(observed.encoded.body)["parameters"]
        tell = [world.trail.record(reply.record_id).record for reply in (flagged, observed)]
        assert tell[0].flags == ("range distance[0]",)
        assert tell[1].observed == ("missing distance[0]",)
        assert world.trail.record(rejected.record_id).record.violations == (
            "categories carrier[0]",
        )

    run(story)


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_answering(
    registry: Registry, run: Callable[..., None], tmp_path: Path
) -> None:
    publish(registry, "sum", linear_model())

    async def story(world: World) -> None:
        second = publish(registry, "sum", linear_model(2.0), promote=False)
        repair = damage(registry, tmp_path, second.artifact)
        registry.promote("sum", 2, "to see it fail", AUTHOR)
        await world.loader.load()
        served, _ = world.loader.roster.choose("sum", None)
        assert served.number == 1
        assert set(world.loader.roster.failures) == {"sum/2"}
        assert set(registry.store.workers()[0].failures) == {"sum/2"}
        repair()
        await world.loader.load()
        served, _ = world.loader.roster.choose("sum", None)
        assert (served.number, dict(world.loader.roster.failures)) == (2, {})

    run(story)


def test_the_versions_that_answer_are_those_an_alias_names_and_the_last_champion(
    registry: Registry, run: Callable[..., None]
) -> None:
    for weight in (1.0, 2.0, 3.0):
        publish(registry, "sum", linear_model(weight))
    publish(registry, "sum", linear_model(4.0), promote=False)
    publish(registry, "sum", linear_model(5.0), promote=False)
    registry.point_alias("sum", "mine", 4, "to try it", AUTHOR)

    async def story(world: World) -> None:
        assert set(world.loader.roster.model("sum").versions) == {2, 3, 4}
        for version in ("1", "5", "02", "0", "-1", "9" * 30, "x"):
            with pytest.raises(NotServed):
                world.loader.roster.choose("sum", version)

    run(story)


def test_a_change_is_followed_and_a_revoked_key_refused(
    registry: Registry, run: Callable[..., None]
) -> None:
    publish(registry, "sum", linear_model())

    async def story(world: World) -> None:
        following = asyncio.create_task(world.loader.follow())
        publish(registry, "sum", linear_model(2.0))
        for key in registry.store.api_keys():
            registry.revoke_key(key.id, AUTHOR)
        async with asyncio.timeout(5):
            while world.loader.roster.generation < registry.store.generation():
                await asyncio.sleep(0)
        served, _ = world.loader.roster.choose("sum", None)
        assert served.number == 2
        with pytest.raises(Unauthenticated):
            await world.pipeline.infer(world.call())
        following.cancel()

    run(story)
