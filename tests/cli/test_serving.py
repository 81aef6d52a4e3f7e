"""`gateway serve` as a process: how it ends, and what is left in memory once it serves."""

import json
import signal
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0", "--data-dir"]


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
