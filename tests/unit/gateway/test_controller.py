"""The controller integrates whatever else there is to do, and forgets who has ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.controller import Controller
from gateway.security import Role
from gateway.settings import Settings
from gateway.truth.known import KnownTruth
from registry import promoting, rolling_out, truth
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, encode_record
from registry.promotion_policy import PromotionPolicy, TruthNeed
from registry.registry import Registry
from registry.rollouts import Finish, Guard, GuardKind, Phase, Plan, Step
from registry.times import now
from registry.truth_policy import LabelKind, TruthPolicy
from registry.versions import CHAMPION, Version
from registry.workers import WorkerStatus
from tests.builders import AUTHOR, linear_model, publish
from tests.labelled import answer, keep, say, tell
from tests.rolled import assess, make_plan, step

PATIENCE_S = 60.0


def test_a_worker_whose_process_has_ended_is_forgotten(tmp_path: Path, registry: Registry) -> None:
    store = registry.store
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for worker, pid in (("ended", ended.pid), ("runs", os.getpid())):
        store.report_worker(WorkerStatus(worker=worker, pid=pid, generation=0, failures={}))
    settings = Settings(data_dir=tmp_path)
    settings.journal_dir.mkdir(exist_ok=True)

    stop = threading.Event()
    stop.set()
    Controller(settings, store).run(stop)

    assert [status.worker for status in store.workers()] == ["runs"]


@contextmanager
def controlling(settings: Settings, registry: Registry) -> Iterator[None]:
    """Run a controller in a thread until the block ends."""
    stop = threading.Event()
    controller = Controller(settings, registry.store)
    thread = threading.Thread(target=controller.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def wait_until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def halt_reader() -> int:
    """Stop the process that reads ground truth as soon as it is there, and return its id."""
    found: list[int] = []
    wait_until(lambda: bool(found.extend(readers()) or found))
    os.kill(found[0], signal.SIGSTOP)
    return found[0]


def readers() -> Iterator[int]:
    """Yield the children of this process that read ground truth, whichever thread began them."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # it has ended since
            for pid in (task / "children").read_text().split():
                if b"gateway.truth.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    yield int(pid)


def is_halted(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def signed(registry: Registry) -> int:
    checkpoint = registry.store.checkpoint()
    return 0 if checkpoint is None else checkpoint.size


@pytest.fixture
def versions(registry: Registry) -> tuple[Version, Version]:
    """A champion and another version, whose labels are due after an hour."""
    live = publish(registry, "sum", linear_model())
    other = publish(registry, "sum", linear_model(2.0), promote=False)
    policy = TruthPolicy(kind=LabelKind.CLASSES, horizon_s=3600)
    truth.set_truth_policy(registry, "sum", policy, AUTHOR)
    return live, other


def integrate_and_sign(registry: Registry, settings: Settings, version: Version) -> None:
    """Record an answer as a worker does, and return when it is in the store and signed."""
    writer = SegmentWriter(settings.journal_dir)
    record, payload = answer(version, say(0.5), now())
    writer.append([Entry(encode_record(record), payload)])
    writer.close()
    wait_until(lambda: registry.store.record(record.id) is not None)
    wait_until(lambda: signed(registry) == registry.store.tree_size())


def test_records_are_integrated_and_signed_while_ground_truth_is_being_read(
    tmp_path: Path, registry: Registry, versions: tuple[Version, Version]
) -> None:
    brier = Guard(kind=GuardKind.TRUTH, margin=0.01, metric="brier")
    plan = Plan(challenger=2, guards=(brier,), steps=(Step(points=500),))
    rollout = rolling_out.start(registry, "sum", plan, "to try it", AUTHOR, edges_us=(0,))
    settings = Settings(data_dir=tmp_path)
    settings.journal_dir.mkdir()
    known = KnownTruth(settings.metrics_dir)

    with controlling(settings, registry):
        reader = halt_reader()
        integrate_and_sign(registry, settings, versions[0])
        assert is_halted(reader)
        assert known.evidence(rollout, now()) == {}

        os.kill(reader, signal.SIGCONT)
        wait_until(lambda: known.evidence(rollout, now()) != {})


def test_they_are_while_a_rollout_that_has_passed_waits_for_its_scores_and_promotes_itself_then(
    tmp_path: Path, registry: Registry, versions: tuple[Version, Version]
) -> None:
    day = timedelta(days=1)
    said = [answer(versions[1], say(0.9), now() - 2 * day) for _ in range(800)]
    ids = keep(registry, said)
    for start in range(0, 800, 400):
        tell(registry, tmp_path, "sum", *((one, 1) for one in ids[start : start + 400]))
    need = TruthNeed(metric="accuracy", labels=500, at_least=0.9)
    wanted = PromotionPolicy(truth=(need,))
    promoting.set_promotion_policy(registry, "sum", wanted, frozenset(Role), AUTHOR)
    plan = make_plan(steps=(step(),), finish=Finish.PROMOTE)
    rollout = rolling_out.start(registry, "sum", plan, "to try it", AUTHOR, edges_us=(0,))
    rolling_out.advance(registry, rollout.id, assess(rollout), AUTHOR)
    settings = Settings(data_dir=tmp_path)
    settings.journal_dir.mkdir(exist_ok=True)

    with controlling(settings, registry):
        reader = halt_reader()
        integrate_and_sign(registry, settings, versions[0])
        assert is_halted(reader)
        assert registry.store.aliases("sum")[CHAMPION] == 1

        os.kill(reader, signal.SIGCONT)
        wait_until(lambda: registry.store.aliases("sum")[CHAMPION] == 2)

    found = registry.store.rollout(rollout.id)
    assert found is not None
    assert found.phase is Phase.PROMOTED
