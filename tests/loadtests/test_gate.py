"""The gate: a lost lead is told, noise and what nobody measured is not."""

import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from loadtests import gate, results
from loadtests.errors import LoadTestError
from loadtests.gate import losses
from loadtests.report import Line
from loadtests.results import Written
from loadtests.subjects import FASTAPI
from tests.loadtests.builders import line


def test_a_loss_within_the_tolerance_is_noise() -> None:
    assert losses([line(4.0)], [line(3.61)]) == []


def test_a_larger_loss_is_told() -> None:
    [told] = losses([line(4.0)], [line(3.59)])
    assert told.startswith("W1, gateway: 3.59")


def test_each_workload_and_mode_is_compared_with_itself() -> None:
    before = [line(4.0), line(2.0, workload="W2"), line(8.0, subject="gateway, no audit")]
    after = [line(4.0), line(1.0, workload="W2"), line(6.0, subject="gateway, no audit")]
    assert [told.split(":")[0] for told in losses(before, after)] == [
        "W2, gateway",
        "W1, gateway, no audit",
    ]


def test_what_only_one_result_has_is_not_compared() -> None:
    assert losses([line(4.0), line(2.0, workload="W3")], [line(4.0), line(None)]) == []
    assert losses([line(4.0, connections=1)], [line(1.0, connections=1)]) == []


def test_a_peer_that_became_slower_is_no_loss_of_ours() -> None:
    assert losses([line(1.0, subject=FASTAPI)], [line(0.5, subject=FASTAPI)]) == []


def written(at: str, ratio: float) -> bytes:
    lines: list[Line] = [line(ratio)]
    return msgspec.json.encode(
        Written(
            format=results.FORMAT, at=at, machine={}, versions={}, method="", closed_s=1,
            opened_s=1, rounds=1, lines=lines, sessions=[],
        )
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one committed result."""
    (tmp_path / "bench-20260101T000000Z.json").write_bytes(written("2026-01-01", 4.0))
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "A result"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(("ratio", "status"), [(3.9, 0), (3.0, 1)])
def test_the_newest_result_is_held_against_the_last_committed_one(
    folder: Path, ratio: float, status: int
) -> None:
    (folder / "bench-20260202T000000Z.json").write_bytes(written("2026-02-02", ratio))
    outcome = CliRunner().invoke(gate.main, ["--results", str(folder)])
    assert outcome.exit_code == status, outcome.output


def test_a_change_of_a_committed_file_is_not_what_is_compared_with(folder: Path) -> None:
    (folder / "bench-20260101T000000Z.json").write_bytes(written("2026-01-01", 1.0))
    newest = folder / "bench-20260202T000000Z.json"
    newest.write_bytes(written("2026-02-02", 3.0))
    found = results.committed(folder, before=newest)
    assert found is not None
    assert results.read(found[1], found[0]).lines[0].ratio == 4.0


def test_a_first_result_has_nothing_to_lose(folder: Path) -> None:
    outcome = CliRunner().invoke(gate.main, ["--results", str(folder)])
    assert outcome.exit_code == 0
    assert "nothing to compare" in outcome.output


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(LoadTestError, match=r"x\.json is no result"):
        results.read(b'{"ratio": 1.5}', "x.json")
