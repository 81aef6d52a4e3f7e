"""`gateway rollout rehearse`: what would have become of a plan in recorded traffic."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

import gateway.cli
from gateway.replay.engines import Sessions
from gateway.security import Role
from registry.entry import Payload, decode_record
from registry.manifest import Action, Contract, Draft, OutputRule, RuleKind
from registry.records import AuditRecord, Kind, RecordFilter
from registry.registry import Registry
from registry.times import now
from registry.versions import CHAMPION, Version
from tests.builders import add_key, infer_body, linear_model, open_registry, publish, serving
from tests.recorded import answered, keep

Run = Callable[..., Result]
Pair = tuple[AuditRecord, Payload | None]

SCORE = '[[guards]]\nkind = "score"\nmargin = 1.0\nbetter = "equal"\n'
SHADOW = f"challenger = 2\nshadow = {{points = 10_000, min_requests = 500, min_s = 0}}\n\n{SCORE}"
CANARY = f"challenger = 2\nsteps = [{{points = 5_000, min_requests = 500, min_s = 0}}]\n\n{SCORE}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(plan: str, *arguments: str, data_dir: Path = tmp_path) -> Result:
        path = tmp_path / "plan.toml"
        path.write_text(plan)
        command = ["rollout", "rehearse", "--model", "m", "--plan", str(path)]
        return CliRunner().invoke(
            gateway.cli.main, [*command, "--data-dir", str(data_dir), *arguments]
        )

    return invoke


@pytest.fixture
def engine(registry: Registry) -> Iterator[Sessions]:
    engine = Sessions(registry.artifacts, deadline_s=2)
    yield engine
    engine.close()


def inputs(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(1.0, 0.1, (1, 3)).astype(np.float32)


def traffic(version: Version, engine: Sessions, count: int) -> Iterator[Pair]:
    """Make requests as a gateway records them, ten in a second, the last of them now."""
    ends_ns = int(now().timestamp() * 1e9)
    for number in range(count):
        record, payload = answered(version, engine, {"x": inputs(number)})
        time_ns = ends_ns - (count - number) * 100_000_000
        yield msgspec.structs.replace(record, time=str(time_ns)), payload


def found_by(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_over_recorded_traffic_an_equal_challenger_passes_and_a_worse_one_is_rolled_back(
    tmp_path: Path, run: Run
) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(), promote=False)
    publish(registry, "m", linear_model(0.9), promote=False)
    token = add_key(registry, Role.INVOKER)
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        for number in range(1_100):
            body = infer_body(inputs(number).tolist())
            assert client.post("/v2/models/m/infer", json=body).status_code == 200
    before = registry.store.rollouts(), registry.store.aliases("m")

    equal, worse = (
        found_by(run(SHADOW.replace("challenger = 2", f"challenger = {number}"), "--json"))
        for number in (2, 3)
    )

    assert (equal["phase"], equal["records"], equal["untaken"]) == ("passed", 1_100, {})
    [stage] = equal["stages"]
    assert (stage["action"], stage["name"]) == ("pass", "shadow (100 %)")
    assert stage["challenger"] == stage["requests"] == equal["taken"]
    assert worse["phase"] == "rolled-back"
    [stage] = worse["stages"]
    assert stage["assessment"]["judgements"][0]["high"] < 0
    assert worse["taken"] <= equal["taken"]
    assert (registry.store.rollouts(), registry.store.aliases("m")) == before
    registry.store.close()


def test_a_canary_answers_its_share_of_callers_and_is_judged_by_it(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(), promote=False)
    publish(registry, "m", linear_model(0.5), promote=False)
    keep(registry, *traffic(version, engine, 3_600))

    equal = found_by(run(CANARY, "--json"))
    worse = found_by(run(CANARY.replace("challenger = 2", "challenger = 3"), "--json"))

    [stage] = equal["stages"]
    assert (equal["phase"], stage["name"]) == ("passed", "step 1 of 1 (50 %)")
    assert 0.45 < stage["challenger"] / stage["requests"] < 0.55
    assert equal["left"] == 3_600 - equal["taken"] > 0
    [stage] = worse["stages"]
    assert (worse["phase"], stage["action"]) == ("rolled-back", "roll_back")
    other = found_by(run(CANARY, "--json", "--salt", "another"))
    assert other["stages"][0]["challenger"] != equal["stages"][0]["challenger"]
    shown = run(CANARY.replace("challenger = 2", "challenger = 3")).stdout
    for said in ("rolled back in step 1 of 1 (50 %)", "score of y", "worse", "Not needed any more"):
        assert said in shown


def test_a_challenger_that_fails_callers_is_rolled_back_after_five_in_a_row(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    rule = OutputRule(input="y", kind=RuleKind.RANGE, high=-1e6, action=Action.REJECT)
    draft = Draft(contract=Contract(outputs=(rule,)))
    publish(registry, "m", linear_model(), draft, promote=False)
    keep(registry, *traffic(version, engine, 60))

    [stage] = found_by(run(CANARY, "--json"))["stages"]

    assert (stage["action"], stage["challenger"]) == ("roll_back", 5)
    assert "failed 5 requests in a row, the last with `output-not-accepted`" in stage["reason"]


def test_what_cannot_be_rehearsed_is_named_and_counted_and_the_read_is_recorded(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    other = publish(registry, "m", linear_model(), promote=False)
    whole, digest, reduced = traffic(version, engine, 3)
    keep(
        registry,
        whole,
        (msgspec.structs.replace(digest[0], payload="digest"), Payload(b"s" * 32, None, None)),
        (msgspec.structs.replace(reduced[0], reduced=("x:drop",)), reduced[1]),
        answered(version, engine, {"x": inputs(9)}, {"z": inputs(9)}),
        *traffic(other, engine, 2),
    )
    latency = '[[guards]]\nkind = "latency"\nmargin = 2.0\n'

    found = found_by(run(CANARY + latency, "--json"))

    assert (found["records"], found["taken"]) == (4, 1)
    assert found["untaken"] == {"digest": 1, "payload": 1, "outputs": 1}
    assert [one["guard"] for one in found["unjudged"]] == ["latency p95"]
    assert [one["action"] for one in found["stages"]] == [None]
    assert "`routing_key` is in no record" in found["callers"]
    assert found_by(run(SHADOW, "--json"))["callers"] is None
    shown = run(CANARY + latency).stdout
    assert "Callers are known by the `id` of their requests, else each request is a" in shown
    for said in ("Not taken, digest: 1.", "Not judged, latency p95: ", "undecided in step 1 of 1"):
        assert said in shown
    later = (now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert found_by(run(CANARY, "--json", "--from", later))["stages"] == []
    assert "nothing to rehearse it over" in run(CANARY, "--from", later).stdout
    reads = registry.store.records(RecordFilter(kind=Kind.READ), before=None, limit=9)
    last, *_, first = [decode_record(leaf) for _, leaf in reads]
    assert (first.action, first.rows, last.rows) == ("gateway rollout rehearse", 1, 0)
    assert "model=m&version=2" in (first.subject or "")


def test_a_plan_that_a_start_would_refuse_is_refused_with_its_line(
    registry: Registry, run: Run
) -> None:
    publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(), promote=False)

    for plan, fault in (
        (CANARY.replace("challenger = 2", "challenger = 7"), "plan.toml, line 1: Model 'm' has no"),
        (CANARY.replace("challenger = 2", "challenger = 1"), "plan.toml, line 1: Version 1 of 'm'"),
        (CANARY + 'output = "z"\n', "there is no output 'z'"),
    ):
        result = run(plan)
        assert result.exit_code == 1
        assert fault in result.stderr
    assert "at most 64 bytes" in run(CANARY, "--salt", "s" * 65).stderr
    assert registry.store.aliases("m") == {CHAMPION: 1}
