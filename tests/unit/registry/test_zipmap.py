"""A classifier whose probabilities are maps is served as tensors, and loses no name."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from registry.admission.admit import admit
from registry.admission.zipmap import without_zipmap
from registry.artifacts import digest_of
from registry.datatypes import Datatype
from registry.errors import Rejected
from registry.manifest import Draft
from registry.registry import Registry
from registry.session import open_session, read_signature
from tests.builders import AUTHOR, linear_model

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]


def maps_of(key: int) -> Any:
    value = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return helper.make_sequence_type_proto(value)


def zipmap_model(*, more_nodes: tuple[Any, ...] = (), **labels: Any) -> bytes:
    """Answer `x` [n, 2] with maps from labels to its values, as `p`."""
    key = TensorProto.INT64 if "classlabels_int64s" in labels else TensorProto.STRING
    node = helper.make_node("ZipMap", ["x"], ["p"], domain="ai.onnx.ml", **labels)
    graph = helper.make_graph(
        [node, *more_nodes],
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [
            helper.make_value_info("p", maps_of(key)),
            *(helper.make_value_info(name, maps_of(key)) for n in more_nodes for name in n.output),
        ],
    )
    content: bytes = helper.make_model(
        graph, opset_imports=OPSETS, ir_version=10
    ).SerializeToString()
    return content


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"classlabels_int64s": [-1, 7]}, ("-1", "7")),
        ({"classlabels_strings": ["früh", "late"]}, ("früh", "late")),
    ],
    ids=["integers", "texts"],
)
def test_maps_become_the_tensor_they_were_made_of(given: Any, kept: tuple[str, ...]) -> None:
    artifact = zipmap_model(**given)
    rows = np.array([[0.25, 0.75], [1, 0]], np.float32)

    served, labels = without_zipmap(artifact)

    maps = open_session(artifact).run(None, {"x": rows})[0]
    (tensor,) = open_session(served).run(None, {"x": rows})
    assert labels == {"p": kept}
    assert [list(map(str, row)) for row in maps] == [list(kept)] * 2
    assert [list(row.values()) for row in maps] == tensor.tolist()
    admission = admit(artifact)
    assert admission.artifact == served
    (output,) = admission.signature.outputs
    assert (output.name, output.datatype, output.shape) == ("p", Datatype.FP32, (-1, 2))


def test_a_version_keeps_the_names_of_its_classes_and_the_digest_of_its_file(
    registry: Registry,
) -> None:
    artifact = zipmap_model(classlabels_int64s=[0, 1])

    manifest = registry.manifest(registry.publish("m", artifact, Draft(), AUTHOR))

    assert manifest.signature.labels == {"p": ("0", "1")}
    assert manifest.original == digest_of(artifact)
    assert manifest.artifact == digest_of(without_zipmap(artifact)[0])


def test_a_model_without_maps_is_served_as_it_is(registry: Registry) -> None:
    artifact = linear_model()
    assert without_zipmap(artifact) == (artifact, {})
    manifest = registry.manifest(registry.publish("m", artifact, Draft(), AUTHOR))
    assert manifest.original is None
    assert manifest.artifact == digest_of(artifact)


def test_a_signature_with_maps_is_refused_with_the_remedy() -> None:
    with pytest.raises(Rejected, match="zipmap=False"):
        read_signature(open_session(zipmap_model(classlabels_int64s=[0, 1])))


def test_maps_that_another_node_reads_stay_maps() -> None:
    reader = helper.make_node("Identity", ["p"], ["q"])
    artifact = zipmap_model(classlabels_int64s=[0, 1], more_nodes=(reader,))
    assert without_zipmap(artifact) == (artifact, {})


@pytest.mark.parametrize("cut", [10, 40, 80])
def test_bytes_that_are_no_model_stay_as_they_are(cut: int) -> None:
    broken = zipmap_model(classlabels_int64s=[0, 1])[:-cut]
    assert without_zipmap(broken) == (broken, {})
