"""Changes of champion under load: no request fails, and an old answer that comes late is seen."""

import asyncio
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from loadtests import swap
from loadtests.caller import Target
from loadtests.server import gateway_command, run_server, wait_until_ready
from loadtests.swap_report import Sample, Swap, report
from registry.registry import Registry
from tests.builders import add_key, infer_body, linear_model, publish


def sample(left: float, answered: float, version: str) -> Sample:
    return Sample(meant=left, left=left, answered=answered, version=version)


def test_the_version_before_may_answer_until_every_worker_obeys() -> None:
    swaps = [Swap(old="1", asked=0.9, answered=1.0, obeyed=1.3)]
    found = report([sample(0.5, 0.6, "1"), sample(1.2, 1.4, "1")], swaps)
    assert not found.failures
    assert found.longest_old_answer_s == pytest.approx(0.4)
    assert found.longest_to_obey_s == pytest.approx(0.3)


def test_an_answer_of_the_version_before_is_a_failure_afterwards() -> None:
    swaps = [
        Swap(old="1", asked=0.9, answered=1.0, obeyed=1.3),
        Swap(old="2", asked=1.9, answered=2.0, obeyed=2.2),
    ]
    found = report([sample(1.4, 1.5, "1"), sample(2.3, 2.4, "1")], swaps)
    assert len(found.failures) == 1


def test_the_start_of_a_canary_lets_both_versions_answer() -> None:
    swaps = [
        Swap(old="2", asked=0.9, answered=1.0, obeyed=1.3),
        Swap(old="", asked=1.4, answered=1.5, obeyed=1.7),
    ]
    found = report([sample(1.8, 1.9, "2"), sample(1.8, 1.9, "1")], swaps)
    assert (found.failures, found.swaps) == ([], 1)


def target(url: str, key: str, data_dir: Path, expected: dict[str, float]) -> Target:
    """Return `sum` under load, whose versions answer so much."""
    request = infer_body([[1.0, 2.0, 3.0]]) | {"parameters": {"binary_data_output": True}}
    return Target(
        url=url,
        key=key,
        model="sum",
        bodies=[msgspec.json.encode(request)],
        output="y",
        expected={
            version: [frozenset({np.float32(y).tobytes()})] for version, y in expected.items()
        },
        data_dir=data_dir,
    )


def test_no_request_fails_while_champions_change(registry: Registry, tmp_path: Path) -> None:
    publish(registry, "sum", linear_model(1.0))
    publish(registry, "sum", linear_model(2.0), promote=False)
    key = add_key(registry)
    begun = time.monotonic()
    with run_server(gateway_command(tmp_path, workers=2), tmp_path / "log") as server:
        wait_until_ready(server, lambda client: client.get("/v2/health/ready").is_success)
        started_s = time.monotonic() - begun
        right = target(server.url, key, tmp_path, {"1": 6.0, "2": 12.0})
        found = asyncio.run(swap.swap_under_load(right, swaps=3, clients=4, per_second=100))
        # Version 2 is live now, and does not answer what this one expects.
        wrong = target(server.url, key, tmp_path, {"1": 6.0, "2": 6.0})
        noticed = asyncio.run(swap.swap_under_load(wrong, swaps=0, clients=1, per_second=50))
    assert found.failures == []
    assert found.swaps == 3
    assert found.requests > 20
    assert found.longest_to_obey_s < max(1, started_s)
    assert noticed.failures
