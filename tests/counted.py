"""Models with a reference, and traffic that was counted as workers count it."""

from datetime import datetime
from uuid import uuid4

import numpy as np

from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout, to_bytes
from registry.manifest import Draft
from registry.records import Lane
from registry.reference import derive_reference
from registry.registry import Registry
from registry.tensors import Tensor
from registry.times import to_us
from registry.versions import Version
from registry.windows import LaneCounts, WorkerCounts
from tests.builders import linear_model, publish

COLUMNS = 3
ROWS = 20_000


def normal(rows: int, seed: int, columns: int = COLUMNS) -> Tensor:
    """Draw rows [rows, columns] that are normally distributed."""
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def publish_watched(registry: Registry, model: str = "sum", weight: float = 1.0) -> Version:
    """Publish a champion whose input `x` and output `y` have a reference."""
    x, held_out = normal(ROWS, 1), normal(ROWS, 2)
    answers = {"y": held_out.sum(axis=1, keepdims=True) * np.float32(weight)}
    draft = Draft(reference=derive_reference({"x": x}, outputs=answers))
    return publish(registry, model, linear_model(weight), draft)


def let_come(
    registry: Registry, version: Version, x: Tensor, at: datetime, lane: Lane = Lane.CHAMPION
) -> None:
    """Let rows be answered and counted at a time, by a worker of their own."""
    manifest = registry.manifest(version)
    assert manifest.reference is not None
    folder = Folder(Layout.of(manifest.reference), manifest.reference, manifest.signature)
    folder.add({"x": x}, {"y": x.sum(axis=1, keepdims=True)})
    folder.fold()
    counts = to_bytes(folder.counts.tolist())
    counted = LaneCounts(version.model, version.number, lane, version.manifest, counts)
    registry.store.take([WorkerCounts(uuid4().hex, to_us(at), (counted,))])
