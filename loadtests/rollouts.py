"""Rollouts of a model under load, started in the data directory of its gateway."""

from pathlib import Path

from loadtests.model import MODEL, PROBABILITIES
from loadtests.server import AUTHOR
from registry import rolling_out
from registry.artifacts import Artifacts
from registry.manifest import Draft
from registry.registry import Registry
from registry.rollouts import Guard, GuardKind, Plan, Rollout, Step
from registry.store import open_store

TENTH = 1_000  # points
# All that is counted of a request: once by version, or of two answers to one.
_GUARDS = (
    Guard(kind=GuardKind.ERRORS, margin=2.0),
    Guard(kind=GuardKind.SHIFT, margin=2.0, output=PROBABILITIES),
    Guard(kind=GuardKind.SCORE, margin=0.1, output=PROBABILITIES),
)
_CANARY_GUARDS = (
    *_GUARDS,
    Guard(kind=GuardKind.REFUSALS, margin=2.0),
    Guard(kind=GuardKind.LATENCY, margin=2.0, edge_ms=1_000.0),
)
_SHADOW_GUARDS = (*_GUARDS, Guard(kind=GuardKind.AGREEMENT, margin=0.02))
# What load tests serve has no output that all of these are about.
_PLAIN = _GUARDS[:1]


def start_canary(
    data_dir: Path, model: str, points: int, guards: tuple[Guard, ...] = _PLAIN
) -> Rollout:
    """Let version 2 answer so many callers of version 1, for as long as nobody ends that."""
    return _start(data_dir, model, Plan(challenger=2, guards=guards, steps=(_step(points),)))


def share_with_twin(data_dir: Path) -> None:
    """Publish version 1 of the model once more, and let that answer a tenth of the callers."""
    _publish_twin(data_dir)
    start_canary(data_dir, MODEL, TENTH, _CANARY_GUARDS)


def shadow_with_twin(data_dir: Path) -> None:
    """Publish version 1 of the model once more, and run that beside a tenth of the answers."""
    _publish_twin(data_dir)
    plan = Plan(challenger=2, guards=_SHADOW_GUARDS, shadow=_step(TENTH), steps=(_step(TENTH),))
    _start(data_dir, MODEL, plan)


def _step(points: int) -> Step:
    return Step(points=points, min_s=86_400.0)


def _start(data_dir: Path, model: str, plan: Plan) -> Rollout:
    store = open_store(data_dir)
    try:
        registry = Registry(store, Artifacts(data_dir / "artifacts"))
        edges_us = [1_000_000] * len(plan.guards)
        return rolling_out.start(registry, model, plan, "a load test", AUTHOR, edges_us=edges_us)
    finally:
        store.close()


def _publish_twin(data_dir: Path) -> None:
    store = open_store(data_dir)
    try:
        registry = Registry(store, Artifacts(data_dir / "artifacts"))
        first = registry.version(MODEL, 1)
        manifest = registry.manifest(first)
        draft = Draft(contract=manifest.contract, reference=manifest.reference)
        registry.publish(MODEL, registry.artifacts.read(first.artifact), draft, AUTHOR)
    finally:
        store.close()
