import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from gateway.summaries import Summaries, SummaryFile
from registry.windows import LaneCounts, WorkerCounts

LANE = LaneCounts("m", 1, "champion", "sha256:b", b"\x01" + bytes(7))
ODD = LaneCounts("m", 1, "champion", "sha256:b", bytes(7))
MORE = LaneCounts("m", 1, "champion", "sha256:b", b"\x02" + bytes(7))

WRITES_AND_WAITS = """
import sys
from pathlib import Path
from gateway.summaries import SummaryFile
from registry.windows import LaneCounts
SummaryFile(Path(sys.argv[1])).write([LaneCounts("m", 1, "champion", "sha256:b", bytes(8))])
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def summaries(tmp_path: Path) -> Summaries:
    found = Summaries(tmp_path)
    found.prepare()
    return found


def test_what_was_written_last_is_read_and_is_not_over(
    tmp_path: Path, summaries: Summaries
) -> None:
    file = SummaryFile(tmp_path)
    file.write([LANE])
    file.write([MORE])

    [found] = summaries.read()

    assert (found.id, found.is_over) == (file.id, False)
    assert found.counts is not None
    assert found.counts.lanes == (MORE,)
    assert abs(found.counts.at_us / 1e6 - time.time()) < 60
    file.close()
    assert [one.is_over for one in summaries.read()] == [True]


def test_a_worker_that_wrote_nothing_has_no_file(tmp_path: Path, summaries: Summaries) -> None:
    SummaryFile(tmp_path).close()

    assert list(tmp_path.iterdir()) == []
    assert summaries.read() == []


def test_the_counts_of_a_killed_worker_are_over_and_stay(
    tmp_path: Path, summaries: Summaries
) -> None:
    command = [sys.executable, "-c", WRITES_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "written\n"
        assert [found.is_over for found in summaries.read()] == [False]
        worker.kill()
    summaries.prepare()

    [found] = summaries.read()

    assert found.is_over
    assert found.counts is not None


def test_files_that_are_removed_leave_nothing(tmp_path: Path, summaries: Summaries) -> None:
    file, other = SummaryFile(tmp_path), SummaryFile(tmp_path)
    file.write([LANE])
    other.write([LANE])
    file.close()

    summaries.remove([file.id])

    assert [found.id for found in summaries.read()] == [other.id]
    assert {path.stem for path in tmp_path.iterdir()} == {other.id}
    other.close()


def test_the_lock_of_a_worker_that_died_before_it_wrote_goes_at_the_next_start(
    tmp_path: Path, summaries: Summaries
) -> None:
    (tmp_path / "dead.lock").touch()
    living = SummaryFile(tmp_path)
    living.write([LANE])

    summaries.prepare()

    assert {path.stem for path in tmp_path.iterdir()} == {living.id}
    living.close()


@pytest.mark.parametrize(
    "content",
    [b"", bytes(100), msgspec.msgpack.encode(WorkerCounts("torn", 1, (ODD,)))],
)
def test_a_file_that_cannot_be_read_is_told_from_one_that_can(
    tmp_path: Path, summaries: Summaries, content: bytes
) -> None:
    (tmp_path / "torn.counts").write_bytes(content)

    [found] = summaries.read()

    assert (found.counts, found.is_over) == (None, True)


def test_a_folder_that_is_not_there_is_an_error_and_the_next_write_succeeds(
    tmp_path: Path,
) -> None:
    file = SummaryFile(tmp_path / "later")
    with pytest.raises(FileNotFoundError):
        file.write([LANE])
    summaries = Summaries(tmp_path / "later")
    summaries.prepare()
    file.write([LANE])

    assert [found.id for found in summaries.read()] == [file.id]
    file.close()
