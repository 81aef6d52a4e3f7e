"""`gateway audit verify` and `export-log`: what they say, and the status that they end with."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from registry.store import open_store
from registry.tlog.note import Checkpoint
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import consistency_proof, inclusion_proof
from tests.builders import (
    PATIENCE_S,
    add_key,
    infer_body,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.verify.logs import OTHER, VKEY, extend, make_entry, sign, write_log

Run = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    data_dir = tmp_path / "data"
    write_log(data_dir, (300,)).close()
    return data_dir


@pytest.fixture
def run(data_dir: Path) -> Run:
    def invoke(*arguments: object) -> Result:
        command = ["audit", *map(str, arguments)]
        return CliRunner().invoke(main, command, env={"GATEWAY_DATA_DIR": str(data_dir)})

    return invoke


def spoil(data_dir: Path) -> None:
    """Change one byte of a leaf in the store's file."""
    path = data_dir / "store.sqlite3"
    data = path.read_bytes()
    place = data.index(b'"request_id":"request-77"')
    path.write_bytes(data[:place] + data[place:].replace(b"request-77", b"request-78", 1))


def test_a_valid_log_ends_with_0_and_says_that_nobody_vouched_for_its_key(run: Run) -> None:
    result = run("verify")
    assert result.exit_code == 0
    assert "valid" in result.stdout
    assert "300 records" in result.stdout
    assert "NOT PINNED" in result.stdout


def test_a_pinned_key_is_the_only_one_that_counts(run: Run) -> None:
    result = run("verify", "--vkey", VKEY)
    assert result.exit_code == 0
    assert "as trusted" in result.stdout
    result = run("verify", "--vkey", OTHER.verifier.write())
    assert result.exit_code == 1
    assert "NOT VALID" in result.stdout
    assert "no signature by a key that counts" in result.stdout


def test_the_report_is_json_where_asked_for(run: Run) -> None:
    report = json.loads(run("verify", "--vkey", VKEY, "--json").stdout)
    assert report["valid"] is report["pinned"] is True
    assert report["fault"] is None
    assert (report["records"], report["payloads"], report["checkpoints"]) == (300, 300, 1)
    report = json.loads(run("verify", "--tree-only", "--json").stdout)
    assert (report["records"], report["payloads"], report["pinned"]) == (300, 0, False)


def test_the_first_record_that_does_not_fit_is_named(run: Run, data_dir: Path) -> None:
    spoil(data_dir)
    result = run("verify")
    assert result.exit_code == 1
    [line] = [line for line in result.stdout.splitlines() if "does not fit" in line]
    record_id = json.loads(make_entry(77).leaf)["id"]
    assert line.split()[-2:] == ["77", record_id]
    report = json.loads(run("verify", "--json").stdout)
    assert report["valid"] is False
    assert (report["fault"]["first"], report["fault"]["last"]) == (77, 77)
    assert report["fault"]["record_id"] == record_id


def test_what_was_published_must_still_be_there(run: Run, data_dir: Path, tmp_path: Path) -> None:
    store = open_store(data_dir)
    before = store.checkpoint()
    extend(store, 320)
    newer = sign(store)
    store.close()
    assert before is not None
    saved = tmp_path / "saved"
    saved.write_text(before.note)
    assert run("verify", "--checkpoint", saved).exit_code == 0

    other = tmp_path / "other"
    write_log(other, (300,)).close()
    saved.write_text(newer)
    result = run("verify", "--data-dir", other, "--checkpoint", saved)
    assert result.exit_code == 1
    assert "one of 300 to 319" in result.stdout
    # The gateway's own file counts as well.
    assert run("verify", "--data-dir", other).exit_code == 0
    (other / "checkpoint").write_text(newer)
    assert run("verify", "--data-dir", other).exit_code == 1


def test_an_export_is_checked_without_the_store(run: Run, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "export"
    result = run("export-log", "--to", target, "--payloads")
    assert result.exit_code == 0
    assert "300 records" in result.stdout
    (data_dir / "store.sqlite3").unlink()
    report = json.loads(run("verify", "--export", target, "--vkey", VKEY, "--json").stdout)
    assert (report["valid"], report["records"], report["payloads"]) == (True, 300, 300)


def test_a_log_that_was_never_signed_is_not_exported(run: Run, tmp_path: Path) -> None:
    write_log(tmp_path / "new", ()).close()
    result = run("export-log", "--to", tmp_path / "x", "--data-dir", tmp_path / "new")
    assert result.exit_code == 1
    assert "No published checkpoint covers the log yet" in result.stderr
    assert run("verify", "--data-dir", tmp_path / "new").exit_code == 1


def write_answers(data_dir: Path, folder: Path) -> dict[str, Path]:
    """Write what the gateway answers to those who ask for proofs."""
    store = open_store(data_dir)
    old = store.checkpoint()
    extend(store, 350)
    note = sign(store)
    nodes = TileNodes(store.tile)
    hashes = [base64.b64encode(one).decode() for one in inclusion_proof(7, 350, nodes)]
    growth = [base64.b64encode(one).decode() for one in consistency_proof(300, 350, nodes)]
    store.close()
    assert old is not None
    proof = "\n".join(["c2sp.org/tlog-proof@v1", "index 7", *hashes, "", note])
    leaf = make_entry(7).leaf
    answer = {"index": 7, "leaf": base64.b64encode(leaf).decode(), "proof": proof}
    texts: dict[str, str | bytes] = {
        "answer": json.dumps(answer),
        "proof": proof,
        "leaf": leaf,
        "old": old.note,
        "new": note,
        "growth": json.dumps({"from": 300, "to": 350, "hashes": growth}),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return {name: folder / name for name in texts}


def test_a_receipt_proves_one_record(run: Run, data_dir: Path, tmp_path: Path) -> None:
    paths = write_answers(data_dir, tmp_path)
    trusted = ("--vkey", VKEY, "--json")
    for arguments in (
        ("--receipt", paths["answer"]),
        ("--receipt", paths["proof"], "--record", paths["leaf"]),
    ):
        result = run("verify", *arguments, *trusted)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["index"] == 7
    assert run("verify", "--receipt", paths["proof"], *trusted).exit_code == 2
    assert run("verify", "--receipt", paths["answer"]).exit_code == 2
    paths["leaf"].write_bytes(make_entry(8).leaf)
    result = run("verify", "--receipt", paths["proof"], "--record", paths["leaf"], *trusted)
    assert result.exit_code == 1
    assert "does not lead from the record to the root" in result.stdout


def test_a_consistency_proof_shows_that_the_log_only_grew(
    run: Run, data_dir: Path, tmp_path: Path
) -> None:
    paths = write_answers(data_dir, tmp_path)
    both = ("--checkpoint", paths["new"], "--checkpoint", paths["old"])
    proof = ("verify", "--consistency", paths["growth"])
    assert run(*proof, *both, "--vkey", VKEY).exit_code == 0
    assert run(*proof, *both).exit_code == 2
    assert run(*proof, *both[:2], "--vkey", VKEY).exit_code == 2
    told = json.loads(paths["growth"].read_text())
    for change in ({"hashes": told["hashes"][:-1]}, {"from": 299}, {"hashes": None}):
        paths["growth"].write_text(json.dumps(told | change))
        assert run(*proof, *both, "--vkey", VKEY).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--vkey", "no key"),
        ("--data-dir", "nowhere"),
        ("--export", "nowhere"),
        ("--receipt", "nowhere"),
        ("--checkpoint", "nowhere"),
        ("--no-such-option",),
    ],
)
def test_a_wrong_use_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("verify", *arguments).exit_code == 2


def test_the_log_of_a_running_gateway_is_checked_and_left_alone(tmp_path: Path, run: Run) -> None:
    """Records, proofs and consistency by HTTP, as an auditor gets them."""
    data_dir = tmp_path / "served"
    registry = open_registry(data_dir)
    publish(registry, "m", linear_model())
    token = add_key(registry)
    registry.store.close()
    with serving(data_dir) as gateway, gateway.client(token) as client:
        ids = []
        for _ in range(20):
            answer = client.post("/v2/models/m/infer", json=infer_body([[1.0, 2.0, 3.0]]))
            ids.append(answer.json()["parameters"]["record_id"])
        proof = _await_proof(client, ids[-1])
        vkey = client.get("/audit/vkey").text.strip()
        (tmp_path / "receipt").write_bytes(proof.content)
        checkpoint = client.get("/audit/checkpoint").text
        (tmp_path / "checkpoint").write_text(checkpoint)
        online = run("verify", "--data-dir", data_dir, "--vkey", vkey, "--json")
        client.post("/v2/models/m/infer", json=infer_body([[1.0, 2.0, 3.0]])).raise_for_status()
    assert online.exit_code == 0, online.output
    assert json.loads(online.stdout)["payloads"] >= 20
    receipt = run("verify", "--receipt", tmp_path / "receipt", "--vkey", vkey, "--json")
    assert receipt.exit_code == 0, receipt.output
    after = run(
        "verify", "--data-dir", data_dir, "--vkey", vkey, "--json",
        "--checkpoint", tmp_path / "checkpoint",
    )  # fmt: skip
    assert after.exit_code == 0, after.output
    assert json.loads(after.stdout)["records"] > Checkpoint.read(checkpoint).size


def _await_proof(client: Any, record_id: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = client.get(f"/audit/records/{record_id}/proof")
        if answer.status_code == 200:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
