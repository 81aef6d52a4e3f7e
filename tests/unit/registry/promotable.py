"""Versions, people and rollouts to decide on, made without running any model."""

from datetime import UTC, datetime, timedelta
from typing import Any

from registry import rolling_out
from registry.artifacts import Artifacts
from registry.datatypes import Datatype
from registry.entry import decode_record
from registry.findings import Finding
from registry.manifest import (
    Certificate,
    Contract,
    Lineage,
    Manifest,
    Signature,
    TensorSpec,
    write_manifest,
)
from registry.recording import Author, append_record
from registry.records import AuditRecord, Kind
from registry.registry import Registry
from registry.rollouts import (
    Assessment,
    Guard,
    GuardKind,
    Judgement,
    Plan,
    Rollout,
    Step,
    Verdict,
)
from registry.store import Store
from registry.versions import Version, VersionState
from registry.workers import Key

MODEL = "flights"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
ROLES = frozenset({"admin", "approver", "deployer"})
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 3)),),
    outputs=(TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1, 1)),),
)
CERTIFICATE = Certificate(
    runtime="onnxruntime 1.23", load_ms=2.0, run_ms=0.5, is_deterministic=True
)
ERRORS = Guard(kind=GuardKind.ERRORS, margin=1.5)
PLAN = Plan(
    challenger=2,
    guards=(ERRORS,),
    shadow=Step(points=10_000, min_requests=100, min_s=0),
    steps=(Step(points=100, min_requests=50, min_s=0), Step(points=500, min_requests=50, min_s=0)),
)
# Who asks and decides: `ann` has two keys.
ANN = Author(principal="key-ann", roles=frozenset({"deployer"}))
ANN_AGAIN = Author(principal="key-ann-2", roles=frozenset({"approver"}))
BEN = Author(principal="key-ben", roles=frozenset({"approver", "deployer"}))
CARL = Author(principal="local:carl")
OWNERS = {"key-ann": "ann", "key-ann-2": "ann", "key-ben": None}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at

    def pass_hours(self, hours: float) -> None:
        self.at += timedelta(hours=hours)


def make_registry(store: Store, artifacts: Artifacts, clock: Clock, *, versions: int) -> Registry:
    """Return a registry with a model, so many versions of it, and the keys of Ann and Ben."""
    registry = Registry(store, artifacts, clock)
    for number in range(1, versions + 1):
        add_version(registry, number)
    for key_id, owner in OWNERS.items():
        registry.add_key(
            Key(
                id=key_id, name=key_id, digest=key_id.encode(), roles=("approver", "deployer"),
                author="a test", created=NOON, expires=None, revoked=None, owner=owner,
            ),
            CARL,
        )  # fmt: skip
    return registry


def add_version(
    registry: Registry, number: int, certificate: Certificate = CERTIFICATE, model: str = MODEL
) -> Version:
    """Keep a version as admission would have left it."""
    manifest = Manifest(
        artifact=registry.artifacts.put(f"{model} {number}".encode()),
        signature=SIGNATURE,
        contract=Contract(),
        reference=None,
        lineage=Lineage(),
        description=f"version {number}",
        parity=None,
        certificate=certificate,
    )
    version = Version(
        model=model,
        number=number,
        artifact=manifest.artifact,
        manifest=registry.artifacts.put(write_manifest(manifest)),
        state=VersionState.PUBLISHED,
        author="a test",
        created=NOON,
    )
    with registry.store.write() as tx:
        tx.add_version(version)
        append_record(tx, "publish", CARL, NOON, version=version)
    return version


def assess(
    rollout: Rollout, verdict: Verdict = Verdict.NON_INFERIOR, requests: int | None = None
) -> Assessment:
    """Judge the present stage of a rollout, on as many requests as it asks for."""
    step = rollout.plan.stages[rollout.stage]
    count = step.min_requests if requests is None else requests
    judgements = tuple(
        Judgement(guard=guard, verdict=verdict, challenger=count, champion=count)
        for guard in rollout.plan.guards
    )
    return Assessment(
        at=rollout.entered + timedelta(seconds=step.min_s),
        stage=rollout.stage,
        verdict=verdict,
        requests=count,
        judgements=judgements,
    )


def start_rollout(registry: Registry, plan: Plan = PLAN, author: Author = ANN) -> Rollout:
    edges_us = [0 for _ in plan.guards]
    return rolling_out.start(registry, MODEL, plan, "a better one", author, edges_us=edges_us)


def pass_rollout(registry: Registry, plan: Plan = PLAN, author: Author = ANN) -> Rollout:
    """Start a rollout, and let it pass each of its stages."""
    rollout = start_rollout(registry, plan, author)
    for _ in plan.stages:
        rollout = rolling_out.advance(registry, rollout.id, assess(rollout), CARL)
    return rollout


def find(registry: Registry, version: int) -> Finding:
    """Let something be found in the traffic of a version."""
    at = registry.clock()
    with registry.store.write() as tx:
        record = append_record(
            tx, "found", CARL, at, kind=Kind.FINDING, version=tx.version(MODEL, version)
        )
        finding = Finding(
            id=record.id, model=MODEL, version=version, side="input", input="x", column=0,
            statistic="missing", expected=0.01, observed=0.2, since=at, at=at, rows=750,
            evidence=1e9,
        )  # fmt: skip
        tx.add_finding(finding)
    return finding


def last_records(registry: Registry, limit: int = 1) -> list[AuditRecord]:
    """Return the last records of the log, the last one first."""
    size = registry.store.tree_size()
    return [decode_record(leaf) for leaf in reversed(registry.store.leaves(size - limit, size))]


def state_of(registry: Registry) -> tuple[Any, ...]:
    """Return all that a refused request must leave as it was."""
    store = registry.store
    return (
        store.alias_changes(MODEL),
        store.promotions(),
        store.rollouts(),
        store.settings(),
        store.tree_size(),
        store.generation(),
    )
