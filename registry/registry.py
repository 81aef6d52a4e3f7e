"""The registry's verbs. Each is one decision and one transaction that contains its audit record,
and what people are told of it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from registry import lifecycle
from registry.admission.admit import admit
from registry.alias_moves import move_alias
from registry.announcing import announce, version_published, version_retired
from registry.artifacts import Artifacts, digest_of
from registry.coherence import check_reference
from registry.errors import AliasNotFound, KeyNotFound, ModelNotFound, VersionNotFound
from registry.manifest import Draft, Manifest, write_manifest
from registry.names import (
    check_alias_name,
    check_label,
    check_model_name,
    check_reason,
    refuse_champion,
)
from registry.promotion_case import Case, consider, pass_alone, promotion_policy
from registry.promotion_evidence import Check, TruthScore
from registry.promotion_news import promotion_forced
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.rollout_history import refuse_challenger
from registry.rules import check_rules
from registry.store import Store, Transaction
from registry.times import now
from registry.versions import CHAMPION, AliasCause, AliasChange, Version, VersionState
from registry.workers import Key

Clock = Callable[[], datetime]
# Scores a version of a model, by its number, against the ground truth that has matured.
TruthSource = Callable[["Registry", str, int], Sequence[TruthScore]]


def no_truth(registry: "Registry", model: str, number: int) -> Sequence[TruthScore]:
    """Say that nothing was scored against ground truth."""
    return ()


class LiveVersion(Struct, frozen=True, kw_only=True):
    """What an alias named at a time, and the change that made it so."""

    version: int | None
    change: AliasChange | None


class Registry:
    """Publishes, promotes, rolls back and ends versions, over a store and a folder of artifacts.

    `truth` scores the answers of a version, where a promotion asks for it.
    """

    def __init__(
        self,
        store: Store,
        artifacts: Artifacts,
        clock: Clock = now,
        truth: TruthSource = no_truth,
    ) -> None:
        self.store = store
        self.artifacts = artifacts
        self.clock = clock
        self.truth = truth

    def publish(self, model: str, artifact: bytes, draft: Draft, author: Author) -> Version:
        """Make an admitted file the next version of a model; it is not live until promoted.

        Raises Rejected with the check that the file, its contract or its reference failed, and
        InvalidRequest.
        """
        check_model_name(model)
        admission = admit(artifact, draft.sample)
        if draft.reference is not None:
            check_reference(admission.signature, draft.reference)
        check_rules(admission.signature, draft.contract, draft.reference)
        is_changed = admission.artifact is not artifact
        manifest = Manifest(
            artifact=self.artifacts.put(admission.artifact),
            signature=admission.signature,
            contract=draft.contract,
            reference=draft.reference,
            lineage=draft.lineage,
            description=draft.description,
            parity=draft.parity,
            certificate=admission.certificate,
            sample=draft.sample,
            original=digest_of(artifact) if is_changed else None,
        )
        manifest_digest = self.artifacts.put(write_manifest(manifest))
        with self.store.write() as tx:
            version = Version(
                model=model,
                number=len(tx.versions(model)) + 1,
                artifact=manifest.artifact,
                manifest=manifest_digest,
                state=VersionState.PUBLISHED,
                author=author.principal,
                created=self.clock(),
            )
            tx.add_version(version)
            record = append_record(tx, "publish", author, version.created, version=version)
            announce(tx, version_published(record))
        return version

    def promote(
        self, model: str, number: int, reason: str, author: Author, *, by_force: bool = False
    ) -> AliasChange:
        """Make a version the champion now, where its policy lets one person; by force past that.

        The record names what force passed over. Rollouts of the model end: that of the version as
        promoted, others as aborted, since they compare with another champion. Raises
        AlreadyChampion, VersionRetired, VersionNotFound, PromotionHeld, ApprovalNeeded and
        ForceNotAllowed.
        """
        check_reason(reason)
        scores = self.scores(model, number)
        with self.store.write() as tx:
            case = self.consider(tx, model, number, scores)
            return self.promote_alone(tx, case, reason, author, by_force=by_force)

    def promote_alone(
        self, tx: Transaction, case: Case, reason: str, author: Author, *, by_force: bool = False
    ) -> AliasChange:
        """Promote as `promote` does, as part of a transaction that decides on it."""
        skipped = pass_alone(case, author.roles, by_force=by_force)
        return self.make_champion(tx, case, reason, author, skipped=skipped)

    def scores(self, model: str, number: int) -> Sequence[TruthScore]:
        """Score a version, where the policy asks for metrics.

        It can take seconds, which no transaction may: ask before it begins.
        """
        if not promotion_policy(self.store, model).truth:
            return ()
        return self.truth(self, model, number)

    def consider(self, view: Reader, model: str, number: int, scores: Sequence[TruthScore]) -> Case:
        """Gather what a promotion would stand on now.

        Raises VersionNotFound, VersionRetired and AlreadyChampion.
        """
        version = _version(view, model, number)
        return consider(view, version, self.manifest, scores)

    def make_champion(
        self,
        tx: Transaction,
        case: Case,
        reason: str,
        author: Author,
        *,
        promotion: str | None = None,
        skipped: Sequence[Check] = (),
    ) -> AliasChange:
        """Move the champion to the version of a case, for one who has found that it may be.

        The record names the request that was approved, or what force passed over; of that everybody
        is told.
        """
        change = move_alias(
            tx,
            AliasCause.PROMOTE,
            author,
            self.clock(),
            model=case.version.model,
            alias=CHAMPION,
            version=case.version,
            reason=reason,
            subject=promotion or " ".join(check.name for check in skipped) or None,
        )
        if skipped:
            announce(tx, promotion_forced(tx, case.version, change, skipped))
        return change

    def roll_back(
        self, model: str, reason: str, author: Author, number: int | None = None
    ) -> AliasChange:
        """Move the champion back to an earlier one, at once; rollouts of the model are aborted.

        Raises NothingToRollBackTo.
        """
        check_reason(reason)
        with self.store.write() as tx:
            versions = _versions(tx, model)
            retired = frozenset(v.number for v in versions if v.state is VersionState.RETIRED)
            history = [c for c in tx.alias_changes(model) if c.alias == CHAMPION]
            target = lifecycle.rollback_target(model, history, retired, number)
            return move_alias(
                tx,
                AliasCause.ROLL_BACK,
                author,
                self.clock(),
                model=model,
                alias=CHAMPION,
                version=_version(tx, model, target),
                reason=reason,
            )

    def point_alias(
        self, model: str, alias: str, number: int, reason: str, author: Author
    ) -> AliasChange:
        """Let an alias of the user's own name a version; `champion` moves by promotion alone."""
        check_alias_name(alias)
        check_reason(reason)
        with self.store.write() as tx:
            version = _version(tx, model, number)
            lifecycle.advance(version, lifecycle.Step.POINT)
            return move_alias(
                tx,
                AliasCause.POINT,
                author,
                self.clock(),
                model=model,
                alias=alias,
                version=version,
                reason=reason,
            )

    def remove_alias(self, model: str, alias: str, reason: str, author: Author) -> AliasChange:
        """Let an alias name nothing any more. Raises AliasNotFound."""
        check_reason(reason)
        refuse_champion(alias)
        with self.store.write() as tx:
            _versions(tx, model)
            if alias not in tx.aliases(model):
                raise AliasNotFound(model, alias)
            return move_alias(
                tx,
                AliasCause.REMOVE,
                author,
                self.clock(),
                model=model,
                alias=alias,
                version=None,
                reason=reason,
            )

    def retire(self, model: str, number: int, reason: str, author: Author) -> Version:
        """End a version that no alias names and no open rollout is of.

        Raises VersionInUse, VersionInRollout and VersionRetired.
        """
        check_reason(reason)
        with self.store.write() as tx:
            version = _version(tx, model, number)
            refuse_challenger(tx, version)
            names = [alias for alias, named in tx.aliases(model).items() if named == number]
            state = lifecycle.advance(version, lifecycle.Step.RETIRE, names)
            tx.set_state(model, number, state)
            record = append_record(
                tx, "retire", author, self.clock(), version=version, reason=reason
            )
            announce(tx, version_retired(record))
            return msgspec.structs.replace(version, state=state)

    def live_at(self, model: str, at: datetime, alias: str = CHAMPION) -> LiveVersion:
        """Say what an alias named at a time, and who had set it and why."""
        with self.store.snapshot() as view:
            _versions(view, model)
            changes = [
                change
                for change in view.alias_changes(model)
                if change.alias == alias and change.at <= at
            ]
        if not changes:
            return LiveVersion(version=None, change=None)
        return LiveVersion(version=changes[-1].version, change=changes[-1])

    def versions(self, model: str) -> list[Version]:
        """Return a model's versions by number. Raises ModelNotFound."""
        return _versions(self.store, model)

    def version(self, model: str, number: int) -> Version:
        """Return one version. Raises ModelNotFound and VersionNotFound."""
        return _version(self.store, model, number)

    def manifest(self, version: Version) -> Manifest:
        """Read the manifest of a version, checked against its digest."""
        return msgspec.json.decode(self.artifacts.read(version.manifest), type=Manifest)

    def add_key(self, key: Key, author: Author) -> None:
        """Store a new key. Raises InvalidRequest for a name that cannot be recorded."""
        check_label("name", key.name)
        if key.owner is not None:
            check_label("owner", key.owner)
        with self.store.write() as tx:
            tx.add_key(key)
            reason = f"{key.name}: {', '.join(key.roles)}"
            append_record(tx, "key.create", author, key.created, subject=key.id, reason=reason)

    def revoke_key(self, key_id: str, author: Author) -> Key:
        """End a key; revoking it again changes nothing. Raises KeyNotFound."""
        with self.store.write() as tx:
            key = next((key for key in tx.api_keys() if key.id == key_id), None)
            if key is None:
                raise KeyNotFound(key_id)
            if key.revoked is not None:
                return key
            at = self.clock()
            tx.revoke_key(key_id, at)
            append_record(tx, "key.revoke", author, at, subject=key_id)
            return msgspec.structs.replace(key, revoked=at)


def _versions(view: Reader, model: str) -> list[Version]:
    versions = view.versions(model)
    if not versions:
        raise ModelNotFound(model)
    return versions


def _version(view: Reader, model: str, number: int) -> Version:
    version = view.version(model, number)
    if version is None:
        _versions(view, model)
        raise VersionNotFound(model, number)
    return version
