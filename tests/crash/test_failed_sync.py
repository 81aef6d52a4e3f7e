"""A failed sync ends the worker: it answers nothing more, and what it answered is there."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.worker import JOURNAL_BROKEN_EXIT
from registry.audit.query import AuditTrail
from registry.registry import Registry
from tests.builders import Gateway, add_key, linear_model, publish, serving
from tests.crash.checker import check
from tests.crash.ledger import Callers, missing_records
from tests.crash.processes import children
from tests.crash.traced import injection, tracing

ENDED_WITHIN_S = 1.0


@pytest.mark.parametrize("nth", [1, 2, 25])
def test_no_answer_follows_a_failed_sync(tmp_path: Path, registry: Registry, nth: int) -> None:
    fail_sync(tmp_path, registry, nth)


@pytest.mark.torture
@pytest.mark.parametrize("nth", range(1, 51))
def test_no_answer_follows_any_failed_sync(tmp_path: Path, registry: Registry, nth: int) -> None:
    fail_sync(tmp_path, registry, nth)


def fail_sync(data_dir: Path, registry: Registry, nth: int) -> None:
    """Let the n-th sync of the only worker fail under load; its successor answers again."""
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    trail = AuditTrail(registry.store, data_dir / "journal")

    with serving(data_dir) as gateway:
        [worker] = children(gateway, "gateway.worker")
        with (
            tracing(worker, *injection("fdatasync", "error=EIO", nth)),
            Callers(gateway.url, token, "sum") as callers,
        ):
            broken = gateway.wait_for("journal_broken")
            ended = gateway.wait_for("process_ended")
            gateway.wait_for("worker_ready")
            callers.wait_for_answers(50)
        assert missing_records(trail, callers.acknowledged) == []

    assert ended["status"] == JOURNAL_BROKEN_EXIT
    assert seconds_between(broken, ended) <= max(ENDED_WITHIN_S, gateway.started_s)
    assert callers.refused > 0
    assert callers.answered_after_refusal == 0
    assert callers.unexpected == []
    assert check(registry.store, data_dir, callers.acknowledged).is_clean
    assert failed_once(gateway)


def seconds_between(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    first, second = (datetime.fromisoformat(line["timestamp"]) for line in (earlier, later))
    return (second - first).total_seconds()


def failed_once(gateway: Gateway) -> bool:
    return [line["event"] for line in gateway.log].count("journal_broken") == 1
