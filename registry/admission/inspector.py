"""The child process that loads a file nobody trusts yet and runs it once.

Reads the artifact from standard input, writes one `Report` as JSON to standard output. It limits
itself before it looks at a byte: memory, processor time, open files, no file growth, an empty
folder, so that a hostile file harms this process alone.
"""

import resource
import sys
import time

import msgspec
import numpy as np
from msgspec import Struct

from registry.errors import Rejected
from registry.records import Certificate, Signature, TensorSpec
from registry.session import Session, open_session, read_signature, runtime_id
from registry.tensors import NUMPY_TYPES, Datatype, Tensor

_MEMORY_BYTES = 8 << 30
_PROCESSOR_S = 30
_OPEN_FILES = 64


class Report(Struct, frozen=True, kw_only=True):
    """What the inspection found: a signature and certificate, or the check that failed and why."""

    signature: Signature | None = None
    certificate: Certificate | None = None
    failed_check: str | None = None
    message: str | None = None


def smallest_input(spec: TensorSpec) -> Tensor:
    """Make a tensor of zeros (or empty texts) that fits; a variable dimension gets size 1."""
    shape = tuple(1 if size < 0 else size for size in spec.shape)
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, "", object)
    return np.zeros(shape, NUMPY_TYPES[spec.datatype])


def inspect(artifact: bytes) -> Report:
    """Load the artifact, read its signature and run it once on its smallest input."""
    try:
        started = time.perf_counter()
        session = open_session(artifact)
        load_ms = (time.perf_counter() - started) * 1000
        signature = read_signature(session)
        run_ms = _run_once(session, signature)
    except Rejected as refusal:
        return Report(failed_check=refusal.check, message=str(refusal))
    return Report(
        signature=signature,
        certificate=Certificate(
            runtime=runtime_id(), load_ms=round(load_ms, 3), run_ms=round(run_ms, 3)
        ),
    )


def _run_once(session: Session, signature: Signature) -> float:
    inputs = {spec.name: smallest_input(spec) for spec in signature.inputs}
    started = time.perf_counter()
    try:
        session.run(None, inputs)
    except Exception as error:
        raise Rejected("run", "The model fails on its smallest input, all zeros.") from error
    return (time.perf_counter() - started) * 1000


def _limit_self() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_S, _PROCESSOR_S))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _limit_self()
    sys.stdout.buffer.write(msgspec.json.encode(inspect(sys.stdin.buffer.read())))
