"""Admin and audit routes under hostile bodies, uploads and queries: refused, never a 500."""

from typing import Any

import httpx
import numpy as np
import pytest
from onnx import helper

from tests.builders import linear_model, make_model
from tests.http.wire import Wire
from tests.http.world import PROBLEM_TYPE, World, check_alive, check_problem, check_problem_body

JSON = {"content-type": "application/json"}
POSTS = ["/admin/keys", "/admin/models/linear/promotions", "/admin/models/linear/rollback"]
BAD_JSON = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"\xff", b'{"name":"\xff"}', b"\xef\xbb\xbf{}",
    b"[" * 60_000, b'{"a":' * 12_000, b"NaN", b'{"reason":"\\ud800"}',
    b'{"version":1,"reason":"x","name":"x","roles":["admin"],"unknown":1}',
    b'{"version":1e400,"reason":"x"}', b'{"version":"1","reason":"x"}',
    b'{"version":1,"reason":1}', b'{"version":1,"reason":""}',
    b'{"version":1,"reason":"' + b"x" * 1001 + b'"}',
    b'{"name":1,"roles":["admin"]}', b'{"name":"x","roles":"admin"}', b'{"name":"x","roles":[]}',
    b'{"name":"x","roles":["root"]}', b'{"name":"x","roles":[1]}',
    b'{"name":"x","roles":["admin"],"expires":"soon"}',
    b'{"name":"x","roles":["admin"],"expires":1e400}',
    b'{"name":"x","roles":["admin"],"expires":"2000-01-01T00:00:00Z"}',
    b'{"name":"x","roles":["admin"],"expires":"0001-01-01T00:00:00+23:59"}',
    b'{"name":"x","roles":["admin"],"expires":"9999-12-31T23:59:59-23:59"}',
    b'{"name":"' + b"x" * 201 + b'","roles":["admin"]}',
]  # fmt: skip
BAD_QUERIES = [
    "limit=0", "limit=-1", "limit=1001", "limit=" + "9" * 30, "limit=x", "limit=",
    "cursor=x", "cursor=", "cursor=%00", "cursor=01a2080a",
    "from=yesterday", "from=2026-01-01", "from=1e400", "from=nan", "from=-62135596801",
    "from=0001-01-01T00:00:00%2B23:59", "to=9999-12-31T23:59:59-23:59", "to=",
    "kind=other", "kind=", "outcome=ANSWERED", "version=x", "version=1.5",
]  # fmt: skip
STRANGE_QUERIES = [
    "from=2026-01-01T00:00:00", "from=0001-01-01T00:00:00", "to=9999-12-31T23:59:59Z",
    "from=9999-12-31T23:59:59", "to=0001-01-01T00:00:00Z", "version=-1", "version=0", "model=%00",
    "model=%ff", "model=%ed%a0%80", "lane=" + "x" * 5000, "limit=1&limit=2", "unknown=1", "%",
    "&&=&",
    "request_id=%F0%9F%98%80", "model=%27%20or%201=1--",
]  # fmt: skip
BAD_MANIFESTS = [
    b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"description":' + b"[" * 100_000,
    b'{"unknown":1}', b'{"description":1}', b'{"description":"\\ud800"}',
    b'{"lineage":{"data_rows":1.5}}', b'{"lineage":{"data_rows":' + b"9" * 5000 + b"}}",
    b'{"lineage":{"hyper_parameters":{"a":[1]}}}',
    b'{"contract":{"rules":[{}]}}', b'{"contract":{"rules":[{"input":"x","kind":"other"}]}}',
    b'{"contract":{"rules":[{"input":"z","kind":"missing","action":"reject"}]}}',
    b'{"contract":{"rules":[{"input":"x","kind":"range","action":"reject","low":1e400}]}}',
    b'{"contract":{"rules":[{"input":"x","kind":"range","action":"reject","low":5,"high":1}]}}',
    b'{"contract":{"rules":[{"input":"x","kind":"missing","action":"reject","column":'
    + b"9" * 30 + b"}]}}",
]  # fmt: skip


def upload(client: httpx.Client, *, name: str = "uploaded", **parts: Any) -> httpx.Response:
    files = [(part, ("file", content)) for part, content in parts.items()]
    return client.post(f"/admin/models/{name}/versions", files=files)


def refused(answer: httpx.Response) -> None:
    assert answer.status_code in (400, 404, 409, 422), answer.text
    check_problem(answer, answer.status_code)


@pytest.mark.parametrize("path", POSTS)
def test_a_bad_body_is_refused(client: httpx.Client, path: str) -> None:
    for body in BAD_JSON:
        refused(client.post(path, content=body, headers=JSON))
    for headers in ({}, {"content-type": "text/xml"}, {"content-type": "\\;;="}):
        refused(client.post(path, content=b"<a/>", headers=headers))
    refused(client.post(path, data={"a": "b"}))
    refused(client.post(path, files={"a": b"b"}))
    check_alive(client)


@pytest.mark.parametrize("path", POSTS)
def test_a_body_that_says_too_much_is_refused(client: httpx.Client, path: str) -> None:
    answer = client.post(path, content=b" " * 65_537, headers=JSON)

    check_problem(answer, 413, "body-too-large")
    check_alive(client)


@pytest.mark.parametrize("number", [0, -1, 999, 2**63, 10**30, -(10**30)])
def test_a_version_that_is_not_there_is_not_promoted(client: httpx.Client, number: int) -> None:
    order = {"version": number, "reason": "a test"}

    refused(client.post("/admin/models/linear/promotions", json=order))
    refused(client.post("/admin/models/linear/rollback", json=order))
    refused(client.post("/admin/models/none/promotions", json=order))
    refused(client.get(f"/admin/models/linear/versions/{number}"))


@pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: query[:30])
def test_a_bad_query_is_refused(client: httpx.Client, query: str) -> None:
    refused(client.get(f"/audit/records?{query}"))


@pytest.mark.parametrize("query", STRANGE_QUERIES, ids=lambda query: query[:30])
def test_a_strange_query_is_answered(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/audit/records?{query}")

    assert answer.status_code == 200
    assert answer.json().keys() == {"records", "cursor"}


def test_open_bounds_of_time_hold_every_record(client: httpx.Client) -> None:
    always = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}
    never = {"from": always["to"], "to": always["from"]}

    assert client.get("/audit/records", params=always).json()["records"]
    assert client.get("/audit/records", params=never).json()["records"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/audit/records/x", "/audit/records/%00", "/audit/records/%ff/payload",
        "/audit/records/" + "x" * 8000, "/admin/models/" + "x" * 8000, "/admin/models/%E2%80%AEx",
        "/admin/models/linear/versions/x", "/admin/models/linear/history?at=x",
        "/admin/models/linear/history?at=0001-01-01T00:00:00%2B23:59", "/admin/models/%00/history",
    ],
    ids=lambda path: path[:40],
)  # fmt: skip
def test_a_hostile_address_is_refused(client: httpx.Client, path: str) -> None:
    refused(client.get(path))


def test_a_key_that_is_not_there_is_not_revoked(client: httpx.Client) -> None:
    for key in ("none", "%00", "%ff", "x" * 8000):
        check_problem(client.delete(f"/admin/keys/{key}"), 404, "not-found")


@pytest.mark.parametrize("manifest", BAD_MANIFESTS, ids=lambda text: text[:40].decode("latin-1"))
def test_a_bad_manifest_is_rejected(client: httpx.Client, manifest: bytes) -> None:
    answer = upload(client, model=linear_model(), manifest=manifest)

    assert check_problem(answer, 422, "rejected")["check"] in ("manifest", "contract")


def test_a_file_that_is_no_model_is_rejected(client: httpx.Client) -> None:
    good = linear_model()
    random = np.random.default_rng(20).bytes(10_000)
    flipped = bytes(byte ^ 0x55 for byte in good)
    for content in (b"", b"garbage", random, flipped, b"PK\x03\x04" + random, b"\x80\x04K\x01."):
        assert check_problem(upload(client, model=content), 422, "rejected")["check"] == "load"
    for at in (1, len(good) // 4, len(good) // 2, len(good) - 1):
        check_problem(upload(client, model=good[:at]), 422, "rejected")
    check_problem(client.get("/admin/models/uploaded"), 404, "not-found")


def test_an_upload_without_its_parts_is_refused(client: httpx.Client) -> None:
    path, good = "/admin/models/uploaded/versions", linear_model()
    refused(client.post(path))
    refused(client.post(path, json={"model": "x"}))
    refused(client.post(path, files={"other": good}))
    refused(client.post(path, files={"model": (None, b"text")}))
    refused(client.post(path, files=[("model", ("m", good)), ("model", ("m", good))]))
    refused(client.post(path, files=[(f"part{n}", ("m", b"x")) for n in range(1500)]))
    for boundary, body in [
        (b"", b"--b\r\n\r\n"),
        (b"; boundary=b", b"--c\r\n\r\n"),
        (
            b"; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="model"; filename=m\r\n\r\n',
        ),
        (b"; boundary=b", b"--b\r\n\xff\xfe\r\n\r\nx\r\n--b--\r\n"),
        (b"; boundary=" + b"b" * 5000, b"--b\r\n\r\n"),
    ]:
        headers = {b"content-type": b"multipart/form-data" + boundary}
        refused(client.post(path, content=body, headers=headers))


@pytest.mark.parametrize("name", ["stats", "a%0A", "%00", "-x", "a b", "%ff", "a" * 129, "a..b"])
def test_a_hostile_name_never_becomes_a_model(client: httpx.Client, name: str) -> None:
    check_problem(upload(client, name=name, model=linear_model()), 400, "invalid-request")


def test_an_upload_over_the_limit_is_refused_before_it_comes(world: World) -> None:
    with Wire(world) as wire:
        form = b"content-type: multipart/form-data; boundary=b"
        wire.begin(b"/admin/models/big/versions", form, b"content-length: %d" % (1 << 40))
        answer = wire.read()

    check_problem_body(413, answer.content_type, answer.body, PROBLEM_TYPE, "body-too-large")


def test_a_model_that_needs_too_much_memory_is_rejected(client: httpx.Client) -> None:
    huge = make_model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [("x", "FP32", (1 << 40,))],
        [("y", "FP32", (1 << 40,))],
    )

    check_problem(upload(client, model=huge), 422, "rejected")
