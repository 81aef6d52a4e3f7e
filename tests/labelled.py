"""Answers and their labels as they come to a registry, made without a gateway."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from registry.audit.query import AuditTrail
from registry.entry import Entry, Payload, commit, encode_record, new_record_id, new_salt
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.registry import Registry
from registry.tensors import Tensor, encode_tensors
from registry.times import to_us
from registry.truth import FeedbackTaken, GivenLabel, give_feedback
from registry.versions import Version
from tests.builders import AUTHOR


def answer(
    version: Version,
    outputs: Mapping[str, Tensor],
    at: datetime,
    *,
    inputs: Mapping[str, Tensor] | None = None,
    subject: str | None = None,
    **fields: Any,
) -> tuple[AuditRecord, Payload]:
    """Make the record of an answer given at a time, and its payload."""
    time_ns, salt = to_us(at) * 1000, new_salt()
    given, said = encode_tensors(inputs or {}), encode_tensors(outputs)
    defaults = {
        "kind": Kind.INFERENCE, "outcome": Outcome.ANSWERED, "lane": Lane.CHAMPION,
        "rows": len(next(iter(outputs.values()))),
    }  # fmt: skip
    record = AuditRecord(
        id=new_record_id(time_ns), time=str(time_ns), model=version.model, version=version.number,
        digest=version.artifact, manifest=version.manifest, input=commit(salt, given),
        output=commit(salt, said), **(defaults | fields),
    )  # fmt: skip
    return record, Payload(salt, given, said, subject)


def keep(registry: Registry, answers: Sequence[tuple[AuditRecord, Payload | None]]) -> list[str]:
    """Put answers into the store, and return their ids."""
    entries = [Entry(encode_record(record), payload) for record, payload in answers]
    registry.store.integrate(answers[0][0].id, 0, 1, entries)
    return [record.id for record, _ in answers]


def say(probability: float) -> dict[str, Tensor]:
    """What a version of two classes answers to one row."""
    return {"y": np.array([[probability]], np.float32)}


def tell(registry: Registry, data_dir: Path, model: str, *labels: tuple[Any, ...]) -> FeedbackTaken:
    """Give labels as one batch: record id, value, and row and slices where they matter."""
    given = [GivenLabel(one[0], one[1], *one[2:]) for one in labels]
    trail = AuditTrail(registry.store, data_dir / "journal")
    return give_feedback(registry, trail, model, given, AUTHOR)
