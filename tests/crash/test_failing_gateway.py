"""The disk fails one process of a running gateway: it refuses or restarts, and loses nothing."""

from pathlib import Path

import pytest

from registry.registry import Registry
from tests.builders import add_key, linear_model, publish, serving
from tests.crash.checker import check
from tests.crash.ledger import Callers
from tests.crash.processes import children
from tests.crash.traced import injection, tracing

long = pytest.mark.torture


@pytest.mark.parametrize(
    ("process", "call", "fault", "nth", "event"),
    [
        ("worker", "pwrite64", "signal=KILL", 20, "process_ended"),
        ("controller", "pwrite64", "signal=KILL", 50, "process_ended"),
        ("controller", "pwrite64", "error=ENOSPC", 30, "integration_failed"),
        ("controller", "fdatasync", "error=EIO", 1, "integration_failed"),
        pytest.param("worker", "fdatasync", "signal=KILL", 20, "process_ended", marks=long),
        pytest.param("controller", "pwrite64", "error=EIO", 40, "integration_failed", marks=long),
        pytest.param("controller", "fdatasync", "signal=KILL", 3, "process_ended", marks=long),
    ],
)
def test_a_failing_call_loses_nothing_and_answers_go_on(
    tmp_path: Path, registry: Registry, process: str, call: str, fault: str, nth: int, event: str
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)

    with serving(tmp_path) as gateway:
        [victim] = children(gateway, f"gateway.{process}")
        with (
            tracing(victim, *injection(call, fault, nth)),
            Callers(gateway.url, token, "sum") as callers,
        ):
            gateway.wait_for(event)
            callers.wait_for_answers(100)

    assert callers.unexpected == []
    verdict = check(registry.store, tmp_path, callers.acknowledged)
    assert verdict.is_clean, verdict


@pytest.mark.parametrize("fault", ["error=EIO", pytest.param("error=ENOSPC", marks=long)])
def test_a_refused_write_of_the_journal_is_a_refused_answer(
    tmp_path: Path, registry: Registry, fault: str
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)

    with serving(tmp_path) as gateway:
        [worker] = children(gateway, "gateway.worker")
        with (
            tracing(worker, *injection("pwrite64", fault, 20)),
            Callers(gateway.url, token, "sum") as callers,
        ):
            callers.wait_for_refusals(1)
            callers.wait_for_answers(100)
        assert not [line for line in gateway.log if line["event"] == "process_ended"]

    assert callers.unexpected == []
    verdict = check(registry.store, tmp_path, callers.acknowledged)
    assert verdict.is_clean, verdict
