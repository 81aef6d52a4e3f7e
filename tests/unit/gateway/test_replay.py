"""One record asked again: identical, near, different, or not comparable and why."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import helper

from gateway.errors import ReplayBusy
from gateway.http.replay import ReplayDesk
from gateway.replay.asking import Asking
from gateway.replay.engines import ProcessApart, Sessions
from gateway.replay.what_if import Opinion, OtherVersion, WhatIf
from registry.audit.query import AuditTrail
from registry.audit.replay import Agreement, Engine, Reason, Replay, Replayer, Why
from registry.entry import Payload, new_record_id, now_ns
from registry.errors import Gone, RecordNotFound, VersionNotFound
from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.privacy import erase
from registry.records import AuditRecord, Kind, RecordFilter
from registry.registry import Registry
from registry.tensors import NUMPY_TYPES, Tensor
from registry.versions import Version
from tests.builders import (
    AUTHOR,
    PATIENCE_S,
    identity_model,
    linear_model,
    looping_model,
    make_model,
    publish,
    two_input_model,
)
from tests.recorded import X, answered, keep, refused


@pytest.fixture
def engine(registry: Registry) -> Iterator[Sessions]:
    engine = Sessions(registry.artifacts, deadline_s=2)
    yield engine
    engine.close()


def replay(
    registry: Registry, engine: Engine, record: AuditRecord, payload: Payload | None
) -> Replay:
    return Replayer(registry.artifacts, engine).replay(record, payload)


def test_the_recorded_answer_is_found_again(registry: Registry, engine: Sessions) -> None:
    record, payload = answered(publish(registry, "m", linear_model()), engine)

    found = replay(registry, engine, record, payload)

    assert (found.result, found.reason) == (Agreement.IDENTICAL, None)
    assert [one.output for one in found.outputs] == ["y"]
    assert found.runtime == found.recorded_runtime


def test_texts_and_a_subset_of_outputs_are_found_again(
    registry: Registry, engine: Sessions
) -> None:
    version = publish(registry, "m", two_input_model())
    inputs = {
        "distance": np.array([[1.5]], np.float32),
        "carrier": np.array([["Ünïted"]], object),
    }
    found = engine.run(version.artifact, inputs)
    assert not isinstance(found, Why)

    record, payload = answered(version, engine, inputs, {"c": found["c"]})

    again = replay(registry, engine, record, payload)
    assert again.result is Agreement.IDENTICAL
    assert [one.output for one in again.outputs] == ["c"]


@pytest.mark.parametrize("datatype", ["BF16", "FP16", "FP64", "BOOL", "INT8", "UINT64", "BYTES"])
def test_a_child_process_gives_the_bits_that_this_one_gives(
    registry: Registry, engine: Sessions, datatype: str
) -> None:
    version = publish(registry, "m", identity_model(datatype, ("n", 3)))
    texts = np.array([["a", "", "Ü"]], object)
    numbers = np.array([[0, 1, 1]])
    apart = ProcessApart(registry.artifacts, deadline_s=PATIENCE_S)
    spec = registry.manifest(version).signature.inputs[0]
    tensor = texts if datatype == "BYTES" else numbers.astype(NUMPY_TYPES[spec.datatype])
    record, payload = answered(version, engine, {"x": tensor})

    found = replay(registry, apart, record, payload)

    assert found.result is Agreement.IDENTICAL


@pytest.mark.parametrize(
    ("change", "result"),
    [(1e-6, Agreement.WITHIN_TOLERANCE), (1e-3, Agreement.DIFFERENT)],
)
def test_another_answer_is_never_identical(
    registry: Registry, engine: Sessions, change: float, result: Agreement
) -> None:
    version = publish(registry, "m", linear_model())
    claimed = {"y": np.array([[6 * (1 + change)], [15]], np.float32)}

    found = replay(registry, engine, *answered(version, engine, X, claimed))

    assert (found.result, found.compared, found.reason) == (result, result, None)
    [distance] = found.outputs
    assert (distance.differing, distance.elements) == (1, 2)
    assert distance.max_absolute == pytest.approx(6 * change, rel=0.2)


def test_another_runtime_is_told_beside_what_the_bits_say(
    registry: Registry, engine: Sessions
) -> None:
    record, payload = answered(publish(registry, "m", linear_model()), engine)
    elsewhere = msgspec.structs.replace(record, runtime="onnxruntime-1.0/cpu")

    found = replay(registry, engine, elsewhere, payload)

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.RUNTIME)
    assert found.compared is Agreement.IDENTICAL
    assert found.recorded_runtime == "onnxruntime-1.0/cpu"


def test_a_payload_that_is_not_kept_is_not_comparable(registry: Registry, engine: Sessions) -> None:
    record, payload = answered(publish(registry, "m", linear_model()), engine)

    for missing in (None, Payload(payload.salt, None, None)):
        found = replay(registry, engine, record, missing)
        assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.PAYLOAD)


def test_a_payload_that_was_changed_is_not_replayed_as_if_it_were_the_record_s(
    registry: Registry, engine: Sessions
) -> None:
    version = publish(registry, "m", linear_model())
    record, _ = answered(version, engine)
    _, other = answered(version, engine, {"x": X["x"] + 1})

    found = replay(registry, engine, record, other)

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.COMMITMENT)


def test_what_a_policy_reduced_is_not_replayed(registry: Registry, engine: Sessions) -> None:
    record, payload = answered(publish(registry, "m", linear_model()), engine)
    reduced = msgspec.structs.replace(record, reduced=("x:bucket",))

    found = replay(registry, engine, reduced, payload)
    asked = what_if(registry, engine, publish(registry, "m", linear_model()), (reduced, payload))

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.PAYLOAD)
    assert (asked.result, asked.reason) == (Opinion.NOT_COMPARABLE, Reason.PAYLOAD)
    assert "x:bucket" in found.detail


def test_what_was_erased_is_gone_for_one_and_not_comparable_among_many(
    registry: Registry, engine: Sessions, tmp_path: Path
) -> None:
    record, payload = answered(publish(registry, "m", linear_model()), engine)
    keep(registry, (record, msgspec.structs.replace(payload, subject="person 7")))
    asked = asking(registry, engine, tmp_path)
    assert asked.ask_one(record.id).result is Agreement.IDENTICAL

    erase(registry, "person 7", "asked to", AUTHOR)

    with pytest.raises(Gone):
        asked.ask_one(record.id)
    [found] = asked.ask_all(RecordFilter(model="m"), limit=None)
    assert found.reason is Reason.PAYLOAD


def test_a_request_without_an_answer_has_none_to_compare_with(
    registry: Registry, engine: Sessions
) -> None:
    version = publish(registry, "m", linear_model())

    found = replay(registry, engine, *refused(version))

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.OUTCOME)


@pytest.mark.parametrize("which", ["digest", "manifest"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_an_artifact_that_is_missing_or_damaged_is_named(
    registry: Registry, engine: Sessions, tmp_path: Path, which: str, *, is_gone: bool
) -> None:
    record, payload = answered(publish(registry, "m", linear_model()), engine)
    digest: str = getattr(record, which)
    [path] = (tmp_path / "artifacts").rglob(digest.partition(":")[2])
    if is_gone:
        path.unlink()
    else:
        path.chmod(0o600)
        path.write_bytes(b"changed")
    fresh = Sessions(registry.artifacts, deadline_s=1)

    found = replay(registry, fresh, record, payload)
    fresh.close()

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.ARTIFACT)
    assert digest in found.detail


def random_model() -> bytes:
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return make_model(nodes, [("x", "FP32", ("n", 3))], [("y", "FP32", ("n", 3))])


def test_a_model_that_draws_at_random_is_not_comparable(
    registry: Registry, engine: Sessions
) -> None:
    record, payload = answered(publish(registry, "m", random_model()), engine)

    found = replay(registry, engine, record, payload)

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.NONDETERMINISTIC)
    assert found.compared is Agreement.DIFFERENT


def test_a_model_whose_certificate_does_not_say_that_it_is_random_is_found_out(
    registry: Registry, engine: Sessions
) -> None:
    record, payload = answered(publish(registry, "m", random_model()), engine)
    silent = publish(registry, "silent", linear_model())

    found = replay(
        registry, engine, msgspec.structs.replace(record, manifest=silent.manifest), payload
    )

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.NONDETERMINISTIC)


def test_a_run_that_takes_too_long_is_ended(registry: Registry) -> None:
    version = publish(registry, "m", looping_model())
    engine = Sessions(registry.artifacts, deadline_s=0.2)
    endless = {"n": np.array([2**62])}
    record, payload = answered(version, engine, endless, {"y": np.array([1])})

    found = replay(registry, engine, record, payload)
    engine.close()

    assert (found.result, found.reason) == (Agreement.NOT_COMPARABLE, Reason.RUN)
    assert "longer" in found.detail


def test_a_process_apart_that_takes_too_long_is_ended(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(registry, "m", looping_model())
    monkeypatch.setattr("gateway.replay.engines._START_S", 1.0)
    apart = ProcessApart(registry.artifacts, deadline_s=1)

    found = apart.run(version.artifact, {"n": np.array([2**62])})

    assert isinstance(found, Why)
    assert (found.reason, "longer" in found.detail) == (Reason.RUN, True)


def test_a_process_apart_says_what_it_could_not_do(registry: Registry) -> None:
    version = publish(registry, "m", linear_model())
    apart = ProcessApart(registry.artifacts, deadline_s=PATIENCE_S)
    no_model = registry.artifacts.put(b"no model")

    wrong_input = apart.run(version.artifact, {"z": X["x"]})
    not_loaded = apart.run(no_model, X)
    missing = apart.run("sha256:" + "0" * 64, X)

    assert isinstance(wrong_input, Why)
    assert isinstance(not_loaded, Why)
    assert isinstance(missing, Why)
    assert [one.reason for one in (wrong_input, not_loaded, missing)] == [
        Reason.RUN,
        Reason.ARTIFACT,
        Reason.ARTIFACT,
    ]


def test_sessions_say_what_they_could_not_do(registry: Registry, engine: Sessions) -> None:
    version = publish(registry, "m", linear_model())
    no_model = registry.artifacts.put(b"no model")

    wrong_input = engine.run(version.artifact, {"z": X["x"]})
    not_loaded = engine.run(no_model, X)

    assert isinstance(wrong_input, Why)
    assert isinstance(not_loaded, Why)
    assert (wrong_input.reason, not_loaded.reason) == (Reason.RUN, Reason.ARTIFACT)


def test_more_artifacts_than_sessions_are_kept_are_replayed(registry: Registry) -> None:
    engine = Sessions(registry.artifacts, deadline_s=2)
    digests = [registry.artifacts.put(linear_model(weight)) for weight in range(20)]

    for weight, digest in [*enumerate(digests), *enumerate(digests)]:
        found = engine.run(digest, X)
        assert not isinstance(found, Why)
        assert found["y"].tolist() == [[6 * weight], [15 * weight]]
    engine.close()


def guarded(high: float, action: Action = Action.REJECT) -> Draft:
    rule = Rule(input="x", kind=RuleKind.RANGE, action=action, high=high)
    return Draft(contract=Contract(rules=(rule,)))


def what_if(
    registry: Registry, engine: Engine, version: Version, pair: tuple[AuditRecord, Payload]
) -> WhatIf:
    return OtherVersion(version, registry.manifest(version), engine).ask(*pair)


def test_another_version_says_the_same_or_something_else(
    registry: Registry, engine: Sessions
) -> None:
    pair = answered(publish(registry, "m", linear_model()), engine)
    twin, double = (publish(registry, "m", linear_model(weight)) for weight in (1.0, 2.0))

    same = what_if(registry, engine, twin, pair)
    differs = what_if(registry, engine, double, pair)

    assert (same.result, same.recorded_version, same.version) == (Opinion.SAME, 1, 2)
    assert (differs.result, differs.version) == (Opinion.DIFFERS, 3)
    assert differs.outputs[0].max_absolute == 15.0


def test_another_version_refuses_what_its_contract_refuses(
    registry: Registry, engine: Sessions
) -> None:
    pair = answered(publish(registry, "m", linear_model()), engine)
    strict = publish(registry, "m", linear_model(), guarded(5))
    watchful = publish(registry, "m", linear_model(), guarded(5, Action.FLAG))

    found = what_if(registry, engine, strict, pair)
    flagged = what_if(registry, engine, watchful, pair)

    assert found.result is Opinion.REFUSED
    [violation] = found.violations
    assert (violation.rule, violation.row, violation.column) == ("range", 1, 2)
    assert (flagged.result, flagged.flags) == (Opinion.SAME, ("range x[1,2]",))


def test_another_version_does_not_accept_what_its_signature_does_not_have(
    registry: Registry, engine: Sessions
) -> None:
    pair = answered(publish(registry, "m", linear_model()), engine)
    wider = publish(registry, "m", linear_model(columns=4))
    other_name = publish(registry, "m", identity_model(name="z"))

    found = [what_if(registry, engine, version, pair) for version in (wider, other_name)]

    assert [one.result for one in found] == [Opinion.NOT_ACCEPTED] * 2
    assert {one.violations[0].rule for one in found} == {"shape-not-accepted", "missing-input"}


def test_another_version_answers_what_the_recorded_one_refused(
    registry: Registry, engine: Sessions
) -> None:
    pair = refused(publish(registry, "m", linear_model(), guarded(5)))
    lenient = publish(registry, "m", linear_model())

    assert what_if(registry, engine, lenient, pair).result is Opinion.ANSWERED


def test_nobody_can_say_what_a_version_would_do_with_an_input_that_is_not_kept(
    registry: Registry, engine: Sessions
) -> None:
    record, payload = answered(publish(registry, "m", linear_model()), engine)
    other = publish(registry, "m", linear_model(2.0))

    found = what_if(registry, engine, other, (record, Payload(payload.salt, None, None)))

    assert (found.result, found.reason) == (Opinion.NOT_COMPARABLE, Reason.PAYLOAD)


def asking(registry: Registry, engine: Engine, data_dir: Path) -> Asking:
    return Asking(registry, AuditTrail(registry.store, data_dir / "journal"), engine)


def test_records_are_replayed_newest_first_up_to_the_limit(
    registry: Registry, engine: Sessions, tmp_path: Path
) -> None:
    version = publish(registry, "m", linear_model())
    pairs = [answered(version, engine) for _ in range(5)]
    keep(registry, *pairs)
    asked = asking(registry, engine, tmp_path)

    found = list(asked.ask_all(RecordFilter(model="m"), limit=3))

    newest = sorted((record.id for record, _ in pairs), reverse=True)
    assert [one.record_id for one in found] == newest[:3]
    assert len(list(asked.ask_all(RecordFilter(model="m"), limit=None))) == 5


def test_what_does_not_exist_is_named(registry: Registry, engine: Sessions, tmp_path: Path) -> None:
    version = publish(registry, "m", linear_model())
    pair = answered(version, engine)
    keep(registry, pair)
    asked = asking(registry, engine, tmp_path)

    with pytest.raises(RecordNotFound):
        asked.ask_one(new_record_id(now_ns()))
    with pytest.raises(VersionNotFound):
        asked.ask_one(pair[0].id, version=9)


class Held:
    """An engine that runs when it is let go."""

    runtime = "held"

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.may_go = threading.Event()

    def run(self, digest: str, inputs: Mapping[str, Tensor]) -> Why:
        self.is_asked.set()
        assert self.may_go.wait(10)
        return Why(Reason.RUN, "let go")


def test_a_worker_replays_one_record_at_a_time(
    registry: Registry, engine: Sessions, tmp_path: Path
) -> None:
    pair = answered(publish(registry, "m", linear_model()), engine)
    keep(registry, pair)
    held = Held()
    desk = ReplayDesk(registry, asking(registry, held, tmp_path))
    first = threading.Thread(target=desk.replay, args=(pair[0].id, None, AUTHOR))
    first.start()
    assert held.is_asked.wait(10)

    with pytest.raises(ReplayBusy):
        desk.replay(pair[0].id, None, AUTHOR)

    held.may_go.set()
    first.join()
    assert desk.replay(pair[0].id, None, AUTHOR).result is Agreement.NOT_COMPARABLE
    assert len(registry.store.records(RecordFilter(kind=Kind.REPLAY), before=None, limit=9)) == 2
