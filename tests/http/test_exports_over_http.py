"""Exports over HTTP: streamed, of what is published, and recorded before the first byte."""

import csv
import io
import json
import socket
import time
from base64 import b64decode

import httpx
import pyarrow.parquet
import pytest

from registry.tlog.note import Checkpoint
from tests.builders import PATIENCE_S, infer_body
from tests.http.world import World, check_problem


@pytest.fixture
def exported(client: httpx.Client) -> str:
    """The request id of three records that are published."""
    name = f"exported-{time.monotonic_ns()}"
    record_ids = []
    for _ in range(3):
        body = {**infer_body([[1, 2, 3]]), "id": name}
        answer = client.post("/v2/models/linear/infer", json=body)
        record_ids.append(answer.headers["x-record-id"])
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if client.get(f"/audit/records/{record_ids[-1]}/proof").status_code == 200:
            return name
    raise AssertionError("the records were not published")


def test_an_export_has_the_records_that_fit_and_names_its_checkpoint(
    client: httpx.Client, exported: str
) -> None:
    found = client.get("/audit/records", params={"request_id": exported}).json()["records"]
    answer = client.get("/audit/export", params={"request_id": exported, "proofs": "true"})

    *lines, end = (json.loads(line) for line in answer.text.splitlines())
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [(line["index"], line["record"]) for line in lines] == [
        (one["index"], one["record"]) for one in found
    ]
    assert len(lines) == end["records"] == 3
    note = b64decode(answer.headers["x-log-checkpoint"]).decode()
    assert note == end["checkpoint"]
    assert Checkpoint.read(note).size == end["size"] == int(answer.headers["x-log-size"])
    assert all(line["proof"] for line in lines)


def test_the_other_formats_have_the_same_records(client: httpx.Client, exported: str) -> None:
    asked = {"request_id": exported, "model": "linear", "kind": "inference"}
    lines = client.get("/audit/export", params=asked).text.splitlines()[:-1]
    indexes = [json.loads(line)["index"] for line in lines]
    table = client.get("/audit/export", params={**asked, "format": "csv"})
    parquet = client.get("/audit/export", params={**asked, "format": "parquet"})

    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [int(row["index"]) for row in rows] == indexes
    assert 'filename="records.csv"' in table.headers["content-disposition"]
    file = pyarrow.parquet.read_table(io.BytesIO(parquet.content))
    assert file.column("index").to_pylist() == indexes
    assert len(indexes) == 3


def test_an_export_is_recorded_as_a_read(world: World, client: httpx.Client, exported: str) -> None:
    client.get("/audit/export", params={"request_id": exported, "format": "csv"})

    reads = client.get("/audit/records", params={"kind": "read", "limit": 5}).json()["records"]
    [read] = [one["record"] for one in reads if one["record"]["action"] == "GET /audit/export"][:1]
    assert read["subject"] == f"/audit/export?request_id={exported}&format=csv"
    assert "rows" not in read
    assert read["principal"].startswith("key-")


def test_what_no_format_is_and_nonsense_are_refused_before_anything_is_sent(
    client: httpx.Client,
) -> None:
    check_problem(client.get("/audit/export?format=xlsx"), 400, "bad-request")
    check_problem(client.get("/audit/export?version=one"), 400, "bad-request")
    check_problem(client.get("/audit/export?from=yesterday"), 400, "bad-request")


def test_a_caller_who_leaves_in_the_middle_harms_nobody(
    world: World, client: httpx.Client, exported: str
) -> None:
    host, port = client.base_url.host, client.base_url.port
    request = (
        f"GET /audit/export HTTP/1.1\r\nhost: {host}\r\n"
        f"authorization: Bearer {world.tokens['auditor']}\r\n\r\n"
    )
    for _ in range(5):
        with socket.create_connection((host, port or 80)) as hasty:
            hasty.sendall(request.encode())
            assert hasty.recv(8) == b"HTTP/1.1"
    assert client.get("/audit/export", params={"request_id": exported}).status_code == 200
