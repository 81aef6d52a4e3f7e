"""The log over HTTP: what outsiders read of a running gateway, and what witnesses say of it."""

import base64
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from registry.audit.segment import list_segments
from registry.audit.verify.faults import Mismatch
from registry.audit.verify.proofs import check_consistency, check_inclusion, hash_leaf
from registry.registry import Registry
from registry.tlog.note import Checkpoint, Verifier, split_note
from registry.tlog.signing import open_note
from tests.builders import PATIENCE_S, add_key, infer_body, linear_model, publish, serving
from tests.witness import WitnessServer

PUBLISHED_WITHIN_S = 1.5  # a poll of the journal and the pause between two checkpoints


@pytest.fixture
def token(tmp_path: Path, registry: Registry) -> str:
    publish(registry, "sum", linear_model())
    return add_key(registry)


def ask(client: httpx.Client) -> str:
    answer = client.post("/v2/models/sum/infer", json=infer_body([[1.0, 2.0, 3.0]]))
    return answer.headers["x-record-id"]


def wait_until(claim: Callable[[], bool]) -> None:
    """Return when a claim holds of another process, which tells nobody when it begins to."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def prove(client: httpx.Client, record_id: str) -> dict[str, object]:
    """Ask for a proof as a caller should: again, as long as the answer says so."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = client.get(f"/audit/records/{record_id}/proof")
        if answer.status_code == 200:
            proof: dict[str, object] = answer.json()
            return proof
        assert (answer.status_code, answer.json()["code"]) == (409, "not-yet-published")
        assert answer.headers["retry-after"] == "1"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_answer_is_soon_proved_by_what_its_proof_holds_alone(
    tmp_path: Path, token: str
) -> None:
    with serving(tmp_path, "--log-name", "gateway.example/log") as gateway:
        vkey = gateway.wait_for("log_opened")["vkey"]
        with gateway.client(token) as client:
            started = time.monotonic()
            proofs = [prove(client, ask(client)) for _ in range(3)]
            assert time.monotonic() - started < 3 * (PUBLISHED_WITHIN_S + gateway.started_s)
            assert client.get("/audit/vkey").text == vkey + "\n"

    verifier = Verifier.read(vkey)
    assert verifier.name == "gateway.example/log"
    for proof in proofs:
        head, _, note = str(proof["proof"]).partition("\n\n")
        kind, index, *hashes = head.split("\n")
        checkpoint = Checkpoint.read(open_note(note, verifier))
        leaf = base64.b64decode(str(proof["leaf"]))
        path = [base64.b64decode(one) for one in hashes]
        assert (kind, index) == ("c2sp.org/tlog-proof@v1", f"index {proof['index']}")
        assert str(proof["record_id"]).encode() in leaf
        place = (int(str(proof["index"])), checkpoint.size, path, checkpoint.root)
        check_inclusion(hash_leaf(leaf), *place)
        with pytest.raises(Mismatch):
            check_inclusion(hash_leaf(leaf + b" "), *place)


def test_a_stranger_reads_hashes_and_an_auditor_entries(tmp_path: Path, token: str) -> None:
    with (
        serving(tmp_path) as gateway,
        gateway.client(token) as client,
        gateway.client() as stranger,
    ):
        prove(client, ask(client))
        note = stranger.get("/audit/checkpoint")
        size = Checkpoint.read(note.text).size
        tile = stranger.get(f"/audit/tile/0/000.p/{size}")
        entries = client.get(f"/audit/tile/entries/000.p/{size}")

        assert note.headers["content-type"] == "text/plain; charset=utf-8"
        assert tile.headers["content-type"] == entries.headers["content-type"]
        assert tile.headers["content-type"] == "application/octet-stream"
        assert stranger.get(f"/audit/tile/entries/000.p/{size}").status_code == 401
        bundle, hashes = entries.content, b""
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            hashes += sha256(b"\0" + bundle[2 : 2 + length]).digest()
            bundle = bundle[2 + length :]
        assert hashes == tile.content
        for path in ("0/000", "0/001.p/1", "00/000.p/1", "64/000", "x/000", "0/0", "0/000.p/0"):
            missing = stranger.get(f"/audit/tile/{path}")
            assert (missing.status_code, missing.json()["code"]) == (404, "not-found")


def test_the_log_is_shown_to_grow(tmp_path: Path, token: str) -> None:
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        first = Checkpoint.read(client.get("/audit/checkpoint").text)
        prove(client, ask(client))
        last = Checkpoint.read(client.get("/audit/checkpoint").text)
        answer = client.get("/audit/consistency", params={"from": first.size}).json()
        assert (answer["from"], answer["to"]) == (first.size, last.size)
        path = [base64.b64decode(one) for one in answer["hashes"]]
        check_consistency(first.size, last.size, path, first.root, last.root)
        with pytest.raises(Mismatch):
            check_consistency(first.size, last.size, path, last.root, first.root)
        refused = client.get("/audit/consistency", params={"from": 2, "to": 1})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid-request")
        early = client.get("/audit/consistency", params={"from": 2, "to": 10**6})
        assert early.json()["code"] == "not-yet-published"


def test_the_key_of_a_running_gateway_is_changed(tmp_path: Path, token: str) -> None:
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        old = Verifier.read(client.get("/audit/vkey").text)
        command = [sys.executable, "-m", "gateway.cli", "audit", "rotate-key"]
        options = ["--data-dir", str(tmp_path), "--reason", "a drill"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
        new = Verifier.read(done.stdout)
        [record] = client.get("/audit/records", params={"kind": "rotation"}).json()["records"]
        assert record["record"]["vkeys"] == [old.write(), new.write()]
        wait_until(lambda: new.write() in client.get("/audit/vkey").text)
        wait_until(lambda: len(split_note(client.get("/audit/checkpoint").text)[1]) == 2)
        both = client.get("/audit/checkpoint").text
        prove(client, ask(client))
        after = client.get("/audit/checkpoint").text
        history = [one["vkey"] for one in client.get("/audit/vkeys").json()]

    # The checkpoint that both signed is the first one that covers the rotation.
    assert Checkpoint.read(open_note(both, old)).size > record["index"]
    assert open_note(both, new) == open_note(both, old)
    assert open_note(after, new)
    assert old.id not in base64.b64decode(after.rpartition(" ")[2])
    assert len(split_note(after)[1]) == 1
    assert history == [old.write(), new.write()]


def test_a_segment_goes_once_its_records_are_published(tmp_path: Path, token: str) -> None:
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        prove(client, ask(client))
        assert len(list_segments(tmp_path / "journal")) == 1
        gateway.stop()
    assert list_segments(tmp_path / "journal") == []


def test_a_segment_is_left_at_its_age_and_goes(tmp_path: Path, token: str) -> None:
    with serving(tmp_path, "--segment-age", "0.5") as gateway, gateway.client(token) as client:
        [first] = list_segments(tmp_path / "journal")
        ask(client)
        wait_until(lambda: not first.exists())
        assert ask(client)


@pytest.fixture
def witness(tmp_path: Path, token: str) -> Iterator[WitnessServer]:
    with serving(tmp_path) as gateway:
        vkey = gateway.wait_for("log_opened")["vkey"]
    server = WitnessServer(vkey)
    yield server
    server.close()


def witnessed(witness: WitnessServer) -> tuple[str, ...]:
    return ("--witness", witness.url, "--witness-key", witness.verifier.write())


def is_cosigned(client: httpx.Client, witness: WitnessServer) -> bool:
    _, lines = split_note(client.get("/audit/checkpoint").text)
    return any(line.startswith(f"— {witness.verifier.name} ") for line in lines)


def test_a_witness_cosigns_each_checkpoint_that_grew(
    tmp_path: Path, token: str, witness: WitnessServer
) -> None:
    for _ in range(2):  # the second gateway does not know what the witness has seen
        with (
            serving(tmp_path, *witnessed(witness)) as gateway,
            gateway.client(token) as client,
        ):
            for _ in range(2):
                prove(client, ask(client))
                wait_until(lambda: is_cosigned(client, witness))
                note = client.get("/audit/checkpoint").text
                assert Checkpoint.read(open_note(note, witness.verifier)).size >= 4
            assert gateway.stop() == 0
    assert set(witness.statuses) == {200, 409}  # never a proof that does not hold
    assert witness.statuses.count(409) == 1
