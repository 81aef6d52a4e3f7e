"""The load tests measure what they say, and notice answers that are not right."""

import asyncio
import json
import os
import re
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.protocol.messages import Encoded, InferRequest
from loadtests import codec, machine, swap, wrk
from loadtests.bench import expected_piece
from loadtests.errors import LoadTestError
from loadtests.server import gateway_command, run_server, wait_until_ready
from loadtests.summary import GATEWAY, PEER, Run, ratios, summarise
from loadtests.swap import Sample, Swap, Target
from loadtests.wrk import Shot, WrkResult
from registry.registry import Registry
from tests.builders import add_key, infer_body, linear_model, publish

RESULT = {
    "answers": 8000, "duration_us": 2_000_000, "p50_us": 900, "p99_us": 4000,
    "refused": 0, "looked": 500, "wrong": 0, "broken": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", codec.CASES)
def test_the_codec_is_measured_on_what_it_reads_and_writes(name: str) -> None:
    for rows in codec.ROWS:
        result = codec.CASES[name](rows)()
        assert isinstance(result, InferRequest | Encoded | np.ndarray | bytes)
        if isinstance(result, InferRequest):
            assert result.tensors["X"].shape == (rows, codec.COLUMNS)


def result(**changes: int) -> WrkResult:
    return WrkResult(**(RESULT | changes))


def test_the_result_is_found_in_what_wrk_writes() -> None:
    output = f"Running 2s test @ http://x\nRESULT {json.dumps(RESULT)}\nRequests/sec: 4000\n"
    assert wrk.parse(output) == result()
    assert wrk.parse(output).per_second == 4000


def test_a_run_without_a_result_is_an_error() -> None:
    with pytest.raises(LoadTestError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1\n")


@pytest.mark.parametrize("fault", ["refused", "wrong", "broken"])
def test_one_bad_answer_spoils_a_run(fault: str) -> None:
    with pytest.raises(LoadTestError):
        result(**{fault: 1}).check()


def test_a_run_that_looked_at_no_body_proves_nothing() -> None:
    with pytest.raises(LoadTestError):
        result(looked=0).check()


def test_script_and_command_agree() -> None:
    shot = Shot(path="/p", key="k", input="X", data="1.0", expected="[2.0]")
    words = wrk.command("wrk", "http://x", shot, seconds=8.0, core=1)
    script = Path(words[words.index("-s") + 1]).read_text()
    used = {int(number) for number in re.findall(r"args\[(\d+)\]", script)}
    assert used == set(range(1, len(words[words.index("--") :])))
    written = re.search(r"RESULT (\{.*?)\\n", script.replace("' ..\n      '", ""))
    assert written is not None
    assert re.findall(r'"(\w+)":%d', written[1]) == list(WrkResult.__struct_fields__)


def test_a_summary_takes_the_median_of_each_measure() -> None:
    runs = [
        Run(
            subject="gateway",
            result=result(answers=answers, p99_us=p99_us),
            cpu_s={"worker": answers * 100e-6, "controller": answers * 20e-6},
        )
        for answers, p99_us in ((8000, 9000), (2000, 1000), (6000, 3000))
    ]
    other = Run(subject="other", result=result(answers=1), cpu_s={"rest": 1.0})
    found = summarise("gateway", [*runs, other])
    assert (found.slowest, found.per_second, found.fastest) == (1000, 3000, 4000)
    assert found.p99_us == 3000
    assert found.cpu_us == pytest.approx(120)
    assert found.controller_us == pytest.approx(20)


def test_each_run_is_compared_with_the_one_beside_it() -> None:
    answers = [(GATEWAY, 8000), (PEER, 4000), (GATEWAY, 3000), (PEER, 1000)]
    runs = [Run(subject=s, result=result(answers=count), cpu_s={}) for s, count in answers]
    assert ratios(runs) == [2.0, 3.0]


def test_time_on_a_core_leaves_waiting_and_other_cores_out() -> None:
    stat = (
        "cpu 9 9 9 9 9 9 9 9 9 9\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 300 100 500 7000 20 3 30 100 0 0\n"
    )
    ticks = os.sysconf("SC_CLK_TCK")
    assert machine.busy_s(stat, 1) == 1000 / ticks
    assert machine.busy_s(stat, 0) == 0
    with pytest.raises(LoadTestError):
        machine.busy_s(stat, 2)


def body(data: list[float]) -> str:
    outputs = [
        {"name": "label", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "probabilities", "shape": [1, 2], "datatype": "FP32", "data": data},
    ]
    return json.dumps({"model_name": "m", "outputs": outputs})


def test_the_expected_piece_is_the_one_with_the_right_values() -> None:
    assert expected_piece(body([0.25, 0.75]), [0.25, 0.7500001]) == "[0.25, 0.75]"


def test_a_wrong_first_answer_stops_the_bench() -> None:
    with pytest.raises(LoadTestError):
        expected_piece(body([0.75, 0.25]), [0.25, 0.75])


def test_a_server_that_ends_at_once_is_noticed(tmp_path: Path) -> None:
    def is_ready(client: httpx.Client) -> bool:
        return client.get("/").is_success

    with (
        run_server(["false"], tmp_path / "log") as server,
        pytest.raises(LoadTestError, match="did not start"),
    ):
        wait_until_ready(server, is_ready)


def sample(left: float, answered: float, version: str) -> Sample:
    return Sample(meant=left, left=left, answered=answered, version=version)


def test_the_version_before_may_answer_until_every_worker_obeys() -> None:
    swaps = [Swap(old="1", asked=0.9, answered=1.0, obeyed=1.3)]
    found = swap.report([sample(0.5, 0.6, "1"), sample(1.2, 1.4, "1")], swaps)
    assert not found.failures
    assert found.longest_old_answer_s == pytest.approx(0.4)
    assert found.longest_to_obey_s == pytest.approx(0.3)


def test_an_answer_of_the_version_before_is_a_failure_afterwards() -> None:
    swaps = [
        Swap(old="1", asked=0.9, answered=1.0, obeyed=1.3),
        Swap(old="2", asked=1.9, answered=2.0, obeyed=2.2),
    ]
    found = swap.report([sample(1.4, 1.5, "1"), sample(2.3, 2.4, "1")], swaps)
    assert len(found.failures) == 1


def target(url: str, key: str, expected: dict[str, list[float]]) -> Target:
    request = infer_body([[1.0, 2.0, 3.0]])
    return Target(url=url, key=key, model="sum", body=request, output="y", expected=expected)


def test_no_request_fails_while_champions_change(registry: Registry, tmp_path: Path) -> None:
    publish(registry, "sum", linear_model(1.0))
    publish(registry, "sum", linear_model(2.0), promote=False)
    key = add_key(registry)
    with run_server(gateway_command(tmp_path, workers=2), tmp_path / "log") as server:
        wait_until_ready(server, lambda client: client.get("/v2/health/ready").is_success)
        right = target(server.url, key, {"1": [6.0], "2": [12.0]})
        found = asyncio.run(swap.swap_under_load(right, swaps=3, clients=4, per_second=100))
        # Version 2 is live now, and does not answer what this one expects.
        wrong = target(server.url, key, {"1": [6.0], "2": [6.0]})
        noticed = asyncio.run(swap.swap_under_load(wrong, swaps=0, clients=1, per_second=50))
    assert found.failures == []
    assert found.swaps == 3
    assert found.requests > 20
    assert found.longest_to_obey_s < 1
    assert noticed.failures
