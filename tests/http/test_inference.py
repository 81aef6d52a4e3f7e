"""Inference and its records, as a caller and an auditor see them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from registry.entry import commit
from registry.tensors import encode_tensors
from tests.http.world import World, check_problem, tensor

SAMPLES: dict[str, list[Any]] = {
    "BOOL": [True, False, False, True],
    "UINT8": [0, 1, 254, 255],
    "UINT16": [0, 1, 2, 65535],
    "UINT32": [0, 1, 2, 2**32 - 1],
    "UINT64": [0, 1, 2, 2**64 - 1],
    "INT8": [-128, -1, 0, 127],
    "INT16": [-32768, -1, 0, 32767],
    "INT32": [-(2**31), -1, 0, 2**31 - 1],
    "INT64": [-(2**63), -1, 0, 2**63 - 1],
    "FP16": [0.0, -1.5, 65504.0, 0.25],
    "FP32": [0.0, -1.5, 3.4028234663852886e38, 0.25],
    "FP64": [0.0, -1.5, 1.7976931348623157e308, 5e-324],
    "BF16": [0.0, -1.5, 3.3895313892515355e38, 0.25],
    "BYTES": ["", "text", "ümläut 🛫", "line\nfeed\u0000"],
}


def infer(client: httpx.Client, model: str, *inputs: dict[str, Any], **more: Any) -> Any:
    answer = client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def newest_record(client: httpx.Client, **wanted: Any) -> dict[str, Any]:
    found = client.get("/audit/records", params={**wanted, "limit": 1}).json()["records"]
    record: dict[str, Any] = found[0]["record"]
    return record


def flat(*rows: list[float], name: str = "x") -> dict[str, Any]:
    return tensor(name, "FP32", [len(rows), len(rows[0])], [value for row in rows for value in row])


@pytest.mark.parametrize("datatype", SAMPLES)
@pytest.mark.parametrize("form", ["flat", "nested"])
def test_every_datatype_comes_back_as_it_went(
    client: httpx.Client, datatype: str, form: str
) -> None:
    values = SAMPLES[datatype]
    data = values if form == "flat" else [values[:2], values[2:]]

    answer = infer(client, f"identity-{datatype}", tensor("x", datatype, [2, 2], data))

    assert answer["outputs"] == [tensor("y", datatype, [2, 2], values)]


@pytest.mark.parametrize("datatype", SAMPLES)
@pytest.mark.parametrize("shape", [[0, 2], [3, 0], [0, 0]])
def test_empty_tensors_come_back_empty(
    client: httpx.Client, datatype: str, shape: list[int]
) -> None:
    answer = infer(client, f"identity-{datatype}", tensor("x", datatype, shape, []))

    assert answer["outputs"] == [tensor("y", datatype, shape, [])]


def test_a_scalar_has_no_dimensions(client: httpx.Client) -> None:
    answer = infer(client, "scalar", tensor("x", "FP32", [], [1.5]))

    assert answer["outputs"] == [tensor("y", "FP32", [], [1.5])]


def test_a_missing_number_is_null_both_ways(client: httpx.Client) -> None:
    answer = infer(client, "identity-FP32", tensor("x", "FP32", [1, 2], [None, 1]))

    assert answer["outputs"][0]["data"] == [None, 1]


def test_a_model_takes_several_inputs_in_any_order(client: httpx.Client) -> None:
    distance = tensor("distance", "FP32", [2, 1], [1, 2])
    carrier = tensor("carrier", "BYTES", [2, 1], ["AA", "UA"])

    answer = infer(client, "two", carrier, distance)

    assert [(o["name"], o["data"]) for o in answer["outputs"]] == [
        ("d", [1, 2]),
        ("c", ["AA", "UA"]),
    ]


def test_only_outputs_asked_for_come_back(client: httpx.Client) -> None:
    distance = tensor("distance", "FP32", [1, 1], [1])
    carrier = tensor("carrier", "BYTES", [1, 1], ["AA"])

    answer = infer(client, "two", distance, carrier, outputs=[{"name": "c"}])

    assert [output["name"] for output in answer["outputs"]] == ["c"]


def test_the_id_comes_back_and_parameters_are_tolerated(client: httpx.Client) -> None:
    parameters = {"mine": "x", "n": 3, "f": 0.5, "b": True, "binary_data_output": False}
    body = {
        "id": "call 1",
        "model_name": "linear",
        "parameters": parameters,
        "inputs": [{**flat([1, 2, 3]), "parameters": {"content_type": "np"}}],
    }

    answer = client.post("/v2/models/linear/infer", json=body).json()

    assert answer["id"] == "call 1"
    assert answer["model_name"] == "linear"
    assert answer["model_version"] == "1"
    assert answer["parameters"]["lane"] == "champion"
    assert "id" not in infer(client, "linear", flat([1, 2, 3]))


def test_a_version_in_the_path_is_the_one_that_answers(client: httpx.Client) -> None:
    body = {"inputs": [flat([1, 2, 3])]}

    answer = client.post("/v2/models/linear/versions/1/infer", json=body)

    assert answer.json()["model_version"] == "1"
    assert answer.json()["parameters"]["lane"] == "pinned"
    # Published and never promoted: no alias names it.
    check_problem(client.post("/v2/models/linear/versions/2/infer", json=body), 404, "not-found")


def test_a_record_is_found_at_once_by_every_filter_that_fits(client: httpx.Client) -> None:
    started = datetime.now(UTC) - timedelta(seconds=1)
    body = {"id": "filtered", "inputs": [flat([1, 2, 3], [4, 5, 6])]}
    answer = client.post("/v2/models/linear/infer", json=body)
    record_id = answer.headers["x-record-id"]
    assert answer.json()["parameters"]["record_id"] == record_id

    record = client.get(f"/audit/records/{record_id}").json()["record"]
    assert record["rows"] == 2
    ended = datetime.now(UTC) + timedelta(seconds=1)
    fitting = {
        name: record[name]
        for name in ("model", "version", "lane", "kind", "principal", "outcome", "request_id")
    } | {"from": started.isoformat(), "to": ended.isoformat()}
    failing = {
        "model": "two", "version": 7, "lane": "pinned", "kind": "admin", "principal": "key-x",
        "outcome": "refused", "request_id": "other",
        "from": ended.isoformat(), "to": started.isoformat(),
    }  # fmt: skip
    # The reads that this test makes are records of the same principal and time.
    for filters in [fitting, *({"kind": "inference", name: fitting[name]} for name in fitting)]:
        assert newest_record(client, **filters)["id"] == record_id
    for name, value in failing.items():
        found = client.get("/audit/records", params={**fitting, name: value}).json()["records"]
        assert found == [], name


def test_a_payload_is_what_was_sent_and_answered(client: httpx.Client) -> None:
    inputs = [
        tensor("distance", "FP32", [2, 1], [1.5, None]),
        tensor("carrier", "BYTES", [2, 1], ["AA", "ü"]),
    ]
    answer = infer(client, "two", *inputs)
    record_id = answer["parameters"]["record_id"]

    payload = client.get(f"/audit/records/{record_id}/payload").json()

    assert payload["committed"] is True
    assert payload["inputs"] == inputs
    assert payload["outputs"] == answer["outputs"]


@pytest.mark.parametrize(
    ("model", "body", "status", "code", "outcome"),
    [
        ("linear", {"inputs": []}, 400, "missing-input", "refused"),
        ("linear", {"inputs": [flat([1, 2])]}, 400, "shape-not-accepted", "refused"),
        ("guarded", {"inputs": [flat([99, 0, 0])]}, 400, "range", "refused"),
        ("none", {"inputs": []}, 404, "not-found", "refused"),
        ("picking", {"inputs": [tensor("i", "INT64", [1], [9])]}, 400, "input-not-accepted",
         "refused"),
        ("folding", {"inputs": [tensor("x", "FP32", [2], [1, 2])]}, 500, "model-failed", "failed"),
        ("looping", {"inputs": [tensor("n", "INT64", [1], [2**60])]}, 503, "model-timeout",
         "failed"),
    ],
)  # fmt: skip
def test_what_is_not_answered_has_its_record_too(
    client: httpx.Client, model: str, body: dict[str, Any], status: int, code: str, outcome: str
) -> None:
    answer = client.post(f"/v2/models/{model}/infer", json=body)

    problem = check_problem(answer, status, code)
    record = record_of(client, answer.headers["x-record-id"])
    assert record["id"] == problem["record_id"]
    assert (record["outcome"], record["error"]) == (outcome, code)
    assert record.get("model", record.get("subject")) == model
    assert "output" not in record


def test_a_forbidden_call_has_its_record_too(world: World, client: httpx.Client) -> None:
    with world.client("viewer") as viewer:
        answer = viewer.post("/v2/models/linear/infer", json={"inputs": [flat([1, 2, 3])]})

    check_problem(answer, 403, "forbidden")
    assert record_of(client, answer.headers["x-record-id"])["error"] == "forbidden"


def test_the_contract_rejects_flags_and_observes(client: httpx.Client) -> None:
    refused = client.post(
        "/v2/models/guarded/infer", json={"inputs": [flat([1, 2, 3], [11, 2, 3])]}
    )
    flagged = infer(client, "guarded", flat([1, 99, 3]))
    observed = infer(client, "guarded", flat([1, 2, 3], [1, 2, None]))

    [violation] = check_problem(refused, 400, "range")["violations"]
    assert violation == {
        "input": "x", "rule": "range", "expected": "between 0 and 10", "row": 1, "column": 0,
    }  # fmt: skip
    assert record_of(client, refused.headers["x-record-id"])["violations"] == ["range x[1,0]"]
    assert flagged["parameters"]["flags"] == "range x[0,1]"
    assert record_of(client, flagged["parameters"]["record_id"])["flags"] == ["range x[0,1]"]
    assert "flags" not in observed["parameters"]
    seen = record_of(client, observed["parameters"]["record_id"])
    assert seen["observed"] == ["missing x[1,2]"]
    assert "flags" not in seen


def record_of(client: httpx.Client, record_id: str) -> dict[str, Any]:
    record: dict[str, Any] = client.get(f"/audit/records/{record_id}").json()["record"]
    return record


@pytest.mark.parametrize(
    ("accepted", "rows", "packed"),
    [
        ("gzip", 1000, "gzip"),
        ("deflate", 1000, "deflate"),
        ("br;q=1, gzip;q=0.5", 1000, "gzip"),
        ("gzip", 1, None),
        ("identity", 1000, None),
        ("*", 1000, None),
    ],
)
def test_a_large_answer_is_packed_as_the_caller_names(
    client: httpx.Client, accepted: str, rows: int, packed: str | None
) -> None:
    body = {"inputs": [flat(*[[1.5, 2.0, 3.0]] * rows)]}

    answer = client.post(
        "/v2/models/linear/infer", json=body, headers={"accept-encoding": accepted}
    )

    assert answer.headers.get("content-encoding") == packed
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["outputs"][0]["data"] == [6.5] * rows
    if packed:
        assert int(answer.headers["content-length"]) < 1000


def test_the_length_of_the_json_is_that_of_the_unpacked_body(client: httpx.Client) -> None:
    body = {
        "inputs": [flat(*[[1.5, 2.0, 3.0]] * 1000)],
        "parameters": {"binary_data_output": True},
    }

    answer = client.post("/v2/models/linear/infer", json=body, headers={"accept-encoding": "gzip"})

    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert msgspec.json.decode(answer.content[:length])["outputs"][0]["shape"] == [1000, 1]
    assert np.frombuffer(answer.content[length:], np.float32).tolist() == [6.5] * 1000


def test_a_json_and_a_binary_request_with_the_same_values_have_the_same_payload(
    client: httpx.Client,
) -> None:
    head = msgspec.json.encode(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": [1, 3],
                    "parameters": {"binary_data_size": 12},
                }
            ]
        }
    )
    headers = {"inference-header-content-length": str(len(head))}
    values = np.array([1.5, 2, 3], np.float32)
    binary = client.post(
        "/v2/models/linear/infer", content=head + values.tobytes(), headers=headers
    ).json()
    plain = infer(client, "linear", flat([1.5, 2.0, 3.0]))

    payloads = [
        client.get(f"/audit/records/{answer['parameters']['record_id']}/payload").json()
        for answer in (binary, plain)
    ]

    assert payloads[0]["committed"]
    assert payloads[0]["inputs"] == payloads[1]["inputs"]
    assert payloads[0]["outputs"] == payloads[1]["outputs"]


def test_metadata_describes_what_is_served(client: httpx.Client) -> None:
    assert client.get("/v2").json()["extensions"] == [
        "binary_tensor_data",
        "classification",
        "parameters",
        "schedule_policy",
        "model_repository",
        "model_configuration",
        "statistics",
        "logging",
        "trace",
    ]
    metadata = client.get("/v2/models/linear").json()
    assert metadata == {
        "name": "linear",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
    }
    assert client.get("/v2/models/linear/versions/1").json() == metadata
    assert client.get("/v2/models/linear/ready").json() == {"name": "linear", "ready": True}
    assert "linear" in client.get("/v2/models").json()["models"]
    for path in ("/v2/models/none", "/v2/models/none/ready", "/v2/models/linear/versions/9/ready"):
        check_problem(client.get(path), 404, "not-found")


def test_a_payload_that_is_too_large_is_committed_to_and_not_kept(client: httpx.Client) -> None:
    body = {"inputs": [tensor("n", "INT64", [1], [5_000_000])]}
    answer = client.post("/v2/models/growing/infer", json=body)

    record_id = answer.headers["x-record-id"]
    record = client.get(f"/audit/records/{record_id}").json()["record"]
    payload = client.get(f"/audit/records/{record_id}/payload").json()

    assert answer.status_code == 200
    assert payload["committed"] is None
    assert (payload["inputs"], payload["outputs"]) == ([], [])
    given = encode_tensors({"n": np.array([5_000_000])})
    assert record["input"] == commit(bytes.fromhex(payload["salt"]), given)
