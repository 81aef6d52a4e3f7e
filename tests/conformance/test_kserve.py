"""KServe's client, in the environment that `make kserve` makes, finds all it expects."""

import subprocess
from pathlib import Path

import pytest

from tests.http.world import publish_world, serve_world

_PYTHON = Path(".venv-peer-kserve/bin/python")
_CLIENT = Path(__file__).parent / "kserve_client.py"

pytestmark = pytest.mark.conformance


def test_every_call_of_the_client_works(tmp_path: Path) -> None:
    with serve_world(tmp_path, publish_world(tmp_path)) as world:
        url, token = world.gateway.url, world.tokens["invoker"]
        ended = subprocess.run(
            [_PYTHON, _CLIENT, url, token], capture_output=True, text=True, timeout=120, check=False
        )

    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "passed" in ended.stdout
