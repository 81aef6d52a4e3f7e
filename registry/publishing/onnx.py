"""From an ONNX file, made by whatever tool, to something publishable."""

from pathlib import Path

from registry.admission.graph import read_facts
from registry.admission.zipmap import without_zipmap
from registry.contract import derive_contract
from registry.errors import Rejected
from registry.manifest import Draft
from registry.publishing.holdout import answer_rows
from registry.publishing.lineage import collect_lineage
from registry.publishing.tables import match_inputs, read_table
from registry.reference import derive_reference
from registry.session import open_session, read_signature


def draft_from_file(
    path: Path,
    reference_file: Path | None = None,
    description: str = "",
    *,
    holdout_file: Path | None = None,
) -> tuple[bytes, Draft]:
    """Read a model file, and derive contract and reference from a file of its training data.

    Without `reference_file` the version has no reference and its contract accepts every value.
    `holdout_file` has rows that the model was not trained on: without it the reference describes no
    outputs. The commit is not claimed: nothing ties the file to the directory of the publisher.

    Raises Rejected("artifact") where the file cannot be read, and with the checks "load",
    "signature", "reference" and "holdout" where model or data do not serve.
    """
    try:
        artifact = path.read_bytes()
    except OSError as error:
        raise Rejected("artifact", f"{path.name!r} cannot be read.") from error
    served, _ = without_zipmap(artifact)
    signature = read_signature(open_session(served), read_facts(served).unranked)
    if reference_file is None:
        return artifact, Draft(description=description)
    columns = read_table(reference_file)
    answers = (
        None if holdout_file is None else answer_rows(served, read_table(holdout_file), "holdout")
    )
    reference = derive_reference(match_inputs(columns, signature), outputs=answers)
    draft = Draft(
        contract=derive_contract(reference, signature),
        reference=reference,
        lineage=collect_lineage(columns=columns),
        description=description,
    )
    return artifact, draft
