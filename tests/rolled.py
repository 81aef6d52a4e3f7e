"""Rollouts for tests: plans, evidence as the controller would find it, versions made at once."""

from datetime import datetime, timedelta
from typing import Any

from registry.datatypes import Datatype
from registry.manifest import (
    Certificate,
    Contract,
    Lineage,
    Manifest,
    Signature,
    TensorSpec,
    write_manifest,
)
from registry.recording import append_record
from registry.registry import Registry
from registry.rollouts import Assessment, Guard, GuardKind, Judgement, Plan, Rollout, Step, Verdict
from registry.times import now
from registry.versions import Version, VersionState
from tests.builders import AUTHOR

ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 3)),),
    outputs=(
        TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1, 1)),
        TensorSpec(name="p", datatype=Datatype.FP32, shape=(-1, 2)),
        TensorSpec(name="label", datatype=Datatype.BYTES, shape=(-1,)),
        TensorSpec(name="open", datatype=Datatype.FP32, shape=(-1, -1)),
        TensorSpec(name="cube", datatype=Datatype.FP32, shape=(-1, 2, 2)),
    ),
)


def step(points: int = 1_000) -> Step:
    return Step(points=points, min_requests=100, min_s=0.0)


def make_plan(challenger: int = 2, **fields: Any) -> Plan:
    """Make a plan of two steps and a guard on errors, but for what is said otherwise."""
    defaults: dict[str, Any] = {"guards": (ERRORS,), "steps": (step(1_000), step(2_500))}
    return Plan(challenger=challenger, **(defaults | fields))


def make_manifest(signature: Signature = SIGNATURE, **fields: Any) -> Manifest:
    defaults: dict[str, Any] = {
        "artifact": "sha256:a", "contract": Contract(), "reference": None, "lineage": Lineage(),
        "description": "", "parity": None,
        "certificate": Certificate(runtime="none", load_ms=0.0, run_ms=None),
    }  # fmt: skip
    return Manifest(signature=signature, **(defaults | fields))


def add_version(registry: Registry, model: str, manifest: Manifest | None = None) -> Version:
    """Add a version that nothing was admitted for: there is no model to run."""
    digest = registry.artifacts.put(write_manifest(manifest or make_manifest()))
    with registry.store.write() as tx:
        version = Version(
            model=model,
            number=len(tx.versions(model)) + 1,
            artifact=registry.artifacts.put(b"no model"),
            manifest=digest,
            state=VersionState.PUBLISHED,
            author=AUTHOR.principal,
            created=now(),
        )
        tx.add_version(version)
        append_record(tx, "publish", AUTHOR, version.created, version=version)
    return version


def assess(
    rollout: Rollout,
    verdict: Verdict = Verdict.NON_INFERIOR,
    *,
    at: datetime | None = None,
    **fields: Any,
) -> Assessment:
    """Judge the present stage of a rollout by as many requests as it asks for."""
    step = rollout.plan.stages[rollout.stage]
    requests = fields.pop("requests", step.min_requests)
    judgements = tuple(
        Judgement(
            guard=guard, verdict=verdict, challenger=requests, champion=9 * requests,
            events=(3, 30), evidence_worse=-1.5, evidence_fine=4.25,
        )
        for guard in rollout.plan.guards
    )  # fmt: skip
    defaults: dict[str, Any] = {
        "at": at or rollout.entered + timedelta(seconds=step.min_s), "stage": rollout.stage,
        "verdict": verdict, "requests": requests, "judgements": judgements,
    }  # fmt: skip
    return Assessment(**(defaults | fields))
