"""Looks at what came of each champion, when it is due, and tells what left the reference.

A look is one transaction: what the detector knows, the blocks that it has looked at, findings and
their records change together, so that a restart goes on as if there had been none.
"""

import time
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.drift.acting import CONTROLLER, Fallbacks
from gateway.drift.telling import records_to_look_at, sentence
from gateway.logs import logger
from gateway.monitor import detector as monitor
from gateway.monitor.detector import Detector, Look, State, read_state, write_state
from gateway.monitor.layout import Layout, from_bytes
from registry.announcing import finding_ended, finding_opened
from registry.drift import tell_of
from registry.drift_policy import DriftPolicy, drift_policy
from registry.findings import Finding, FindingState, feature_name
from registry.manifest import Manifest, RuleKind
from registry.recording import append_record
from registry.records import Kind
from registry.registry import Clock, Registry
from registry.store import Transaction
from registry.times import now
from registry.versions import CHAMPION, Version
from registry.windows import DetectorState

# How soon it is asked again whether enough rows have come.
_AGAIN_S = 10.0
# Detectors that are kept made: one takes some megabytes, and some tens of milliseconds to make.
_MOST_EYES = 8

_Name = tuple[str, int]


class _Eye(Struct, frozen=True):
    """The detector of one version, and the policy that it was made for."""

    policy: DriftPolicy
    layout: Layout
    detector: Detector


class Judge:
    """Looks at all champions of which something came."""

    def __init__(self, registry: Registry, fallbacks: Fallbacks, clock: Clock = now) -> None:
        self._registry = registry
        self._fallbacks = fallbacks
        self._clock = clock
        self._eyes: dict[_Name, _Eye] = {}
        self._due: dict[_Name, float] = {}
        self._generation = -1

    def look_all(self) -> None:
        """Look at each champion that is due; one that fails keeps no other from being looked at."""
        store = self._registry.store
        generation = store.generation()
        if generation != self._generation:  # policies and champions may be others now
            self._due.clear()
            self._generation = generation
        names = store.judged()
        self._eyes = {name: self._eyes[name] for name in names if name in self._eyes}
        for name in names:
            started = time.monotonic()
            if started < self._due.get(name, 0):
                continue
            try:
                wait_s = self.look(*name)
            except Exception as error:  # noqa: BLE001 - the end of this look, and of no other
                logger.error("look_failed", model=name[0], version=name[1], exc_info=error)
                wait_s = _AGAIN_S
            self._due[name] = started + wait_s

    def look(self, model: str, number: int) -> float:
        """Look at a version if it is champion, enough has come and it is time.

        Returns in how many seconds it may be looked at again. Raises RegistryError.
        """
        at = self._clock()
        with self._registry.store.write() as tx:
            version = tx.version(model, number)
            if version is None or tx.aliases(model).get(CHAMPION) != number:
                self._let_go(tx, model, number, at)
                return 0.0
            policy = drift_policy(tx, model)
            kept = tx.detector(model, number)
            if kept is None:
                begun = DetectorState(state=write_state(State()), looked=at)
                tx.keep_detector(model, number, begun)
                return policy.look_s
            elapsed_s = (at - kept.looked).total_seconds()
            if 0 <= elapsed_s < policy.look_s:
                return policy.look_s - elapsed_s
            return self._judge(tx, version, policy, kept, at)

    def _judge(
        self,
        tx: Transaction,
        version: Version,
        policy: DriftPolicy,
        kept: DetectorState,
        at: datetime,
    ) -> float:
        model, number = version.model, version.number
        eye = self._eye(version, policy)
        found = [one.counts for one in tx.blocks(model, number)]
        # Blocks of another layout are those of an earlier program.
        blocks = [from_bytes(counts) for counts in found if eye.layout.fits(counts)]
        if sum(block[0] for block in blocks) < policy.least_rows:
            return min(_AGAIN_S, policy.look_s)
        before = _read(kept)
        look = eye.detector.look(before, blocks, kept.looked, at)
        tx.keep_detector(model, number, DetectorState(state=write_state(look.state), looked=at))
        tx.drop_blocks(model, number)
        self._tell(tx, version, look, at, is_anew=look.state.key != before.key)
        self._fallbacks.settle(tx, model)
        return policy.look_s

    def _eye(self, version: Version, policy: DriftPolicy) -> _Eye:
        name = (version.model, version.number)
        eye = self._eyes.get(name)
        if eye is None or eye.policy != policy:
            eye = self._eyes[name] = _make_eye(self._registry.manifest(version), policy)
            if len(self._eyes) > _MOST_EYES:
                del self._eyes[next(iter(self._eyes))]
        return eye

    def _tell(
        self, tx: Transaction, version: Version, look: Look, at: datetime, *, is_anew: bool
    ) -> None:
        """End what is open no more, and add what is new."""
        still = {(one.side, one.input, one.column) for one in look.state.open.values()}
        for finding in _open(tx, version.model, version.number):
            if (finding.side, finding.input, finding.column) not in still:
                back = f"{finding.statistic} is as expected again"
                self._end(tx, finding, at, "it is looked at in another way" if is_anew else back)
        for told in look.findings:
            if not told.has_ended:
                self._add(tx, version, told)

    def _add(self, tx: Transaction, version: Version, told: monitor.Finding) -> None:
        finding = Finding(
            id="",
            model=version.model,
            version=version.number,
            side=told.side,
            input=told.input,
            column=told.column,
            statistic=told.statistic,
            expected=told.expected,
            observed=told.observed,
            since=told.since,
            at=told.at,
            rows=told.rows,
            evidence=told.e_value,
            records=records_to_look_at(tx, version, told.input, told.since, told.at),
        )
        record = append_record(
            tx, "found", CONTROLLER, told.at, kind=Kind.FINDING, version=version,
            subject=finding.feature, reason=sentence(finding),
        )  # fmt: skip
        finding = replace(finding, id=record.id)
        tx.add_finding(finding)
        tell_of(tx, finding, lambda: finding_opened(tx, record, finding))
        logger.warning("finding", record_id=record.id, model=version.model, reason=record.reason)

    def _end(self, tx: Transaction, finding: Finding, at: datetime, why: str) -> None:
        record = append_record(
            tx, "ended", CONTROLLER, at, kind=Kind.FINDING,
            version=tx.version(finding.model, finding.version), subject=finding.feature,
            reason=f"{why} (finding {finding.id})",
        )  # fmt: skip
        by = CONTROLLER.principal
        ended = replace(finding, state=FindingState.ENDED, ended=at, by=by, reason=why)
        tx.change_finding(ended)
        tell_of(tx, ended, lambda: finding_ended(record, ended))

    def _let_go(self, tx: Transaction, model: str, number: int, at: datetime) -> None:
        """Judge a version no more that is champion no more."""
        for finding in _open(tx, model, number):
            self._end(tx, finding, at, f"version {number} is champion no more")
        tx.drop_detector(model, number)
        tx.drop_blocks(model, number)
        self._fallbacks.settle(tx, model)


def _make_eye(manifest: Manifest, policy: DriftPolicy) -> _Eye:
    reference = manifest.reference
    assert reference is not None  # or nothing of it would be counted
    layout = Layout.of(reference)
    detector = Detector(
        layout,
        average_run_length=policy.run_length,
        tolerance=policy.tolerance,
        tolerances={
            place: policy.tolerance_of(feature_name(feature.input, feature.column))
            for place, feature in enumerate(layout.features)
        },
        missing_rates={
            (rule.input, rule.column): rule.high
            for rule in manifest.contract.rules
            if rule.kind is RuleKind.MISSING_RATE and rule.high is not None
        },
    )
    return _Eye(policy, layout, detector)


def _open(tx: Transaction, model: str, number: int) -> list[Finding]:
    return [one for one in tx.findings(model, only_open=True) if one.version == number]


def _read(kept: DetectorState) -> State:
    """Read what a detector knew; one of another program begins anew."""
    try:
        return read_state(kept.state)
    except msgspec.ValidationError:
        return State()
