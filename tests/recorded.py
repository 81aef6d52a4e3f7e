"""Records of inferences as a gateway leaves them, made without one."""

from collections.abc import Mapping

import numpy as np

from registry.audit.replay import Engine, Why
from registry.entry import Entry, Payload, commit, encode_record, new_record_id, new_salt, now_ns
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.registry import Registry
from registry.tensors import Tensor, encode_tensors
from registry.versions import Version

X = {"x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)}


def answered(
    version: Version,
    engine: Engine,
    inputs: Mapping[str, Tensor] = X,
    outputs: Mapping[str, Tensor] | None = None,
) -> tuple[AuditRecord, Payload]:
    """Write the record of an answer: the engine's own, unless `outputs` claims another."""
    if outputs is None:
        found = engine.run(version.artifact, inputs)
        assert not isinstance(found, Why), found
        outputs = found
    first = next(iter(inputs.values()))
    rows = first.shape[0] if first.ndim else 1
    salt = new_salt()
    payload = Payload(salt, encode_tensors(inputs), encode_tensors(outputs))
    assert payload.input is not None
    assert payload.output is not None
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.ANSWERED,
        model=version.model,
        version=version.number,
        digest=version.artifact,
        manifest=version.manifest,
        runtime=engine.runtime,
        principal="key-tests",
        lane=Lane.CHAMPION,
        rows=rows,
        batch=rows,
        batch_row=0,
        latency_us=321,
        input=commit(salt, payload.input),
        output=commit(salt, payload.output),
    )
    return record, payload


def refused(version: Version, inputs: Mapping[str, Tensor] = X) -> tuple[AuditRecord, Payload]:
    """Write the record of a request that the contract refused."""
    salt, given = new_salt(), encode_tensors(inputs)
    record = AuditRecord(
        id=new_record_id(now_ns()),
        kind=Kind.INFERENCE,
        time=str(now_ns()),
        outcome=Outcome.REFUSED,
        model=version.model,
        version=version.number,
        digest=version.artifact,
        manifest=version.manifest,
        input=commit(salt, given),
        error="range",
    )
    return record, Payload(salt, given, b"")


def keep(registry: Registry, *pairs: tuple[AuditRecord, Payload | None]) -> None:
    """Put records into the store, as a segment of their own."""
    entries = [Entry(encode_record(record), payload) for record, payload in pairs]
    registry.store.integrate(pairs[0][0].id, 0, 1, entries)
