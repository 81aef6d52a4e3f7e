"""A reference that would mislead a gateway is refused when it is published."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from registry.coherence import check_reference
from registry.datatypes import Datatype
from registry.distribution import Feature, Reference
from registry.errors import Rejected
from registry.manifest import Draft, Signature, TensorSpec
from registry.reference import derive_reference
from tests.builders import AUTHOR, linear_model, open_registry


def spec(name: str, datatype: Datatype, *rest: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=(-1, *rest))


SIGNATURE = Signature(
    inputs=(
        spec("x", Datatype.FP64, 2),
        spec("n", Datatype.INT64),
        spec("city", Datatype.BYTES, 1),
        spec("id", Datatype.BYTES),
        spec("note", Datatype.BYTES),
        spec("vector", Datatype.FP32, 70),
    ),
    outputs=(spec("score", Datatype.FP32, -1),),
)


def whole() -> Reference:
    n, random = 400, np.random.default_rng(30)
    return derive_reference(
        {
            "x": random.normal(size=(n, 2)),
            "n": random.integers(0, 5, n),
            "city": np.array([f"c{i % 3}" for i in range(n)], object),
            "id": np.array([f"id-{i % 250}" for i in range(n)], object),
            "note": np.array([f"one two three four {i}" for i in range(n)], object),
            "vector": random.normal(size=(n, 70)).astype(np.float32),
        },
        outputs={"score": random.uniform(size=(n, 3)).astype(np.float32)},
    )


REFERENCE = whole()


def with_feature(at: int, **changes: Any) -> Reference:
    """Change a feature, or where it has no such field its distribution."""
    feature = REFERENCE.features[at]
    if set(changes) <= set(Feature.__struct_fields__):
        changed = replace(feature, **changes)
    else:
        changed = replace(feature, distribution=replace(feature.distribution, **changes))
    features = list(REFERENCE.features)
    features[at] = changed
    return replace(REFERENCE, features=tuple(features))


def with_joint(**changes: Any) -> Reference:
    assert REFERENCE.joint is not None
    return replace(REFERENCE, joint=replace(REFERENCE.joint, **changes))


def test_every_derived_reference_is_accepted() -> None:
    check_reference(SIGNATURE, REFERENCE)


@pytest.mark.parametrize(
    "broken",
    [
        with_feature(0, input="gone"),
        with_feature(0, column=1),
        with_feature(0, column=2),
        with_feature(0, column=-1),
        with_feature(0, count=399),
        with_feature(0, count=401, missing=-1),
        with_feature(0, distribution=None),
        with_feature(0, distribution=REFERENCE.features[3].distribution),
        with_feature(3, distribution=REFERENCE.features[0].distribution),
        with_feature(0, edges=(1.0, 1.0), bin_counts=(100, 100, 200)),
        with_feature(0, edges=(1.0,), bin_counts=(200, 100, 100)),
        with_feature(0, edges=(1.0,), bin_counts=(500, -100)),
        with_feature(0, edges=(1.0,), bin_counts=(200, 201)),
        with_feature(0, edges=(float("inf"),), bin_counts=(200, 200)),
        with_feature(0, spikes=(17.0,)),
        with_feature(0, mean=float("nan")),
        with_feature(2, values=(4, 3), counts=(200, 200)),
        with_feature(2, values=(3, 4), counts=(200, 100)),
        with_feature(2, values=(3,), counts=(200, 200)),
        with_feature(3, values=("a", "a"), counts=(200, 200)),
        with_feature(3, other=5),
        with_feature(3, buckets=(1, 2)),
        with_feature(4, buckets=(400,)),
        with_feature(4, bloom="no base64!"),
        with_feature(4, bloom="", hashes=2),
        with_feature(4, hashes=0),
        with_feature(4, hashes=10**9),
        with_feature(4, unseen=-1),
        with_feature(5, length_counts=(400,)),
        with_feature(5, words=1),
        with_feature(5, non_ascii=401),
        with_feature(6, columns=71),
        with_feature(6, above=(1,)),
        with_feature(6, seed=-1),
        with_feature(6, norm_edges=()),
        with_joint(features=(0, 1, 3)),
        with_joint(features=(0, 0, 1)),
        with_joint(features=(0, 1, 99)),
        with_joint(mean=(0.0,)),
        with_joint(whitening=(0.0,)),
        with_joint(edges=(1.0, 2.0)),
        with_joint(edges=(5.0, 4.0, 3.0, 2.0, 1.0)),
        with_joint(bin_counts=(400,)),
        replace(REFERENCE, output_rows=7),
        replace(REFERENCE, outputs=(replace(REFERENCE.outputs[0], input="x"),)),
    ],
)
def test_a_part_that_does_not_fit_is_refused(broken: Reference) -> None:
    with pytest.raises(Rejected) as refusal:
        check_reference(SIGNATURE, broken)
    assert refusal.value.check == "reference"


def test_a_version_keeps_its_reference_under_its_digest(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    rows = np.random.default_rng(31).normal(size=(50, 3)).astype(np.float32)
    reference = derive_reference({"x": rows}, outputs={"y": rows[:, :1]})
    version = registry.publish("linear", linear_model(), Draft(reference=reference), AUTHOR)
    content = registry.artifacts.read(version.manifest)
    assert msgspec.json.encode(reference) in content
    assert registry.manifest(version).reference == reference
    registry.store.close()


def test_a_version_with_such_a_reference_is_not_published(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    draft = Draft(reference=derive_reference({"y": np.ones(3)}))
    with pytest.raises(Rejected, match="wrong or second input 'y'"):
        registry.publish("linear", linear_model(), draft, AUTHOR)
    assert registry.store.models() == []
    registry.store.close()
