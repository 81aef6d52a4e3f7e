"""The way from a worker to the shadow process, over a real socket."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.batching import run_one
from gateway.cases import Call, Case
from gateway.errors import QueueTooLong, RunFailed
from gateway.metrics import Metrics
from gateway.roster import ServedVersion
from gateway.shadow import inbox as inbox_module
from gateway.shadow.inbox import MOST_WAITING, Inbox
from gateway.shadow.sender import Sender, is_shadowed
from gateway.shadow.wire import LARGEST, Shadowed, address, encode
from registry.records import Lane
from registry.registry import Registry
from registry.rollouts import POINTS, Rollout, Step
from registry.tensors import decode_tensors
from registry.times import now
from registry.workers import Key
from tests.builders import identity_model, publish
from tests.unit.gateway.serving import make_loader
from tests.unit.gateway.shadow.test_state import ROLLOUT

KEY = Key(
    id="key-1", name="k", digest=b"", roles=(), author="a", created=now(), expires=None,
    revoked=None,
)  # fmt: skip


def shadow(points: int = POINTS, segment: str | None = None) -> Rollout:
    return replace(ROLLOUT, plan=replace(ROLLOUT.plan, shadow=Step(points=points), segment=segment))


@pytest.fixture
def served(registry: Registry) -> Iterator[ServedVersion]:
    publish(registry, "sum", identity_model())
    with make_loader(registry) as loader:
        asyncio.run(loader.load())
        champion = loader.roster.models["sum"].champion
        assert champion is not None
        yield champion


class Way:
    """A sender and what it sends to; used on one event loop."""

    def __init__(self, folder: Path, served: ServedVersion) -> None:
        self._folder = folder
        self._served = served
        self._metrics = Metrics()
        self._sender = Sender(folder, self._metrics)
        self._inboxes: list[Inbox] = []

    def open(self, *, is_read: bool = True) -> Inbox:
        inbox = Inbox(self._folder, lambda *_: None)
        self._inboxes.append(inbox)
        if is_read:
            inbox.listen()
        return inbox

    def close(self) -> None:
        self._sender.close()
        for inbox in self._inboxes:
            inbox.close()

    def case(self, x: float = 1.0, rows: int = 1) -> Case:
        """Make a case that the champion has not run yet."""
        call = Call(model="sum", version=None, body=b"", credential=None, source=None)
        case = Case(call, KEY, lambda _: None)
        case.served, case.lane = self._served, Lane.CHAMPION
        tensor = np.full((rows, 3), x, np.float32)
        case.request = self._served.reader.decode(_body(tensor), None)
        return case

    def answered(self, x: float = 1.0, rows: int = 1) -> Case:
        case = self.case(x, rows)
        case.take(run_one(self._served.runner, case.runnable))
        return case

    async def send(self, *cases: Case, rollout: Rollout | None = None) -> None:
        """Note cases in one turn, and let the turns pass in which they are sent and read."""
        for case in cases:
            self._sender.note(case, {"sum": (rollout or shadow(),)})
        for _ in range(100):
            await asyncio.sleep(0)

    def shed(self) -> dict[str, int]:
        """Return how many were shed by the sender, by why."""
        return {name.split(" ")[1]: n for name, n in self._metrics.counts().sheds.items()}


def _body(tensor: np.ndarray) -> bytes:
    data = tensor.ravel().tolist()
    text = '{"id":"a","parameters":{"route":"AB"},"inputs":[{"name":"x","shape":'
    return f'{text}{list(tensor.shape)},"datatype":"FP32","data":{data}}}]}}'.encode()


def test_an_answer_arrives_as_it_was(tmp_path: Path, served: ServedVersion) -> None:
    async def story() -> None:
        with closing(Way(tmp_path, served)) as way:
            inbox, case = way.open(), way.answered(2.5)
            await way.send(case, rollout=shadow(segment="route"))

            found = inbox.take(0)

            assert found is not None
            assert (found.rollout, found.record_id) == ("r", case.record_id)
            assert (found.key_id, found.request_id) == ("key-1", "a")
            assert (found.rows, found.segment) == (1, "AB")
            assert decode_tensors(found.inputs)["x"].tolist() == [[2.5, 2.5, 2.5]]
            assert found.outputs is not None
            assert decode_tensors(found.outputs)["y"].tolist() == [[2.5, 2.5, 2.5]]

    asyncio.run(story())


def test_a_case_that_the_champion_itself_failed_is_sent_and_one_without_room_is_not(
    tmp_path: Path, served: ServedVersion
) -> None:
    async def story() -> None:
        with closing(Way(tmp_path, served)) as way:
            inbox, failed, crowded = way.open(), way.case(), way.case()
            failed.fail(RunFailed("sum", 1))
            crowded.fail(QueueTooLong(1.0))
            await way.send(failed, crowded)

            found = inbox.take(0)

            assert found is not None
            assert (found.record_id, found.outputs) == (failed.record_id, None)
            assert inbox.take(0) is None

    asyncio.run(story())


def test_other_lanes_and_another_champion_than_the_rollouts_are_not_shadowed(
    tmp_path: Path, served: ServedVersion
) -> None:
    async def story() -> None:
        with closing(Way(tmp_path, served)) as way:
            inbox, pinned = way.open(), way.answered()
            pinned.lane = Lane.PINNED
            await way.send(pinned)
            await way.send(way.answered(), rollout=replace(shadow(), champion=7))

            assert inbox.take(0) is None
            assert way.shed() == {}

    asyncio.run(story())


def test_what_nobody_listens_to_is_shed_until_somebody_does(
    tmp_path: Path, served: ServedVersion
) -> None:
    async def story() -> None:
        with closing(Way(tmp_path, served)) as way:
            await way.send(way.answered())
            assert way.shed() == {"absent": 1}

            first = way.open()
            await way.send(way.answered())
            assert first.take(0) is not None
            first.close()
            await way.send(way.answered())
            assert way.shed() == {"absent": 2}

            second = way.open()
            await way.send(way.answered())
            assert second.take(0) is not None
            second.close()
            third = way.open()  # a process that was started anew, which the worker has not noticed
            await way.send(way.answered())
            assert third.take(0) is not None
            assert way.shed() == {"absent": 2}

    asyncio.run(story())


def test_what_the_kernel_does_not_take_waits_for_the_reader_and_no_more_than_there_is_room_for(
    tmp_path: Path, served: ServedVersion
) -> None:
    async def story() -> None:
        with closing(Way(tmp_path, served)) as way:
            inbox = way.open(is_read=False)
            sent = [way.answered() for _ in range(1000)]
            await way.send(*sent)
            full = way.shed()["full"]
            assert 0 < full < len(sent)

            inbox.listen()
            while len(inbox) < len(sent) - full:
                await asyncio.sleep(0)
            await way.send(way.answered())

            assert len(inbox) == len(sent) - full + 1
            assert way.shed() == {"full": full}
            first = inbox.take(0)
            assert first is not None
            assert first.record_id == sent[0].record_id

    asyncio.run(story())


def test_what_is_too_large_is_shed_and_counted(tmp_path: Path, served: ServedVersion) -> None:
    async def story() -> None:
        with closing(Way(tmp_path, served)) as way:
            inbox = way.open()
            await way.send(way.answered(rows=LARGEST // 20), way.answered())

            assert way.shed() == {"too-large": 1}
            assert inbox.take(0) is not None
            assert inbox.take(0) is None

    asyncio.run(story())


def test_a_share_of_the_answers_is_shadowed_the_same_ones_each_time() -> None:
    some = shadow(points=2_500)
    ids = [f"record-{number}" for number in range(10_000)]
    chosen = [one for one in ids if is_shadowed(some, one)]

    assert len(chosen) == pytest.approx(2_500, abs=200)
    assert all(is_shadowed(shadow(points=5_000), one) for one in chosen)
    assert not any(is_shadowed(replace(some, is_paused=True), one) for one in ids)


def test_the_oldest_goes_where_there_is_no_room(tmp_path: Path) -> None:
    async def story() -> None:
        sheds: list[tuple[str, str]] = []
        with closing(Inbox(tmp_path, lambda rollout, why: sheds.append((rollout, why)))) as inbox:
            beyond = 10
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
                address(tmp_path) as name,
            ):
                for number in range(MOST_WAITING + beyond):
                    sender.sendto(encode(shadowed(number)), name)
                    inbox.receive()

            first = inbox.take(0)

            assert sheds == [("r", "old")] * beyond
            assert first is not None
            assert first.record_id == str(beyond)
            assert len(inbox) == MOST_WAITING - 1

    asyncio.run(story())


def test_what_waited_too_long_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        sheds: list[tuple[str, str]] = []
        with closing(Inbox(tmp_path, lambda rollout, why: sheds.append((rollout, why)))) as inbox:
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
                address(tmp_path) as name,
            ):
                sender.sendto(encode(shadowed(1)), name)
            inbox.receive()
            monkeypatch.setattr(inbox_module, "LONGEST_WAIT_S", -1.0)

            assert inbox.take(0) is None
            assert sheds == [("r", "old")]

    asyncio.run(story())


def test_bytes_that_nobody_can_read_are_passed_over(tmp_path: Path) -> None:
    async def story() -> None:
        with closing(Inbox(tmp_path, lambda *_: None)) as inbox:
            with (
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
                address(tmp_path) as name,
            ):
                sender.sendto(b"no message", name)
                sender.sendto(encode(shadowed(1)), name)
            inbox.receive()

            assert inbox.take(0) == shadowed(1)

    asyncio.run(story())


def shadowed(number: int) -> Shadowed:
    return Shadowed("r", str(number), "key", None, None, 1, b"in", b"out", 5, None)


def put(folder: Path, datagram: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, address(folder) as name:
        sender.sendto(datagram, name)
