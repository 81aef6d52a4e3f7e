"""What commands print in a terminal of a real width, which cuts what has no room."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from registry import rolling_out
from registry.registry import Registry
from tests.builders import AUTHOR
from tests.cli.test_rollout_watch_cli import let_come
from tests.rolled import add_version, make_plan

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(columns: int, *command: str) -> str:
    """Run a command of `gateway` in a terminal, and return what it writes, without style."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *command],
        stdin=its, stdout=its, stderr=its, env={**environment, "TERM": "xterm"},
    )  # fmt: skip
    os.close(its)
    written = bytearray()
    try:
        while read := os.read(own, 65_536):
            written += read
    except OSError:  # the terminal is nobody's any more
        pass
    os.close(own)
    assert process.wait() == 0, written
    return _STYLE.sub("", written.decode())


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_an_id_is_shown_whole_however_narrow_the_terminal_is(
    tmp_path: Path, registry: Registry, columns: int
) -> None:
    for _ in range(2):
        add_version(registry, "flights")
    registry.promote("flights", 1, "for a test", AUTHOR)
    rollout = rolling_out.start(
        registry, "flights", make_plan(), "it was trained on more", AUTHOR, edges_us=[0]
    )

    listed = in_terminal(columns, "rollout", "list", "--data-dir", str(tmp_path))
    shown = in_terminal(columns, "rollout", "show", rollout.id, "--data-dir", str(tmp_path))

    assert rollout.id in listed
    assert rollout.id in shown
    assert "…" not in listed + shown
    assert all(len(line) <= columns for line in listed.splitlines())


def test_the_bars_of_a_rollout_are_whole_on_80_columns(tmp_path: Path, registry: Registry) -> None:
    for _ in range(2):
        add_version(registry, "flights")
    registry.promote("flights", 1, "for a test", AUTHOR)
    rollout = rolling_out.start(
        registry, "flights", make_plan(), "it was trained on more", AUTHOR, edges_us=[0]
    )
    let_come(registry, rollout, 500)

    watched = in_terminal(80, "rollout", "watch", rollout.id, "--once", "--data-dir", str(tmp_path))

    assert "errors: 5 of 500" in watched
    assert "…" not in watched
    assert all(len(line) <= 80 for line in watched.splitlines())
