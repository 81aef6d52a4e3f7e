"""Every command of `registry`, as an operator types it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from onnx import helper

from registry.cli import main
from registry.console import local_author, printable
from registry.entry import decode_record
from registry.manifest import Action
from registry.records import AuditRecord, RecordFilter
from tests.builders import linear_model, make_model, open_registry, two_input_model
from tests.cli.results import fail, succeed

Run = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data_dir: Path) -> Run:
    """Run one command on the data directory."""

    def invoke(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, [command, *arguments, "--data-dir", str(data_dir)])

    return invoke


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(two_input_model())
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Training data: 60 rows, one distance of which is missing."""
    path = tmp_path / "train.csv"
    rows = [f"{100 + number},{'AA' if number % 2 else 'UA'}" for number in range(59)]
    path.write_text("distance,carrier\n" + "\n".join(rows) + "\n,AA\n")
    return path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the versions 1 and 2 of `flights`, of which 1 is the champion."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "model.onnx").write_bytes(two_input_model())
    publish = ["publish", str(folder / "model.onnx"), "--name", "flights"]
    for options in (("--promote", "--reason", "the first"), ()):
        succeed(CliRunner().invoke(main, [*publish, "--data-dir", str(folder / "data"), *options]))
    return folder / "data"


@pytest.fixture
def two_versions(template: Path, data_dir: Path) -> None:
    shutil.copytree(template, data_dir)


def records(data_dir: Path) -> list[AuditRecord]:
    registry = open_registry(data_dir)
    found = registry.store.records(RecordFilter(), before=None, limit=1000)
    registry.store.close()
    return [decode_record(leaf) for _, leaf in sorted(found)]


def aliases(data_dir: Path) -> dict[str, int]:
    registry = open_registry(data_dir)
    found = registry.store.aliases("flights")
    registry.store.close()
    return found


def test_publishing_says_what_was_published(run: Run, model_file: Path, data_dir: Path) -> None:
    said = succeed(run("publish", str(model_file), "--name", "flights", "--description", "late?"))
    registry = open_registry(data_dir)
    version = registry.version("flights", 1)
    registry.store.close()
    for part in ("flights 1", version.artifact, version.manifest, "late?", "distance", "carrier",
                 "FP32", "BYTES", "[-1, 1]", "onnxruntime-", "accepts every value"):  # fmt: skip
        assert part in said
    assert aliases(data_dir) == {}


def test_the_author_is_the_user_of_the_system(
    run: Run, model_file: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    succeed(run("publish", str(model_file), "--name", "flights"))
    [record] = records(data_dir)
    assert record.principal == local_author().principal
    assert record.principal.startswith("local:")
    assert "somebody" not in record.principal


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_123_456)
    assert local_author().principal == "local:4123456"


def test_a_reference_gives_contract_and_lineage(run: Run, model_file: Path, table: Path) -> None:
    said = succeed(run("publish", str(model_file), "--name", "flights", "--reference", str(table)))
    for part in ("range", "categories", "missing", "flag", "observe", "AA, UA"):
        assert part in said
    said = succeed(run("show", "flights", "1"))
    for part in ("Reference of 60 rows", "100 to 158", "distance, carrier", "sha256:"):
        assert part in said


def test_held_out_rows_add_what_the_model_answers(run: Run, model_file: Path, table: Path) -> None:
    reference = ("--reference", str(table))
    fail(run("publish", str(model_file), "--name", "f", "--holdout", str(table)), "together")
    succeed(run("publish", str(model_file), "--name", "flights", *reference))
    assert "describes no outputs" in succeed(run("show", "flights", "1"))
    options = (*reference, "--holdout", str(table))
    succeed(run("publish", str(model_file), "--name", "flights", *options))
    said = succeed(run("show", "flights", "2"))
    assert "describes no outputs" not in said
    outputs = said[said.index("Outputs on 60 held-out rows") :]
    assert "100 to 158" in outputs
    assert "AA (50.0 %), UA (50.0 %)" in outputs


def test_a_terminal_that_has_no_blocks_gets_letters(
    run: Run, model_file: Path, table: Path, data_dir: Path
) -> None:
    options = ("--reference", str(table), "--holdout", str(table))
    succeed(run("publish", str(model_file), "--name", "flights", *options))
    assert "█" in succeed(run("show", "flights", "1"))
    command = ("show", "flights", "1", "--data-dir", str(data_dir))
    for encoding, blocks in (("ascii", "@"), ("latin-1", "@"), ("utf-8", "█")):
        answer = subprocess.run(
            [sys.executable, "-m", "registry.cli", *command],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        )
        assert blocks in answer.stdout.decode(encoding)


def test_a_contract_replaces_that_of_the_reference(
    run: Run, model_file: Path, table: Path, tmp_path: Path
) -> None:
    rule = {"input": "distance", "kind": "range", "action": "reject", "low": 0}
    contract = tmp_path / "contract.json"
    contract.write_text(json.dumps({"rules": [rule]}))
    said = succeed(
        run("publish", str(model_file), "--name", "flights", "--reference", str(table),
            "--contract", str(contract))
    )  # fmt: skip
    assert "reject" in said
    assert "at least 0" in said
    assert "categories" not in said


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"rules": [{"input": "distance"}]}', '{"rule": []}', "[" * 100_000, "\xff",
     '{"rules": [{"input": "gone", "kind": "missing", "action": "flag"}]}'],
)  # fmt: skip
def test_a_contract_that_is_none_is_refused_and_nothing_is_made(
    run: Run, model_file: Path, tmp_path: Path, content: str
) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text(content, "latin-1")
    fail(run("publish", str(model_file), "--name", "flights", "--contract", str(contract)))


def test_a_contract_that_does_not_fit_the_model_is_refused_with_its_line(
    run: Run, model_file: Path, tmp_path: Path
) -> None:
    contract = tmp_path / "rules.toml"
    contract.write_text('[[rules]]\nkind = "missing"\ninput = "gone"\naction = "flag"\n')
    result = run("publish", str(model_file), "--name", "flights", "--contract", str(contract))
    fail(result)
    assert "rules.toml, line 3: missing: the model has no input 'gone'." in result.stderr


def test_a_derived_contract_is_written_edited_and_published(
    run: Run, model_file: Path, table: Path, tmp_path: Path, data_dir: Path
) -> None:
    derive = ["contract", "derive", str(model_file), "--reference", str(table)]
    written = succeed(CliRunner().invoke(main, derive))
    assert "warm_up_s = 3600.0" in written
    contract = tmp_path / "contract.toml"
    contract.write_text(written.replace('"flag"', '"reject"'))
    publish = ("publish", str(model_file), "--name", "flights", "--reference", str(table))

    succeed(run(*publish, "--contract", str(contract)))
    succeed(run(*publish, "--warm-up", "5"))

    shown = succeed(run("contract", "show", "flights", "1"))
    assert shown == contract.read_text()
    assert "warm_up_s = 5.0" in succeed(run("contract", "show", "flights", "2"))
    registry = open_registry(data_dir)
    found = registry.manifest(registry.version("flights", 2)).contract
    registry.store.close()
    assert found.warm_up_s == 5
    assert {rule.action for rule in found.rules} == {Action.FLAG, Action.OBSERVE}


def test_showing_a_version_says_until_when_its_rules_only_observe(
    run: Run, model_file: Path, table: Path
) -> None:
    publish = ("publish", str(model_file), "--name", "flights", "--reference", str(table))
    succeed(run(*publish))
    assert "only observe" not in succeed(run("show", "flights", "1"))
    succeed(run("promote", "flights", "1", "--reason", "first"))
    assert "Its rules only observe until" in succeed(run("show", "flights", "1"))


def write_sample(tmp_path: Path, **changes: Any) -> str:
    columns = {
        "distance": ("FP32", [100.0]),
        "carrier": ("BYTES", ["AA"]),
    }
    inputs = [
        {"name": name, "datatype": datatype, "shape": [1, 1], "data": data} | changes
        for name, (datatype, data) in columns.items()
    ]
    path = tmp_path / "sample.json"
    path.write_text(json.dumps({"id": "a request as it is sent", "inputs": inputs}))
    return str(path)


def test_a_sample_is_kept_with_the_version(run: Run, model_file: Path, tmp_path: Path,
                                           data_dir: Path) -> None:  # fmt: skip
    sample = write_sample(tmp_path)
    succeed(run("publish", str(model_file), "--name", "flights", "--sample", sample))
    registry = open_registry(data_dir)
    manifest = registry.manifest(registry.version("flights", 1))
    assert [(tensor.name, tensor.data) for tensor in manifest.sample] == [
        ("distance", (100.0,)), ("carrier", ("AA",)),
    ]  # fmt: skip


@pytest.mark.parametrize("changes", [{"shape": [2, 1]}, {"datatype": "FP31"}, {"data": 3}])
def test_a_sample_that_does_not_fit_is_refused(
    run: Run, model_file: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    sample = write_sample(tmp_path, **changes)
    fail(run("publish", str(model_file), "--name", "flights", "--sample", sample))


def test_a_version_that_ran_on_nothing_says_so(run: Run, tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    sides = [("x", "FP32", (6,)), ("shape", "INT64", (2,))]
    path = tmp_path / "model.onnx"
    path.write_bytes(make_model([node], sides, [("y", "FP32", ("n", "m"))]))
    said = succeed(run("publish", str(path), "--name", "picky"))
    assert "runs on no input that was tried" in said
    assert "--sample" in said


def test_publishing_and_promoting_is_one_command(
    run: Run, model_file: Path, data_dir: Path
) -> None:
    said = succeed(
        run("publish", str(model_file), "--name", "flights", "--promote", "--reason", "first")
    )
    assert "champion" in said
    assert aliases(data_dir) == {"champion": 1}
    assert [(one.action, one.reason) for one in records(data_dir)] == [
        ("publish", None), ("promote", "first"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [("--promote",), ("--reason", "why"), ("--promote", "--reason", " "),
     ("--promote", "--reason", "x" * 1001)],
)  # fmt: skip
def test_no_version_is_left_where_its_promotion_would_be_refused(
    run: Run, model_file: Path, data_dir: Path, options: tuple[str, ...]
) -> None:
    fail(run("publish", str(model_file), "--name", "flights", *options))
    assert not data_dir.exists()


def test_a_file_that_is_no_model_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    fail(run("publish", str(tmp_path / "model.onnx"), "--name", "flights"), "ONNX")


def test_a_table_that_does_not_fit_is_refused_in_one_line(
    run: Run, model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("distance\n1\n")
    fail(run("publish", str(model_file), "--name", "f", "--reference", str(tmp_path / "bad.csv")))


def test_a_missing_extra_matters_only_to_a_reference(
    run: Run, model_file: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("registry.publishing.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    succeed(run("publish", str(model_file), "--name", "flights"))
    fail(
        run("publish", str(model_file), "--name", "flights", "--reference", str(table)),
        "governed-gateway[publish]",
    )


def test_what_only_publishing_needs_is_not_imported() -> None:
    code = "import sys, registry.cli; print(sorted(sys.modules))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)
    for name in ("sklearn", "skl2onnx", "'onnx'", "pyarrow", "pandas", "gateway", "litestar"):
        assert name not in loaded


@pytest.mark.usefixtures("two_versions")
def test_versions_are_listed_with_their_aliases(run: Run, model_file: Path) -> None:
    succeed(run("publish", str(model_file), "--name", "other"))
    everything = succeed(run("list"))
    assert everything.count("flights") == 2
    assert "other" in everything
    assert everything.count("champion") == 1
    assert "other" not in succeed(run("list", "flights"))


@pytest.mark.usefixtures("two_versions")
def test_nothing_is_cut_where_another_program_reads(run: Run, data_dir: Path) -> None:
    reason = "because " * 40
    succeed(run("promote", "flights", "2", "--reason", reason))
    assert reason.strip() in succeed(run("history", "flights"))
    assert records(data_dir)[-1].id in succeed(run("history", "flights"))


@pytest.mark.usefixtures("two_versions")
def test_promotion_and_rollback_move_the_champion(run: Run, data_dir: Path) -> None:
    assert "version 2" in succeed(run("promote", "flights", "2", "--reason", "better"))
    assert aliases(data_dir) == {"champion": 2}
    assert "version 1" in succeed(run("rollback", "flights", "--reason", "worse"))
    assert aliases(data_dir) == {"champion": 1}
    assert [one.action for one in records(data_dir)[-2:]] == ["promote", "rollback"]
    assert [one.reason for one in records(data_dir)[-2:]] == ["better", "worse"]


@pytest.mark.usefixtures("two_versions")
def test_a_rollback_can_name_its_version(run: Run, data_dir: Path, model_file: Path) -> None:
    succeed(run("publish", str(model_file), "--name", "flights"))
    for number in ("2", "3"):
        succeed(run("promote", "flights", number, "--reason", "better"))
    succeed(run("rollback", "flights", "--reason", "worse", "--version", "1"))
    assert aliases(data_dir) == {"champion": 1}


@pytest.mark.usefixtures("two_versions")
def test_an_alias_comes_and_goes(run: Run, data_dir: Path) -> None:
    succeed(run("alias", "flights", "blue", "2", "--reason", "try it"))
    assert aliases(data_dir) == {"blue": 2, "champion": 1}
    assert "blue" in succeed(run("show", "flights", "2"))
    assert "nothing" in succeed(run("unalias", "flights", "blue", "--reason", "tried"))
    assert aliases(data_dir) == {"champion": 1}


@pytest.mark.usefixtures("two_versions")
def test_a_version_can_be_retired_unless_it_is_live(run: Run) -> None:
    assert "retired" in succeed(run("retire", "flights", "2", "--reason", "old"))
    assert "retired" in succeed(run("list"))
    fail(run("retire", "flights", "1", "--reason", "old"), "champion")
    fail(run("promote", "flights", "2", "--reason", "again"), "retired")


@pytest.mark.usefixtures("two_versions")
def test_history_says_who_set_what_live_when_and_why(run: Run, data_dir: Path) -> None:
    succeed(run("promote", "flights", "2", "--reason", "better"))
    said = succeed(run("history", "flights"))
    for part in ("the first", "better", "promote", "champion", local_author().principal):
        assert part in said
    registry = open_registry(data_dir)
    first, second = registry.store.alias_changes("flights")
    registry.store.close()
    then = succeed(run("history", "flights", "--at", first.at.isoformat()))
    assert "the first" in then
    assert "better" not in then
    then = succeed(run("history", "flights", "--at", second.at.isoformat()))
    assert "better" in then
    assert "the first" not in then
    assert "No version" in succeed(run("history", "flights", "--at", "2000-01-01"))


@pytest.mark.usefixtures("two_versions")
def test_a_time_outside_the_calendar_is_refused(run: Run) -> None:
    fail(run("history", "flights", "--at", "9999-12-31T23:59:59-12:00"))


@pytest.mark.usefixtures("two_versions")
@pytest.mark.parametrize("at", ["yesterday", "", "12", "2026-13-01"])
def test_a_text_that_is_no_time_is_a_mistake_of_usage(run: Run, at: str) -> None:
    result = run("history", "flights", "--at", at)
    assert result.exit_code == 2
    assert "no time" in result.stderr


@pytest.mark.usefixtures("two_versions")
def test_a_check_names_what_is_damaged(run: Run, data_dir: Path) -> None:
    assert "All 2 versions are whole" in succeed(run("check"))
    registry = open_registry(data_dir)
    digest = registry.version("flights", 2).manifest.removeprefix("sha256:")
    registry.store.close()
    path = data_dir / "artifacts" / "sha256" / digest[:2] / digest
    path.chmod(0o644)
    path.write_bytes(b"{}")
    result = run("check")
    assert result.exit_code == 1
    assert f"flights 2, manifest: Artifact sha256:{digest}" in result.stdout
    assert "flights 1" not in result.stdout
    fail(run("show", "flights", "2"), "restore it")


@pytest.mark.usefixtures("two_versions")
@pytest.mark.parametrize(
    "command",
    [
        ("list", "none"),
        ("show", "none", "1"),
        ("show", "flights", "9"),
        ("show", "flights", "99999999999999999999999"),
        ("show", "\udcff", "1"),
        ("history", "none"),
        ("history", "none", "--at", "2026-01-01"),
        ("promote", "flights", "9", "--reason", "x"),
        ("promote", "flights", "1", "--reason", "x"),
        ("promote", "flights", "2", "--reason", " "),
        ("promote", "flights", "2", "--reason", "\udcff"),
        ("rollback", "flights", "--reason", "x"),
        ("alias", "flights", "champion", "2", "--reason", "x"),
        ("alias", "flights", "../x", "2", "--reason", "x"),
        ("unalias", "flights", "blue", "--reason", "x"),
        ("retire", "flights", "9", "--reason", "x"),
    ],
)
def test_a_refusal_is_one_line_and_changes_nothing(
    run: Run, data_dir: Path, command: tuple[str, ...]
) -> None:
    before = records(data_dir)
    fail(run(*command))
    assert records(data_dir) == before
    assert aliases(data_dir) == {"champion": 1}


@pytest.mark.parametrize(
    "command",
    [("list",), ("show", "m", "1"), ("history", "m"), ("check",),
     ("promote", "m", "1", "--reason", "x"), ("rollback", "m", "--reason", "x"),
     ("alias", "m", "a", "1", "--reason", "x"), ("unalias", "m", "a", "--reason", "x"),
     ("retire", "m", "1", "--reason", "x")],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_mistyped_data_directory_is_not_made(
    run: Run, data_dir: Path, command: tuple[str, ...]
) -> None:
    fail(run(*command), "no data directory")
    assert not data_dir.exists()


def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "model.onnx").write_bytes(linear_model())
    fail(
        CliRunner().invoke(
            main,
            ["publish", str(tmp_path / "model.onnx"), "--name", "m",
             "--data-dir", str(tmp_path / "file" / "below")],
        )
    )  # fmt: skip


@pytest.mark.usefixtures("two_versions")
@pytest.mark.parametrize("hostile", ["[/red] [bold]x", "\x1b[2J\x1b[31mred", "a\nb", "\u202exe"])
def test_texts_of_others_neither_style_nor_steer_the_terminal(run: Run, hostile: str) -> None:
    succeed(run("promote", "flights", "2", "--reason", hostile))
    said = succeed(run("history", "flights"))
    assert printable(hostile) in said
    assert all(character.isprintable() or character == "\n" for character in said)


@pytest.mark.usefixtures("two_versions")
def test_every_verb_needs_a_reason(run: Run) -> None:
    for command in (("promote", "flights", "2"), ("rollback", "flights"),
                    ("alias", "flights", "a", "1"), ("retire", "flights", "2")):  # fmt: skip
        result = run(*command)
        assert result.exit_code == 2
        assert "--reason" in result.stderr
