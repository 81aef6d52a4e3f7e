"""Where a version comes from: its data, the code's commit, its settings and its libraries."""

import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from registry.manifest import Lineage, Metric, Scalar
from registry.publishing.tables import digest_columns
from registry.tensors import Tensor

LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx")


def collect_lineage(
    *,
    columns: Mapping[str, Tensor] | None = None,
    pipeline: Any = None,
    metrics: Iterable[Metric] = (),
    directory: Path | None = None,
) -> Lineage:
    """Collect what can be known of a version's making.

    `columns` is the whole training data, labels included where they are at hand; `pipeline` a
    scikit-learn estimator; `directory` where the training code lives (None: the commit is not
    claimed).
    """
    return Lineage(
        data_digest=digest_columns(columns) if columns else None,
        data_rows=len(next(iter(columns.values()))) if columns else None,
        data_columns=tuple(columns or ()),
        code_commit=read_commit(directory) if directory else None,
        hyper_parameters=reduce_parameters(pipeline.get_params(deep=True)) if pipeline else {},
        libraries=library_versions() if pipeline else {},
        metrics=tuple(metrics),
    )


def read_commit(directory: Path) -> str | None:
    """Name the commit checked out in a directory; None where it is not a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    answer = subprocess.run(  # no shell, and nothing but a directory is passed on
        [git, "-C", str(directory), "rev-parse", "--verify", "--quiet", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() if answer.returncode == 0 else None


def library_versions() -> dict[str, str]:
    """Name the versions of Python and of the libraries that make an artifact, where installed."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def reduce_parameters(parameters: Mapping[str, Any]) -> dict[str, Scalar]:
    """Keep the parameters that are scalars; a number that JSON cannot write becomes text."""
    reduced: dict[str, Scalar] = {}
    for name, value in sorted(parameters.items()):
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, float) and not isfinite(plain):
            reduced[name] = str(plain)
        elif plain is None or isinstance(plain, str | int | float | bool):
            reduced[name] = plain
    return reduced
