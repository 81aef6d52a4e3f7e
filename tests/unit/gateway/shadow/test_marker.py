import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from gateway.shadow.marker import Marker
from gateway.shadow.wire import Shadowed

SHADOWED = Shadowed("r", "live-1", "key", "id", None, 1, b"secret in", b"secret out", 5, "A")
RUNS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from gateway.shadow.marker import Marker
from gateway.shadow.wire import Shadowed
marker = Marker(Path(sys.argv[1]))
marker.set(Shadowed("r", "live-1", "key", "id", None, 1, b"secret in", b"secret out", 5, "A"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_ran_when_a_process_was_killed_is_known_to_the_next_and_holds_no_values(
    tmp_path: Path,
) -> None:
    ended = subprocess.run([sys.executable, "-c", RUNS_AND_DIES, str(tmp_path)], check=False)
    assert ended.returncode == -9
    assert b"secret" not in (tmp_path / "running").read_bytes()

    marker = Marker(tmp_path)

    assert marker.left == replace(SHADOWED, inputs=b"", outputs=b"")
    assert (tmp_path / "running").stat().st_size == 0


def test_nothing_is_left_of_what_ran_to_its_end(tmp_path: Path) -> None:
    marker = Marker(tmp_path)
    marker.set(SHADOWED)
    marker.clear()

    assert (tmp_path / "running").stat().st_size == 0
    assert marker.left is None
