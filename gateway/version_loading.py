"""Makes a stored version one that serves: read, checked and warmed, and told what it keeps."""

from datetime import datetime

from msgspec.structs import replace

from gateway.contract import Enforcement, compile_contract, compile_outputs
from gateway.keeping import resolve_policy
from gateway.leaves import AnswerLeaves
from gateway.protocol.reader import RequestReader
from gateway.roster import ServedVersion
from gateway.runtime import Runner, Watchdog
from registry.lifecycle import warm_up_ends
from registry.payload_policy import PayloadPolicy
from registry.registry import Registry
from registry.rollouts import Rollout
from registry.vault import Vault
from registry.versions import Version


def load_version(
    registry: Registry, version: Version, named: datetime | None, watchdog: Watchdog
) -> ServedVersion:
    """Load and warm a version that was first named at a time.

    Raises RegistryError and GatewayError for one that cannot be loaded.
    """
    manifest = registry.manifest(version)
    runner = Runner(
        model=version.model,
        version=version.number,
        artifact=registry.artifacts.read(version.artifact),
        signature=manifest.signature,
        watchdog=watchdog,
        sample=manifest.sample,
    )
    return ServedVersion(
        model=version.model,
        number=version.number,
        artifact=version.artifact,
        manifest=version.manifest,
        signature=manifest.signature,
        reader=RequestReader(manifest.signature),
        checker=compile_contract(manifest.signature, manifest.contract, manifest.reference),
        outputs=(
            compile_outputs(manifest.signature, manifest.contract)
            if manifest.contract.outputs
            else None
        ),
        enforcement=Enforcement(manifest.contract, warm_up_ends(manifest.contract, named)),
        leaves=AnswerLeaves(
            model=version.model,
            version=version.number,
            digest=version.artifact,
            manifest=version.manifest,
        ),
        runner=runner,
        reference=manifest.reference,
    )


def keep_by(policy: PayloadPolicy, served: ServedVersion, vault: Vault) -> ServedVersion:
    """Return a version that keeps of its payloads what a policy says."""
    keeping = resolve_policy(policy, served.signature, vault)
    if keeping == served.keeping:
        return served
    reduced = () if keeping is None else keeping.reduced
    return replace(served, keeping=keeping, leaves=_leaves(served, reduced))


def answering_for(rollout: Rollout, served: ServedVersion) -> ServedVersion:
    """Return a version whose answers name the rollout that they are part of."""
    reduced = () if served.keeping is None else served.keeping.reduced
    return replace(served, leaves=_leaves(served, reduced, rollout.id))


def _leaves(
    served: ServedVersion, reduced: tuple[str, ...], rollout: str | None = None
) -> AnswerLeaves:
    return AnswerLeaves(
        model=served.model,
        version=served.number,
        digest=served.artifact,
        manifest=served.manifest,
        reduced=reduced,
        rollout=rollout,
    )
