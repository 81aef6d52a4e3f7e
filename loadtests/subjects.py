"""The servers that are measured, as values: how each is started, and in which form it is asked."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from loadtests.errors import LoadTestError
from loadtests.forms import PLAIN_BYTES, SERVICE_JSON, SESSION_JSON, V2_BINARY, V2_JSON, Form
from loadtests.model import COLUMNS, MODEL
from loadtests.modes import MODE, UNGOVERNED, UNRECORDED, UNWATCHED
from loadtests.rollouts import shadow_with_twin, share_with_twin
from loadtests.server import PORT
from loadtests.workloads import Workload

# Words of a command whose place a session's own values take.
_DATA_DIR, _MODEL_FILE, _WORKERS = "DATA_DIR", "MODEL_FILE", "WORKERS"
GATEWAY, FASTAPI = "gateway", "FastAPI"
UNCHECKED, UNAUDITED, UNGUARDED = (
    "gateway, no rules or statistics", "gateway, no audit", "gateway, no governance",
)  # fmt: skip
CANARY, SHADOW = "gateway, canary of 10 %", "gateway, shadow of 10 %"
OUR_CPP, ONNXRUNTIME_SERVER = "C++ (our own, Beast)", "C++ onnxruntime-server"

# Names the program of a server that no package brings.
BUILT = "ONNXRUNTIME_SERVER"

# Bytes of a payload; more of it is committed to and not kept.
PAYLOAD_LIMIT = 64 << 10

_FOLDER = Path(__file__).with_name("peers")
# As long as a queue of 128 large requests is: the others refuse nobody, however long they take.
_PATIENCE_S = "1"
_SERVE = (
    "serve", "--data-dir", _DATA_DIR, "--port", PORT, "--workers", _WORKERS,
    "--payload-limit", str(PAYLOAD_LIMIT), "--queue-limit", _PATIENCE_S,
)  # fmt: skip
_VERSIONS = "import json, sys; from importlib.metadata import version; " + (
    "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


class Opening(Struct, frozen=True):
    """What a server is sent, as JSON, before it can be asked anything."""

    path: str
    content: Mapping[str, object]


class Subject(Struct, frozen=True, kw_only=True):
    """What is measured.

    `small` and `large` are the forms for a few rows and for a large batch, of which some servers
    have none. `prepare` changes the data directory that it serves. `opening` has to be sent before
    the first question. `program` must exist for it to be measured, and `remedy` says how it comes
    to. `packages` are those of its environment that its speed depends on; a subject without any has
    a command that shows what it is made of. `once` spares it all rounds but the first.
    """

    name: str
    command: Sequence[str]
    small: Form = V2_JSON
    large: Form | None = V2_JSON
    prepare: Callable[[Path], None] | None = None
    opening: Opening | None = None
    environment: Mapping[str, str] = {}
    program: Path = Path(sys.executable)
    remedy: str = "make bench-peers"
    packages: Sequence[str] = ()
    shows_versions: Sequence[str] = ()
    has_record: bool = False
    once: bool = False

    def form(self, workload: Workload) -> Form:
        """Return the form in which a workload's rows are sent."""
        return self.large if workload.is_large and self.large else self.small

    @property
    def is_installed(self) -> bool:
        return self.program.is_file()

    def versions(self) -> dict[str, str]:
        """Return the versions of what the subject is made of."""
        if not self.packages:
            answer = subprocess.run(self.shows_versions, capture_output=True, text=True, check=True)
            return dict(line.split(" ", 1) for line in answer.stdout.splitlines())
        command = [str(self.program), "-c", _VERSIONS, *self.packages]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, str] = json.loads(answer.stdout)
        return found


def _gateway(
    name: str, module: str, mode: str = "", prepare: Callable[[Path], None] | None = None
) -> Subject:
    return Subject(
        name=name,
        command=(sys.executable, "-m", module, *_SERVE),
        large=V2_BINARY,
        environment={MODE: mode} if mode else {},
        packages=("litestar", "msgspec", "numpy", "onnxruntime", "uvicorn", "uvloop", "apsw"),
        has_record=mode in {"", UNWATCHED},
        prepare=prepare,
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
        name=OUR_CPP,
        command=(str(program), str(_runtime_library()), _MODEL_FILE, str(COLUMNS), PORT),
        large=PLAIN_BYTES,
        program=program,
        shows_versions=(str(program), "--version"),
    )


def _onnxruntime_server() -> Subject:
    """Return the published C++ server, whose own way to take rows is JSON alone.

    One onnxruntime thread, as all have; releases without session options take no notice of them.
    """
    words = (sys.executable, str(_FOLDER / "onnxruntime_server.py"))
    threads = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    option = {"session_options": threads}
    return Subject(
        name=ONNXRUNTIME_SERVER,
        command=(*words, _MODEL_FILE, PORT),
        small=SESSION_JSON,
        large=None,
        opening=Opening("/api/sessions", {"model": MODEL, "version": "1", "option": option}),
        program=Path(os.environ.get(BUILT, "")),
        remedy=f"build it and set {BUILT}",
        shows_versions=(*words, "--version"),
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
        _gateway(CANARY, "gateway.cli", prepare=share_with_twin),
        _gateway(SHADOW, "gateway.cli", prepare=shadow_with_twin),
        _gateway(UNCHECKED, "loadtests.modes", UNWATCHED),
        _gateway(UNAUDITED, "loadtests.modes", UNRECORDED),
        _gateway(UNGUARDED, "loadtests.modes", UNGOVERNED),
        _peer(FASTAPI, "fastapi", large=PLAIN_BYTES, once=False),
        _cpp(),
        _onnxruntime_server(),
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
