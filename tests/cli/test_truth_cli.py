"""Ground truth of a data directory, from the command line."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gateway.cli
from registry import truth
from registry.registry import Registry
from registry.times import now
from registry.truth_policy import LabelKind, Slice, TruthPolicy
from tests.builders import AUTHOR, linear_model, publish
from tests.cli.test_terminal import in_terminal
from tests.labelled import answer, keep, say, tell


@pytest.fixture
def scored(registry: Registry, tmp_path: Path) -> Registry:
    """A registry whose model `sum` was right in 150 of 200 answers of two days ago."""
    version = publish(registry, "sum", linear_model())
    slices = (Slice(name="site"),)
    policy = TruthPolicy(kind=LabelKind.CLASSES, slices=slices, least_rows=50)
    truth.set_truth_policy(registry, "sum", policy, AUTHOR)
    at = now() - timedelta(days=2)
    ids = keep(registry, [answer(version, say(0.75), at) for _ in range(200)])
    tell(
        registry, tmp_path, "sum",
        *((one, int(n % 4 > 0), 0, {"site": "\x1b[2JA"}) for n, one in enumerate(ids)),
    )  # fmt: skip
    return registry


def run(data_dir: Path, *arguments: str, stdin: str | None = None) -> Result:
    command, *rest = arguments
    options = ["--data-dir", str(data_dir)]
    return CliRunner().invoke(gateway.cli.main, [command, *options, *rest], input=stdin)


def test_how_good_answers_were_is_shown_in_a_terminal(scored: Registry, tmp_path: Path) -> None:
    shown = run(tmp_path, "truth", "sum", "--window", "7d")

    assert shown.exit_code == 0, shown.output
    assert "Accuracy 0.75 (0.6857 to 0.8049) over 200 rows; 100.0% of 200 answers" in shown.output
    for words in ("Brier score", "log loss", "AUC", "may be calibrated", "0.7 to 0.8", "came: 200"):
        assert words in shown.output
    assert "\x1b[2J" not in shown.output


def test_the_name_of_a_slice_is_whole_on_80_columns(scored: Registry, tmp_path: Path) -> None:
    shown = in_terminal(80, "truth", "sum", "--window", "7d", "--data-dir", str(tmp_path))

    assert "…" not in shown
    assert r"site: \x1b[2JA" in shown
    assert "says positive" in shown


def test_a_report_is_printed_as_json(scored: Registry, tmp_path: Path) -> None:
    shown = json.loads(run(tmp_path, "truth", "sum", "--window", "7d", "--json").output)

    assert shown["matured"]["estimates"][0]["value"] == 0.75


def test_what_cannot_be_shown_is_said_in_a_line(scored: Registry, tmp_path: Path) -> None:
    none = run(tmp_path, "truth", "sum", "--window", "1h")
    wrong = [run(tmp_path, "truth", *given) for given in (("none",), ("sum", "--window", "x"))]

    assert none.exit_code == 0
    assert "Nothing was answered in the time whose labels are due." in none.output
    assert [one.exit_code for one in wrong] == [1, 1]


def test_a_policy_is_set_and_shown_in_full(scored: Registry, tmp_path: Path) -> None:
    given = json.dumps({"horizon_s": 60, "kind": "numbers"})
    assert run(tmp_path, "truth-policy", "sum", "--set", "-", stdin=given).exit_code == 0

    shown = json.loads(run(tmp_path, "truth-policy", "sum").output)

    assert (shown["horizon_s"], shown["kind"], shown["slices"]) == (60.0, "numbers", [])
    assert run(tmp_path, "truth-policy", "sum", "--set", "-", stdin="[]").exit_code == 1
