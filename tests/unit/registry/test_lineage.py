"""Lineage says what is known and claims nothing else."""

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry.manifest import Lineage, Metric
from registry.publishing.lineage import (
    collect_lineage,
    library_versions,
    read_commit,
    reduce_parameters,
)
from registry.publishing.tables import digest_columns

METRIC = Metric(name="accuracy", value=0.5, n=10, low=0.2, high=0.8)


def git(directory: Path, *arguments: str) -> str:
    program = shutil.which("git")
    assert program is not None
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command = [program, "-C", str(directory), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_lineage_names_data_settings_libraries_and_quality() -> None:
    columns = {"x": np.ones(4), "late": np.zeros(4)}
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
    lineage = collect_lineage(columns=columns, pipeline=pipeline, metrics=[METRIC])
    assert lineage.data_digest == digest_columns(columns)
    assert (lineage.data_rows, lineage.data_columns) == (4, ("x", "late"))
    assert lineage.hyper_parameters["logisticregression__C"] == 0.5
    assert lineage.hyper_parameters["standardscaler__with_mean"] is True
    assert "logisticregression" not in lineage.hyper_parameters
    assert lineage.libraries["scikit-learn"] == version("scikit-learn")
    assert lineage.metrics == (METRIC,)
    assert lineage.code_commit is None
    assert msgspec.json.decode(msgspec.json.encode(lineage), type=Lineage) == lineage


def test_nothing_known_claims_nothing() -> None:
    assert collect_lineage() == Lineage()


def test_the_commit_is_that_of_the_directory(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert read_commit(tmp_path) is None
    git(tmp_path, "commit", "--allow-empty", "--quiet", "-m", "Begin")
    inner = tmp_path / "training"
    inner.mkdir()
    commit = read_commit(inner)
    assert commit == git(tmp_path, "rev-parse", "HEAD")
    assert collect_lineage(directory=inner).code_commit == commit


def test_a_directory_outside_a_checkout_has_no_commit(tmp_path: Path) -> None:
    assert read_commit(tmp_path) is None
    assert read_commit(tmp_path / "absent") is None


def test_a_machine_without_git_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--allow-empty", "--quiet", "-m", "Begin")
    monkeypatch.setenv("PATH", "")
    assert read_commit(tmp_path) is None


def test_only_scalars_are_kept_of_parameters() -> None:
    parameters = {
        "c": np.float64(0.25),
        "nan": float("nan"),
        "none": None,
        "flag": np.array([True])[0],
        "step": StandardScaler(),
        "columns": ["a"],
        "dtype": np.float64,
    }
    assert reduce_parameters(parameters) == {"c": 0.25, "flag": True, "nan": "nan", "none": None}


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "registry.publishing.lineage.LIBRARIES", ("numpy", "no-such-distribution-here")
    )
    assert set(library_versions()) == {"python", "numpy"}
