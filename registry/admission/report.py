"""What the inspecting child tells its parent, which need not load a model's runtime to read it."""

from msgspec import Struct

from registry.manifest import Certificate, Signature


class Report(Struct, frozen=True, kw_only=True):
    """What the inspection found: a signature and certificate, or the check that failed and why."""

    signature: Signature | None = None
    certificate: Certificate | None = None
    failed_check: str | None = None
    message: str | None = None
