"""A full disk is a refusal: 503, nothing lost, and recovery without a restart."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from registry.audit.query import AuditTrail
from registry.audit.segment import list_segments
from registry.registry import Registry
from tests.builders import (
    Gateway,
    add_key,
    infer_body,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.crash.checker import check
from tests.crash.ledger import Callers, lost_records, missing_records
from tests.crash.processes import children

_SIZE_MIB = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB; only root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        yield folder
    finally:
        # Lazily, since a test that failed may hold files open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_refuses_and_a_freed_one_answers_without_restart(small_disk: Path) -> None:
    registry = open_registry(small_disk)
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    trail = AuditTrail(registry.store, small_disk / "journal")
    acknowledged: dict[str, str] = {}

    with serving(small_disk) as gateway, gateway.client(token) as client:
        assert _ask(client, acknowledged, "before") == 200

        _fill(small_disk / "filler")
        statuses = {_ask(client, acknowledged, f"full-{n}", rows=200) for n in range(300)}
        assert 503 in statuses
        assert statuses <= {200, 503}
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/models/sum").status_code == 200
        refusal = client.post("/v2/models/sum/infer", json=_request("refused", 200))
        assert refusal.status_code == 503
        assert refusal.headers["retry-after"] == "1"
        assert refusal.json()["code"] in {"journal-unavailable", "store-unavailable"}

        (small_disk / "filler").unlink()
        assert client.get("/v2/health/ready").status_code == 200
        assert _ask(client, acknowledged, "after") == 200
        assert lost_records(trail, acknowledged) == []
        _check_that_none_ended(gateway)

    verdict = check(registry.store, small_disk, acknowledged)
    assert verdict.is_clean, verdict
    registry.store.close()


def test_a_worker_that_starts_on_a_full_disk_refuses_and_answers_once_there_is_room(
    small_disk: Path,
) -> None:
    registry = open_registry(small_disk)
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    acknowledged: dict[str, str] = {}

    with serving(small_disk) as gateway:
        _fill(small_disk / "filler")
        os.kill(children(gateway, "gateway.worker")[0], signal.SIGKILL)
        gateway.wait_for("worker_ready")
        with gateway.client(token) as client:
            assert client.get("/v2/health/ready").status_code == 503
            statuses = {_ask(client, acknowledged, f"full-{n}", rows=200) for n in range(100)}
            assert 503 in statuses
            assert statuses <= {200, 503}
            (small_disk / "filler").unlink()
            assert client.get("/v2/health/ready").status_code == 200
            assert _ask(client, acknowledged, "after") == 200

    verdict = check(registry.store, small_disk, acknowledged)
    assert verdict.is_clean, verdict
    registry.store.close()


def test_a_worker_that_may_not_write_refuses_and_recovers_without_restart(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    trail = AuditTrail(registry.store, tmp_path / "journal")

    # A new segment would have room again.
    segment_age = ("--segment-age", "30")
    with serving(tmp_path, *segment_age) as gateway, gateway.client(token) as client:
        [worker] = children(gateway, "gateway.worker")
        with Callers(gateway.url, token, "sum") as callers:
            callers.wait_for_answers(100)
            with _no_file_grows(worker, beyond=list_segments(tmp_path / "journal")[0]):
                callers.wait_for_refusals(100)
                refusal = client.post("/v2/models/sum/infer", json=_request("refused", 1000))
                assert refusal.status_code == 503
                assert refusal.headers["retry-after"] == "1"
                assert refusal.json()["code"] == "journal-unavailable"
                assert client.get("/v2/health/live").status_code == 200
                # Who reads audit data is recorded too, and nothing else is held up. What room is
                # left takes no answer's record any more, and may take those of a few reads.
                reads = [client.get("/audit/records").json() for _ in range(10)]
                assert reads[-1]["code"] == "journal-unavailable"
                assert client.get("/v2/models/sum").status_code == 200
                assert missing_records(trail, dict(callers.acknowledged)) == []
            callers.wait_for_answers(100)
        assert callers.unexpected == []
        _check_that_none_ended(gateway)

    verdict = check(registry.store, tmp_path, callers.acknowledged)
    assert verdict.is_clean, verdict
    assert verdict.inferences == len(callers.acknowledged)


def test_a_worker_that_may_not_write_is_not_ready_until_it_may(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)

    with serving(tmp_path) as gateway, gateway.client(token) as client:
        [worker] = children(gateway, "gateway.worker")
        assert client.get("/v2/health/ready").status_code == 200
        segment = list_segments(tmp_path / "journal")[0]
        with _no_file_grows(worker, beyond=segment, room=0):
            refusal = client.post("/v2/models/sum/infer", json=_request("refused", 1))
            assert refusal.json()["code"] == "journal-unavailable"
            assert client.get("/v2/health/ready").status_code == 503
        # Nobody sends a request meanwhile; asking is enough.
        assert client.get("/v2/health/ready").status_code == 200


@contextmanager
def _no_file_grows(pid: int, *, beyond: Path, room: int = 10_000) -> Iterator[None]:
    """Let a process write no file much longer than one is now; the last write is cut short."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (beyond.stat().st_size + room, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def _ask(client: httpx.Client, ledger: dict[str, str], request_id: str, rows: int = 1) -> int:
    response = client.post("/v2/models/sum/infer", json=_request(request_id, rows))
    if response.status_code == 200:
        ledger[response.headers["x-record-id"]] = request_id
    return response.status_code


def _request(request_id: str, rows: int) -> dict[str, object]:
    return {"id": request_id, **infer_body([[1.0, 2.0, 3.0]] * rows)}


def _fill(path: Path) -> None:
    """Take all the room there is, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def _check_that_none_ended(gateway: Gateway) -> None:
    assert not [line for line in gateway.log if line["event"] == "process_ended"]
