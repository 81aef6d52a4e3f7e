"""Servers under load: their start, their processes, and the cores that hold them."""

import os
import sys
from pathlib import Path

import httpx
import pytest

from loadtests import machine
from loadtests.errors import LoadTestError
from loadtests.server import PORT, run_server, wait_until_ready

# A server whose child keeps 64 MiB; both belong to what is measured.
PARENT = """
import subprocess, sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
child = subprocess.Popen([sys.executable, "-c", "kept = b'x' * (64 << 20); print(1); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""


def can_answer(client: httpx.Client) -> bool:
    return client.get("/").is_success


def test_a_server_that_ends_at_once_is_noticed(tmp_path: Path) -> None:
    with (
        run_server(["false"], tmp_path / "log") as server,
        pytest.raises(LoadTestError, match="did not start"),
    ):
        wait_until_ready(server, can_answer)


def test_memory_of_a_child_in_a_session_of_its_own_counts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, PORT]
    with run_server(command, tmp_path / "log") as server:
        wait_until_ready(server, can_answer)
        found = server.memory_bytes()
    assert 64 << 20 < sum(found.values()) < 256 << 20
    assert set(found) == {"rest"}


def test_time_on_a_core_leaves_waiting_and_other_cores_out() -> None:
    stat = (
        "cpu 9 9 9 9 9 9 9 9 9 9\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 300 100 500 7000 20 3 30 100 0 0\n"
    )
    ticks = os.sysconf("SC_CLK_TCK")
    assert machine.busy_s(stat, 1) == 1000 / ticks
    assert machine.busy_s(stat, 0) == 0
    with pytest.raises(LoadTestError):
        machine.busy_s(stat, 2)
