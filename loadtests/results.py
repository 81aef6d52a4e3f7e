"""The files that benchmarks are kept in, and how to find them."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtests.errors import LoadTestError
from loadtests.measure import Session
from loadtests.report import Line

FORMAT = 2
RESULTS = Path(__file__).with_name("results")


class Written(Struct, frozen=True, kw_only=True):
    """One benchmark: machine, versions and method, what it says, and every session behind that."""

    format: int
    at: str
    machine: Mapping[str, object]
    versions: Mapping[str, Mapping[str, str]]
    method: str
    closed_s: int
    opened_s: float
    rounds: int
    lines: Sequence[Line]
    sessions: Sequence[Session]


def read(content: bytes, name: str) -> Written:
    """Read a result. Raises LoadTestError where it is none of this format."""
    try:
        return msgspec.json.decode(content, type=Written)
    except msgspec.DecodeError as error:
        raise LoadTestError(f"{name} is no result of this benchmark: {error}") from error


def newest(folder: Path) -> Path:
    """Return the newest result of a folder. Raises LoadTestError where there is none."""
    found = sorted(folder.glob("bench-*.json"))
    if not found:
        raise LoadTestError(f"There is no result in {folder}; run: make bench")
    return found[-1]


def committed(folder: Path, *, before: Path) -> tuple[str, bytes] | None:
    """Return name and content of the last committed result that is older than another, if any."""
    listed = _git(folder, "ls-tree", "--name-only", "HEAD", "./").decode().split()
    names = sorted(name for name in listed if name.startswith("bench-") and name < before.name)
    if not names:
        return None
    return names[-1], _git(folder, "show", f"HEAD:./{names[-1]}")


def _git(folder: Path, *words: str) -> bytes:
    answer = subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False)
    if answer.returncode:
        raise LoadTestError(f"git {words[0]}: {answer.stderr.decode().strip()}")
    return answer.stdout
