"""Whether everything that versions consist of is still there, byte for byte."""

from msgspec import Struct

from registry.errors import ArtifactDamaged, ArtifactNotFound
from registry.registry import Registry
from registry.versions import Version


class Flaw(Struct, frozen=True):
    """A part of a version, `artifact` or `manifest`, that cannot be read as it was stored."""

    version: Version
    part: str
    fault: ArtifactDamaged | ArtifactNotFound


class Inspection(Struct, frozen=True, kw_only=True):
    """How many versions were read, and what was wrong with them."""

    versions: int
    flaws: tuple[Flaw, ...]


def inspect_versions(registry: Registry) -> Inspection:
    """Read every artifact and manifest, retired versions included, and check each digest.

    Raises StoreUnavailable where the disk cannot answer.
    """
    with registry.store.snapshot() as view:
        versions = [version for model in view.models() for version in view.versions(model)]
    parts = [(one, part) for one in versions for part in ("artifact", "manifest")]
    found = (_flaw(registry, version, part) for version, part in parts)
    return Inspection(versions=len(versions), flaws=tuple(flaw for flaw in found if flaw))


def _flaw(registry: Registry, version: Version, part: str) -> Flaw | None:
    try:
        registry.artifacts.read(version.artifact if part == "artifact" else version.manifest)
    except (ArtifactDamaged, ArtifactNotFound) as fault:
        return Flaw(version, part, fault)
    return None
