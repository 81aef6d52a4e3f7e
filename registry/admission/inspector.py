"""The child process that loads a file nobody trusts yet and tries it.

Reads from standard input one line with the publisher's sample as JSON, then the file; writes to
standard output one line with a `Report` as JSON, then the artifact where it is not the file itself.
It limits itself before it looks at a byte: memory, processor time, open files, no file growth, an
empty folder, so that a hostile file harms this process alone.
"""

import sys
import time
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from registry.admission.graph import read_facts
from registry.admission.report import Report
from registry.admission.samples import Inputs, given_sample, made_samples
from registry.admission.zipmap import Labels, without_zipmap
from registry.apart import end_with_parent, limit_self
from registry.errors import Rejected
from registry.manifest import Certificate, SampleTensor, Signature
from registry.session import Session, open_session, read_signature, runtime_id
from registry.tensors import Tensor, encode_tensors

Sample = tuple[SampleTensor, ...]

# How onnxruntime says that memory ran out; its error has no class of its own.
_OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "size overflowed")


class Trial(Struct, frozen=True):
    """One run that succeeded: how long it took, and if a second one had the same answer."""

    run_ms: float
    is_repeatable: bool


def inspect(artifact: bytes, sample: Sample = (), labels: Labels | None = None) -> Report:
    """Load the artifact, read its signature, and run it on the sample or on made-up inputs."""
    try:
        facts = read_facts(artifact)
        started = time.perf_counter()
        session = open_session(artifact)
        load_ms = (time.perf_counter() - started) * 1000
        signature = read_signature(session, facts.unranked)
        trial = _try_sample(session, signature, sample)
    except Rejected as refusal:
        return Report(failed_check=refusal.check, message=str(refusal))
    is_deterministic = None if trial is None else trial.is_repeatable
    return Report(
        signature=replace(signature, labels=labels or {}),
        certificate=Certificate(
            runtime=runtime_id(),
            load_ms=round(load_ms, 3),
            run_ms=None if trial is None else round(trial.run_ms, 3),
            is_deterministic=False if facts.is_random else is_deterministic,
        ),
    )


def _try_sample(session: Session, signature: Signature, sample: Sample) -> Trial | None:
    if not sample:
        return try_inputs(session, made_samples(signature))
    trial = try_inputs(session, [given_sample(signature, sample)])
    if trial is None:
        raise Rejected("run", "The model fails on the sample that was given with it.")
    return trial


def try_inputs(session: Session, candidates: Iterable[Inputs]) -> Trial | None:
    """Run the model twice on the first inputs that it accepts; None where it accepts none."""
    for inputs in candidates:
        started = time.perf_counter()
        try:
            first = session.run(None, inputs)
            run_ms = (time.perf_counter() - started) * 1000
            return Trial(run_ms, _as_bytes(first) == _as_bytes(session.run(None, inputs)))
        except Exception as error:
            if isinstance(error, MemoryError) or any(t in str(error) for t in _OUT_OF_MEMORY):
                raise Rejected("limits", "The model needs more memory than it may have.") from error
    return None


def _as_bytes(values: Sequence[Tensor]) -> list[bytes]:
    return [encode_tensors({"": value}) for value in values]


def main() -> None:
    """Inspect what standard input holds, within limits."""
    end_with_parent()
    limit_self()
    sample = msgspec.json.decode(sys.stdin.buffer.readline(), type=Sample)
    artifact, labels = without_zipmap(sys.stdin.buffer.read())
    report = inspect(artifact, sample, labels)
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    if labels:
        sys.stdout.buffer.write(artifact)


if __name__ == "__main__":
    main()
