"""Drift policies and findings: what is set, what is open, and how a person closes a finding.

Each verb is one transaction that contains its audit record. Workers and the controller obey what is
set without a restart.
"""

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from registry import service
from registry.announcing import announce, finding_ended
from registry.drift_policy import DriftAction, DriftPolicy, check_drift_policy, drift_policy
from registry.errors import FindingNotFound, FindingNotOpen
from registry.events import Event
from registry.findings import Finding, FindingState, feature_name
from registry.manifest import Manifest
from registry.names import check_reason
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.records import Kind
from registry.registry import Registry
from registry.store import Transaction
from registry.times import now
from registry.versions import VersionState
from registry.workers import SettingName


class Fallback(Struct, frozen=True, kw_only=True):
    """Which version answers in the place of which champion."""

    champion: int
    version: int


def set_drift_policy(registry: Registry, model: str, policy: DriftPolicy, author: Author) -> None:
    """Set what is done where the traffic of a model leaves its reference.

    Raises ModelNotFound, and InvalidRequest for a policy that cannot be obeyed.
    """
    versions = [one for one in registry.versions(model) if one.state is not VersionState.RETIRED]
    known = {name for one in versions for name in feature_names(registry.manifest(one))}
    check_drift_policy(policy, known)
    value = None if policy == DriftPolicy() else msgspec.json.encode(policy).decode()
    service.change_setting(registry, SettingName.DRIFT, model, lambda _: value, author)


def findings(registry: Registry, model: str) -> list[Finding]:
    """Return the findings of a model, newest first. Raises ModelNotFound."""
    registry.versions(model)
    return registry.store.findings(model)


def close_finding(
    registry: Registry, model: str, finding_id: str, reason: str, author: Author
) -> Finding:
    """End what a finding does; it is told anew only once its evidence has fallen and risen again.

    Raises FindingNotFound, FindingNotOpen and InvalidRequest.
    """
    check_reason(reason)
    with registry.store.write() as tx:
        found = next((one for one in tx.findings(model) if one.id == finding_id), None)
        if found is None:
            raise FindingNotFound(finding_id)
        if found.state is not FindingState.OPEN:
            raise FindingNotOpen(finding_id)
        at = now()
        closed = replace(
            found, state=FindingState.CLOSED, ended=at, by=author.principal, reason=reason
        )
        tx.change_finding(closed)
        record = append_record(
            tx, "closed", author, at, kind=Kind.FINDING,
            version=tx.version(model, found.version), subject=found.feature,
            reason=f"{reason} (finding {finding_id})",
        )  # fmt: skip
        tell_of(tx, found, lambda: finding_ended(record, closed))
    return closed


def tell_of(tx: Transaction, finding: Finding, make: Callable[[], Event]) -> None:
    """Let people know of what became of a finding, where the policy does not only observe."""
    action = drift_policy(tx, finding.model).action_of(finding.feature)
    if action is not DriftAction.OBSERVE:
        announce(tx, make())


def feature_names(manifest: Manifest) -> Iterator[str]:
    """Name all that a policy may set apart: inputs, outputs, and their columns."""
    signature, reference = manifest.signature, manifest.reference
    yield from (spec.name for spec in (*signature.inputs, *signature.outputs))
    if reference is not None:
        for one in (*reference.features, *reference.outputs):
            yield feature_name(one.input, one.column)
        if reference.joint is not None:
            yield feature_name("", None)


def fallbacks(view: Reader) -> dict[str, Fallback]:
    """Return what answers in the place of champions, by model."""
    return {
        model: msgspec.json.decode(value, type=Fallback)
        for model, value in service.values(view, SettingName.FALLBACK).items()
        if model is not None
    }
