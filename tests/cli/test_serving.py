"""`gateway serve` as a process: how it ends, and what is left in memory once it serves."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from registry.registry import Registry
from tests.builders import Gateway, add_key, infer_body, linear_model, publish, serving
from tests.crash.processes import children

COMMAND = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0", "--data-dir"]
MOST_MIB = 150


def test_a_gateway_that_is_told_to_stop_as_soon_as_it_serves_ends_as_one_that_was_told_later(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([*COMMAND, str(tmp_path)], stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        for line in gateway.stderr:
            if json.loads(line)["event"] == "serving":
                gateway.send_signal(signal.SIGTERM)
                break
        rest = gateway.stderr.read()
        assert gateway.wait(30) == 0
    assert "Traceback" not in rest


def test_a_data_directory_that_is_served_is_served_by_no_other(tmp_path: Path) -> None:
    with subprocess.Popen([*COMMAND, str(tmp_path)], stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        for line in gateway.stderr:
            if json.loads(line)["event"] == "controller_ready":  # it is the supervisor that runs
                break
        other = subprocess.run(
            [*COMMAND, str(tmp_path)], check=False, capture_output=True, text=True
        )
        gateway.send_signal(signal.SIGTERM)
        gateway.stderr.read()
    assert other.returncode == 1
    assert "is served by another process" in other.stderr


def loaded(pid: int) -> set[str]:
    """Name the extension modules that a process has loaded."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return set(re.findall(r"([^/\n]+)\.(?:abi3|cpython-[^/\n]+)\.so$", maps, re.MULTILINE))


def proportional_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Pss: +(\d+) kB$", text, re.MULTILINE)[0]) / 1024


def use(gateway: Gateway, token: str) -> None:
    """Ask for what is asked of a gateway day by day."""
    with gateway.client(token) as client:
        for _ in range(50):
            body = infer_body([[1.0, 2.0, 3.0]])
            assert client.post("/v2/models/sum/infer", json=body).status_code == 200
        for path in ("/metrics", "/admin/models", "/audit/records", "/audit/vkey"):
            assert client.get(path).status_code == 200


def test_a_process_holds_what_it_uses_and_all_of_them_little(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    with serving(tmp_path) as gateway:
        use(gateway, token)
        supervisor = gateway.process.pid
        [controller] = children(gateway, "gateway.controller")
        [worker] = children(gateway, "gateway.worker")

        signing = "_rust"  # of cryptography
        assert signing in loaded(controller)
        assert signing not in loaded(worker)
        assert "onnxruntime_pybind11_state" in loaded(worker)
        assert not loaded(supervisor) & {signing, "__init__"}  # nor SQLite
        assert sum(map(proportional_mib, (supervisor, controller, worker))) < MOST_MIB


@pytest.mark.parametrize("module", ["gateway.controller", "gateway.worker"])
def test_a_process_that_draws_nothing_loads_nothing_to_draw_with(module: str) -> None:
    script = f"import sys, {module}; print('rich' in sys.modules); import rich.console"
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert found.stdout == "False\n"
