"""The servers that are measured, as values: how each is started, and in which form it is asked."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from loadtests.errors import LoadTestError
from loadtests.forms import PLAIN_BYTES, SERVICE_JSON, V2_BINARY, V2_JSON, Form
from loadtests.model import COLUMNS
from loadtests.modes import MODE, UNGOVERNED, UNRECORDED
from loadtests.server import PORT
from loadtests.workloads import Workload

# Words of a command whose place a session's own values take.
_DATA_DIR, _MODEL_FILE, _WORKERS = "DATA_DIR", "MODEL_FILE", "WORKERS"
GATEWAY, FASTAPI = "gateway", "FastAPI"
UNAUDITED, UNGUARDED = "gateway, no audit", "gateway, no governance"

_FOLDER = Path(__file__).with_name("peers")
_SERVE = (
    "serve", "--data-dir", _DATA_DIR, "--port", PORT, "--workers", _WORKERS,
    "--payload-limit", "65536",
)  # fmt: skip
_VERSIONS = "import json, sys; from importlib.metadata import version; " + (
    "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


class Subject(Struct, frozen=True, kw_only=True):
    """What is measured.

    `small` and `large` are the forms for a few rows and for a large batch. `program` must exist for
    it to be measured. `packages` are those of its environment that its speed depends on. `once`
    spares it all rounds but the first.
    """

    name: str
    command: Sequence[str]
    small: Form = V2_JSON
    large: Form = V2_JSON
    environment: Mapping[str, str] = {}
    program: Path = Path(sys.executable)
    packages: Sequence[str] = ()
    has_record: bool = False
    has_workers: bool = False
    once: bool = False

    def form(self, workload: Workload) -> Form:
        return self.large if workload.is_large else self.small

    @property
    def is_installed(self) -> bool:
        return self.program.exists()

    def versions(self) -> dict[str, str]:
        """Return the versions of what the subject is made of."""
        if not self.packages:
            answer = subprocess.run(
                [str(self.program), "--version"], capture_output=True, text=True, check=True
            )
            return dict(line.split(" ", 1) for line in answer.stdout.splitlines())
        command = [str(self.program), "-c", _VERSIONS, *self.packages]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, str] = json.loads(answer.stdout)
        return found


def _gateway(name: str, module: str, mode: str = "") -> Subject:
    return Subject(
        name=name,
        command=(sys.executable, "-m", module, *_SERVE),
        large=V2_BINARY,
        environment={MODE: mode} if mode else {},
        packages=("litestar", "msgspec", "numpy", "onnxruntime", "uvicorn", "uvloop", "apsw"),
        has_record=not mode,
        has_workers=True,
    )


def _peer(
    name: str, package: str, *, small: Form = V2_JSON, large: Form = V2_JSON, once: bool = True
) -> Subject:
    python = Path(f".venv-peer-{package}/bin/python")
    script = str(_FOLDER / f"{package}_peer.py")
    return Subject(
        name=name,
        command=(str(python), script, _MODEL_FILE, PORT),
        small=small,
        large=large,
        program=python,
        packages=(package, "numpy", "onnxruntime"),
        once=once,
    )


def _cpp() -> Subject:
    program = Path(".venv-peer-cpp/server")
    return Subject(
        name="C++",
        command=(str(program), str(_runtime_library()), _MODEL_FILE, str(COLUMNS), PORT),
        large=PLAIN_BYTES,
        program=program,
    )


def _runtime_library() -> Path:
    """Return the shared library inside the package onnxruntime, so that all run the same one."""
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise LoadTestError("onnxruntime is not installed.")
    [library] = (Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*")
    return library


def fill(subject: Subject, *, data_dir: Path, model_file: Path, workers: int) -> list[str]:
    """Return a subject's command with a session's own values in it, but for the port."""
    words = {_DATA_DIR: str(data_dir), _MODEL_FILE: str(model_file), _WORKERS: str(workers)}
    return [words.get(word, word) for word in subject.command]


def all_subjects() -> list[Subject]:
    """Return every subject, installed or not."""
    return [
        _gateway(GATEWAY, "gateway.cli"),
        _gateway(UNAUDITED, "loadtests.modes", UNRECORDED),
        _gateway(UNGUARDED, "loadtests.modes", UNGOVERNED),
        _peer(FASTAPI, "fastapi", large=PLAIN_BYTES, once=False),
        _cpp(),
        _peer("KServe", "kserve", large=V2_BINARY),
        _peer("MLServer", "mlserver"),
        _peer("LitServe", "litserve", small=SERVICE_JSON, large=SERVICE_JSON),
        _peer("BentoML", "bentoml", small=SERVICE_JSON, large=SERVICE_JSON),
    ]


def choose(names: Sequence[str]) -> list[Subject]:
    """Return the subjects of these names, or all where none is named. Raises LoadTestError."""
    known = {subject.name: subject for subject in all_subjects()}
    for name in names:
        if name not in known:
            raise LoadTestError(f"There is no subject {name!r}; there are {'; '.join(known)}.")
    return [known[name] for name in names or known]
