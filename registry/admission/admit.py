"""Admission: a file is inspected in a limited child process before it may be a version."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from registry.admission.report import Report
from registry.apart import Died, TookTooLong, run_apart
from registry.errors import Rejected
from registry.manifest import Certificate, SampleTensor, Signature

MAX_ARTIFACT_BYTES = 512 << 20
TIMEOUT_S = 60.0


class Admission(Struct, frozen=True, kw_only=True):
    """A file that may become a version: the artifact to serve, and what was found of it.

    The artifact is the file itself, but for outputs that are maps: see `zipmap`.
    """

    artifact: bytes
    signature: Signature
    certificate: Certificate


def admit(
    content: bytes, sample: Sequence[SampleTensor] = (), *, timeout_s: float = TIMEOUT_S
) -> Admission:
    """Find the artifact, signature and certificate of a file that may become a version.

    The file is loaded and run in a child process with limited memory and time; whatever it does
    there, this process goes on. It runs on the sample that its publisher gives, or else on inputs
    made from its signature; that it runs on none of those is no fault, and stands in the
    certificate.

    Raises Rejected with the failed check: `size`, `external`, `load`, `signature`, `sample`, `run`
    (fails on the sample given) or `limits`. Raises StoreUnavailable where the system starts no
    process.
    """
    if len(content) > MAX_ARTIFACT_BYTES:
        raise Rejected("size", f"The file is larger than {MAX_ARTIFACT_BYTES >> 20} MiB.")
    line, _, changed = _inspect(content, sample, timeout_s).partition(b"\n")
    report = msgspec.json.decode(line, type=Report)
    if report.signature is None or report.certificate is None:
        raise Rejected(report.failed_check or "load", report.message or "The file was refused.")
    return Admission(
        artifact=changed or content, signature=report.signature, certificate=report.certificate
    )


def _inspect(content: bytes, sample: Sequence[SampleTensor], timeout_s: float) -> bytes:
    given = msgspec.json.encode(sample) + b"\n" + content
    try:
        return run_apart("registry.admission.inspector", given, timeout_s)
    except TookTooLong:
        raise Rejected("limits", f"The model ran for more than {timeout_s:g} s.") from None
    except Died:
        raise Rejected(
            "limits", "The model ended the process that inspected it, or needed too much of it."
        ) from None
