"""The command lines: what they print, and that a refusal is one line and a status of 1."""

from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import gateway.cli
import registry.cli
from tests.builders import linear_model


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(linear_model())
    return path


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


def run(group: click.Group, *arguments: object) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def registry_command(*arguments: object) -> str:
    result = run(registry.cli.main, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_file_becomes_a_live_version_in_one_command(model_file: Path, data_dir: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
    reference = data_dir.parent / "x.npz"
    np.savez(reference, x=rows)

    output = registry_command(
        "publish", model_file, "--name", "sum", "--reference", reference,
        "--promote", "--reason", "first",
    )  # fmt: skip

    assert "champion" in output
    shown = registry_command("show", "sum", 1)
    assert "x[2]" in shown
    assert "sha256:" in shown
    assert "champion" in registry_command("list")
    assert "first" in registry_command("history", "sum")


def test_what_is_live_moves_by_command(model_file: Path, data_dir: Path) -> None:
    for _ in range(2):
        registry_command("publish", model_file, "--name", "sum")
    registry_command("promote", "sum", 1, "--reason", "a")
    registry_command("promote", "sum", 2, "--reason", "b")
    registry_command("rollback", "sum", "--reason", "c")
    registry_command("alias", "sum", "mine", 2, "--reason", "d")
    registry_command("unalias", "sum", "mine", "--reason", "e")
    assert "retired" in registry_command("retire", "sum", 2, "--reason", "f")

    assert "rollback" in registry_command("history", "sum")
    assert "No version" in registry_command("history", "sum", "--at", "2020-01-01")
    assert "rollback" in registry_command("history", "sum", "--at", "2999-01-01")
    assert "All 2 versions are whole." in registry_command("check")


def test_check_names_what_is_damaged(model_file: Path, data_dir: Path) -> None:
    registry_command("publish", model_file, "--name", "sum")
    [artifact] = [
        path
        for path in (data_dir / "artifacts").rglob("*")
        if path.is_file() and path.read_bytes() == linear_model()
    ]
    artifact.chmod(0o600)
    artifact.write_bytes(b"something else")

    result = run(registry.cli.main, "check")

    assert result.exit_code == 1
    assert "sum 1, artifact: Artifact sha256:" in result.output


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["show", "nothing", "1"], 1),
        (["promote", "nothing", "1", "--reason", "r"], 1),
        (["publish", "MODEL", "--name", "../x"], 1),
        (["publish", "MODEL", "--name", "sum", "--contract", "CONTRACT"], 1),
        (["publish", "CONTRACT", "--name", "sum"], 1),
        (["publish", "MODEL", "--name", "sum", "--reference", "CONTRACT"], 1),
        (["publish", "MODEL", "--name", "sum", "--promote"], 1),
    ],
)
def test_a_refusal_is_one_line(
    model_file: Path, data_dir: Path, arguments: list[str], status: int
) -> None:
    contract = data_dir.parent / "contract.json"
    contract.write_text('{"rules": [{"what": 1}]}')
    files = {"MODEL": str(model_file), "CONTRACT": str(contract)}

    result = run(registry.cli.main, *(files.get(argument, argument) for argument in arguments))

    assert result.exit_code == status
    assert "Traceback" not in result.output
    assert result.output.strip().splitlines()[-1].startswith("Error: ")


def test_a_key_shows_its_token_once(data_dir: Path) -> None:
    made = run(gateway.cli.main, "keys", "create", "--role", "viewer", "--name", "me", "--days", 3)
    token = made.stdout.strip().splitlines()[-1]
    listed = run(gateway.cli.main, "keys", "list").output
    key_id = made.stderr.split()[0]

    assert token.startswith("gw_")
    assert token not in listed
    assert key_id in listed
    assert run(gateway.cli.main, "keys", "revoke", key_id).exit_code == 0
    assert run(gateway.cli.main, "keys", "revoke", "key-0").exit_code == 1
    told = run(gateway.cli.main, "audit", "records", "--kind", "admin").output
    assert "key.create" in told
    assert "key.revoke" in told


def test_a_role_that_does_not_exist_is_a_usage_error(data_dir: Path) -> None:
    assert run(gateway.cli.main, "keys", "create", "--role", "root").exit_code == 2
