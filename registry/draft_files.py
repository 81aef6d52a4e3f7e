"""What a publisher gives in files: a model with its training data, a sample."""

import importlib
from pathlib import Path

import click
import msgspec

from registry.errors import Rejected, clip
from registry.manifest import Draft, SampleTensor


class _Request(msgspec.Struct):
    inputs: tuple[SampleTensor, ...]


def read_draft(
    model_file: Path,
    reference: Path | None,
    description: str = "",
    *,
    holdout: Path | None = None,
) -> tuple[bytes, Draft]:
    """Read a model, and derive reference and contract where there is training data.

    `holdout` are rows like these that the model was not trained on, for its outputs.

    Raises Rejected, and ClickException where packages are missing that reading a table needs.
    """
    if reference is None:
        try:
            return model_file.read_bytes(), Draft(description=description)
        except OSError as error:
            raise Rejected("artifact", f"{model_file.name!r} cannot be read.") from error
    try:
        # It needs pyarrow, which nothing else here does.
        publishing = importlib.import_module("registry.publishing.onnx")
    except ImportError as error:
        raise click.ClickException(
            "Reading a reference needs more packages: pip install 'governed-gateway[publish]'."
        ) from error
    drafted: tuple[bytes, Draft] = publishing.draft_from_file(
        model_file, reference, description, holdout_file=holdout
    )
    return drafted


def read_sample(path: Path) -> tuple[SampleTensor, ...]:
    """Read the inputs of an inference request. Raises Rejected("sample")."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Request).inputs
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path.name!r} is no inference request: {clip(str(error), 200)}"
        raise Rejected("sample", message) from error
