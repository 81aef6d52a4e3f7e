"""The modes that the benchmark compares with leave out what they say they leave out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from loadtests.measure import count_answered, wait_until_integrated
from loadtests.model import MODEL
from loadtests.modes import MODE, UNGOVERNED, UNRECORDED, UNWATCHED
from loadtests.server import run_server, wait_until_ready
from loadtests.subjects import GATEWAY, UNAUDITED, UNCHECKED, UNGUARDED, choose, fill
from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.registry import Registry
from tests.builders import PATIENCE_S, add_key, infer_body, linear_model, publish

REQUEST = infer_body([[1.0, 2.0, 3.0]])
FORBIDDEN = infer_body([[1000.0, 2.0, 3.0]])
LOW = Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, column=0, low=0.0, high=10.0)


@contextmanager
def serving(name: str, folder: Path) -> Iterator[httpx.Client]:
    """Run a subject over a data directory, and ask it as the benchmark does."""
    [subject] = choose([name])
    command = fill(subject, data_dir=folder, model_file=Path("none"), workers=1)
    with run_server(command, folder / "log", environment=subject.environment) as server:
        wait_until_ready(server, lambda client: client.get("/v2/health/ready").is_success)
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client:
            yield client


def statuses(client: httpx.Client, token: str) -> list[int]:
    """Ask with the key and without, within the contract and beyond it."""
    path, key = f"/v2/models/{MODEL}/infer", {"authorization": f"Bearer {token}"}
    return [
        client.post(path, json=REQUEST, headers=key).status_code,
        client.post(path, json=REQUEST).status_code,
        client.post(path, json=FORBIDDEN, headers=key).status_code,
    ]


@pytest.mark.parametrize(
    ("name", "expected", "records"),
    [
        (GATEWAY, [200, 401, 400], 1),
        (UNCHECKED, [200, 401, 200], 2),
        (UNAUDITED, [200, 401, 400], 0),
        (UNGUARDED, [200] * 3, 0),
    ],
)
def test_a_mode_keeps_what_it_is_named_for(
    registry: Registry, tmp_path: Path, name: str, expected: list[int], records: int
) -> None:
    publish(registry, MODEL, linear_model(1.0), Draft(contract=Contract(rules=(LOW,))))
    token = add_key(registry)
    with serving(name, tmp_path) as client:
        assert statuses(client, token) == expected
    wait_until_integrated(tmp_path)
    assert count_answered(tmp_path) == records


def test_the_product_knows_nothing_of_modes() -> None:
    for package in ("gateway", "registry"):
        for path in Path(package).rglob("*.py"):
            content = path.read_text()
            assert not {MODE, UNWATCHED, UNRECORDED, UNGOVERNED} & set(
                content.replace('"', " ").split()
            )
