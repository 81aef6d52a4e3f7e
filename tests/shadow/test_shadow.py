"""A challenger in shadow of a real gateway: compared, recorded, and unable to harm anybody."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from registry import privacy, rolling_out
from registry.audit.query import AuditTrail
from registry.manifest import Draft
from registry.payload_policy import Mode, PayloadPolicy
from registry.records import AuditRecord, Lane, Outcome, RecordFilter
from registry.registry import Registry
from registry.rollouts import Guard, GuardKind, Phase, Rollout
from registry.windows import Span
from tests.builders import AUTHOR, Gateway, add_key, linear_model, publish, serving
from tests.crash.checker import check
from tests.crash.ledger import Callers
from tests.crash.processes import wait_for_end
from tests.shadow.world import (
    AWAKE,
    MODEL,
    ask,
    counted,
    doubling_model,
    rooting_model,
    shadow_process,
    shadow_processes,
    shown,
    sleeping_model,
    start_shadow,
    wait_for_shadow,
    wait_until,
)

_LONG_S = 60.0
ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)


@contextmanager
def shadowed(
    tmp_path: Path, registry: Registry, challenger: bytes, draft: Draft, *options: str, **plan: str
) -> Iterator[tuple[Gateway, httpx.Client, Rollout]]:
    """Serve a champion that is shadowed by a challenger already."""
    publish(registry, MODEL, linear_model())
    publish(registry, MODEL, challenger, draft, promote=False)
    token = add_key(registry)
    with serving(tmp_path, *options) as gateway, gateway.client(token) as client:
        rollout = start_shadow(registry, segment=plan.get("segment"))
        wait_for_shadow(gateway, registry)
        yield gateway, client, rollout


def records(tmp_path: Path, registry: Registry) -> list[AuditRecord]:
    """Return the records of the lane."""
    trail = AuditTrail(registry.store, tmp_path / "journal")
    return [one.record for one in trail.walk(RecordFilter(lane=Lane.SHADOW))]


def test_predictions_are_compared_with_the_live_answers_and_by_segment(
    tmp_path: Path, registry: Registry
) -> None:
    with shadowed(tmp_path, registry, linear_model(1.5), Draft(), segment="route") as world:
        _, client, rollout = world
        ids = [ask(client, [float(n), 0.0, 0.0], route="A" if n < 3 else "B") for n in range(5)]
        found = counted(client, rollout, 5)

    # The distance is half of the live answer, which agrees within half of one.
    [output] = found["outputs"]
    assert (found["compared"], found["differing"]) == (5, 3)
    assert output["agreement"] == pytest.approx(2 / 5)
    assert output["mean_distance"] == pytest.approx((0 + 0.5 + 1 + 1.5 + 2) / 5)
    assert output["greatest_distance"] == pytest.approx(2.0)
    assert [one["record_id"] for one in output["worst"]] == [ids[4], ids[3], ids[2]]
    segments = {one["segment"]: (one["compared"], one["differing"]) for one in found["segments"]}
    assert segments == {"A": (3, 1), "B": (2, 2)}


def test_each_answer_of_a_shadow_is_a_record_that_names_its_twin_and_replays_bit_for_bit(
    tmp_path: Path, registry: Registry
) -> None:
    with shadowed(tmp_path, registry, linear_model(1.5), Draft()) as world:
        _, client, rollout = world
        ids = [ask(client, [float(n), 1.0, 2.0]) for n in range(3)]
        found = counted(client, rollout, 3)
        told = records(tmp_path, registry)
        replayed = client.post(f"/audit/records/{told[0].id}/replay").json()

    assert sorted(str(one.twin) for one in told) == sorted(ids)
    assert {one.rollout for one in told} == {rollout.id}
    assert {(one.version, one.outcome, one.lane) for one in told} == {
        (2, Outcome.ANSWERED, Lane.SHADOW)
    }
    worst = found["outputs"][0]["worst"][0]
    assert worst["shadow_record_id"] in {one.id for one in told}
    assert replayed["result"] == "identical"
    acknowledged = {one: None for one in ids}
    assert check(registry.store, tmp_path, acknowledged).is_clean


def test_evidence_is_counted_for_the_verdict(tmp_path: Path, registry: Registry) -> None:
    with shadowed(tmp_path, registry, linear_model(1.5), Draft()) as world:
        _, client, rollout = world
        for n in range(30):
            ask(client, [float(n), 0.0, 0.0])
        counted(client, rollout, 30)

    [window] = registry.store.windows(
        MODEL, 2, rollout.evidence_lane(0), Span.DAY,
        since=rollout.started.replace(hour=0, minute=0, second=0, microsecond=0),
        until=rollout.started.replace(year=rollout.started.year + 1),
    )  # fmt: skip
    cells = [int.from_bytes(window.counts[at : at + 8], "little") for at in (0, 8)]
    assert cells == [30, 30]  # requests of champion and challenger


@pytest.mark.parametrize(
    ("model", "row", "reason"),
    [
        (rooting_model(), [-1.0, 0.0, 0.0], "not-finite"),
        (doubling_model(), [1.0, 0.0, 0.0], "other-shape"),
    ],
)
def test_nan_and_another_shape_are_failures_of_the_challenger_and_nobody_elses(
    tmp_path: Path, registry: Registry, model: bytes, row: list[float], reason: str
) -> None:
    with shadowed(tmp_path, registry, model, Draft()) as world:
        _, client, rollout = world
        for _ in range(3):
            ask(client, row)
        found = counted(client, rollout, 3)
        metrics = client.get("/metrics").text

    assert found["failures"] == {reason: 3}
    assert found["compared"] == 0
    labels = f'rollout="{rollout.id}",model="{MODEL}",version="2"'
    assert f'gateway_shadow_failures_total{{{labels},reason="{reason}"}} 3' in metrics
    assert f"gateway_shadow_requests_total{{{labels}}} 3" in metrics


def test_a_challenger_that_sleeps_keeps_no_caller_waiting(
    tmp_path: Path, registry: Registry
) -> None:
    deadline_s = 1.0
    options = ("--run-deadline", str(deadline_s))
    with shadowed(tmp_path, registry, sleeping_model(), AWAKE, *options) as world:
        _, client, rollout = world
        took_s = []
        for _ in range(200):
            started = time.monotonic()
            ask(client, [1.0, 0.0, 0.0])
            took_s.append(time.monotonic() - started)
        wait_until(lambda: bool(shown(client, rollout)["failed"]))
        found = shown(client, rollout)

    assert sorted(took_s)[197] < deadline_s / 4  # none of them waited for a run of the challenger
    assert set(found["failures"]) == {"model-timeout"}
    assert found["compared"] == 0
    failed = [one for one in records(tmp_path, registry) if one.outcome is Outcome.FAILED]
    assert {one.error for one in failed} == {"model-timeout"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_shadow_that_dies_under_load_harms_nobody_and_is_started_anew(
    tmp_path: Path, registry: Registry, number: signal.Signals
) -> None:
    with shadowed(tmp_path, registry, sleeping_model(), AWAKE) as world:
        gateway, client, rollout = world
        token = client.headers["authorization"].removeprefix("Bearer ")
        with Callers(gateway.url, token, MODEL) as callers:
            callers.wait_for_answers(100)
            dead = shadow_process(gateway)
            running = tmp_path / "shadow" / "running"
            wait_until(lambda: running.stat().st_size > 0)
            os.kill(dead, number)
            wait_for_end([dead], _LONG_S)
            callers.wait_for_answers(100)
            gateway.wait_for("shadow_ready")
            assert shadow_process(gateway) != dead
            callers.wait_for_answers(100)
        # It was running a request, which is one that the challenger failed.
        wait_until(lambda: bool(shown(client, rollout)["failed"]))
        assert shown(client, rollout)["failures"]["shadow-ended"] == 1

    assert callers.unexpected == []
    assert callers.refused == 0
    assert check(registry.store, tmp_path, callers.acknowledged).is_clean
    [record] = [one for one in records(tmp_path, registry) if one.error == "shadow-ended"]
    assert record.twin in callers.acknowledged


def test_a_challenger_that_fails_beside_the_answers_is_rolled_back_by_the_verdict(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, MODEL, linear_model())
    publish(registry, MODEL, rooting_model(), promote=False)
    token = add_key(registry)
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        rollout = start_shadow(registry, guards=(ERRORS,), alpha=0.05)
        wait_for_shadow(gateway, registry)

        def is_over() -> bool:
            ask(client, [-1.0, 0.0, 0.0])
            return rolling_out.find_rollout(registry.store, rollout.id).phase.is_over

        wait_until(is_over)

    ended = rolling_out.find_rollout(registry.store, rollout.id)
    assert ended.phase is Phase.ROLLED_BACK


def test_the_payload_policy_of_the_model_holds_for_its_shadows(
    tmp_path: Path, registry: Registry
) -> None:
    with shadowed(tmp_path, registry, linear_model(1.5), Draft()) as world:
        gateway, client, rollout = world
        privacy.set_payload_policy(registry, MODEL, PayloadPolicy(mode=Mode.DIGEST), AUTHOR)
        for _ in range(2):  # what it began with, and the policy
            gateway.wait_for("shadow_follows")
        ask(client, [1.0, 2.0, 3.0], subject="somebody")
        counted(client, rollout, 1)
        [record] = records(tmp_path, registry)
        payload = AuditTrail(registry.store, tmp_path / "journal").payload(record.id)

    assert record.payload == "digest"
    assert record.input is not None
    assert record.subject_commitment is not None
    assert (payload.input, payload.output) == (None, None)


def test_the_process_runs_only_while_a_rollout_is_in_shadow(
    tmp_path: Path, registry: Registry
) -> None:
    with shadowed(tmp_path, registry, linear_model(1.5), Draft()) as world:
        gateway, client, rollout = world
        first = shadow_process(gateway)
        rolling_out.pause(registry, rollout.id, "a test", AUTHOR)
        wait_for_end([first], _LONG_S)
        rolling_out.resume(registry, rollout.id, "a test", AUTHOR)
        wait_for_shadow(gateway, registry)
        ask(client, [1.0, 0.0, 0.0])
        counted(client, rollout, 1)
        second = shadow_process(gateway)
        rolling_out.abort(registry, rollout.id, "a test", AUTHOR)
        wait_for_end([second], _LONG_S)
        assert shadow_processes(gateway) == []
        assert shown(client, rollout)["compared"] == 1  # what it showed is there to be read
        assert not [one for one in gateway.log if one["event"] == "process_ended"]


def test_the_process_ends_with_the_controller_and_its_sums_go_on_with_the_next(
    tmp_path: Path, registry: Registry
) -> None:
    with shadowed(tmp_path, registry, linear_model(1.5), Draft()) as world:
        gateway, client, rollout = world
        ask(client, [1.0, 0.0, 0.0])
        counted(client, rollout, 1)
        first = shadow_process(gateway)
        controller = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(controller, signal.SIGKILL)
        wait_for_end([first], _LONG_S)
        wait_for_shadow(gateway, registry)
        ask(client, [1.0, 0.0, 0.0])
        assert counted(client, rollout, 2)["compared"] == 2
