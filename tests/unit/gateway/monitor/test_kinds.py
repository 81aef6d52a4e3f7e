"""Each kind of feature is counted as its reference was, and what it never had is counted apart."""

from typing import Any

import numpy as np
import pytest
from every_kind import EVERY_KIND, TRAINING, every_kind_folder

from gateway.monitor.cells import MISSING, NON_ASCII, UNSEEN, UNSEEN_WORDS, FeatureCells, Side
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout
from registry.datatypes import Datatype
from registry.distribution import (
    Categorical,
    Discrete,
    Distribution,
    Embedding,
    Feature,
    FreeText,
    HighCardinality,
    Numeric,
    Reference,
)
from registry.manifest import Signature, TensorSpec
from registry.reference import derive_reference
from registry.tensors import Tensor

LAYOUT = Layout.of(EVERY_KIND)


def of_kind(kind: type[Distribution]) -> FeatureCells:
    return next(one for one in LAYOUT.features if isinstance(one.distribution, kind))


def test_the_rows_of_training_are_counted_as_their_reference() -> None:
    kinds = {type(feature.distribution).__name__ for feature in LAYOUT.features}
    assert kinds >= {
        "Numeric", "Discrete", "Categorical", "HighCardinality", "FreeText", "Embedding", "Joint",
    }  # fmt: skip
    of = every_kind_folder()
    of.add(*TRAINING)
    of.fold()
    for feature in LAYOUT.features:
        if feature.side is Side.JOINT:
            continue
        for split in feature.splits:
            assert [of.counts[cell] for cell in split.bins] == [
                LAYOUT.reference[cell] for cell in split.bins
            ], (feature.input, split)
        for count in feature.counts:
            # Of texts that never come twice, training knows no unseen one but expects some.
            if not (count.what == UNSEEN and isinstance(feature.distribution, HighCardinality)):
                assert of.counts[count.cell] == LAYOUT.reference[count.cell], feature.input


def test_distances_are_counted_nearly_as_in_the_reference() -> None:
    """There each row is measured from all others, here from all."""
    of = every_kind_folder()
    of.add(*TRAINING)
    of.fold()
    bins = next(one for one in LAYOUT.features if one.side is Side.JOINT).splits[0].bins
    live = of.counts[bins.start : bins.stop].tolist()
    assert sum(live) == EVERY_KIND.rows
    np.testing.assert_allclose(live, [LAYOUT.reference[cell] for cell in bins], atol=30)


def counted(feature: FeatureCells, tensor: Any, dtype: Any = object) -> np.ndarray:
    of = every_kind_folder()
    of.add({feature.input: np.array(tensor, dtype)}, {})
    of.fold()
    return of.counts


def test_texts_that_are_not_kept_are_counted_by_bucket_and_the_rest_is_unseen() -> None:
    carrier = of_kind(Categorical)
    live = ["AA", b"AA", "rare1", b"rare1", "never before", b"\xff", "", b""]
    counts = counted(carrier, live)
    split = carrier.splits[0]
    named = dict(zip(split.values, split.bins, strict=False))
    assert counts[named["AA"]] == 2
    assert (
        sum(counts[split.bins.start + len(split.values) : split.bins.stop])
        + counts[carrier.cell(UNSEEN)]
        == 4
    )
    assert counts[carrier.cell(UNSEEN)] >= 1
    assert counts[carrier.cell(MISSING)] == 2


def test_an_empty_bucket_of_the_reference_makes_its_texts_unseen() -> None:
    kind = Categorical(values=("AA",), counts=(50,), other=3, buckets=(3, *[0] * 63))
    feature = Feature(input="x", count=53, missing=0, distribution=kind)
    reference = Reference(rows=53, features=(feature,))
    live = np.array([f"text{number}" for number in range(640)], object)
    layout = Layout.of(reference)
    counts = fold(reference, "x", Datatype.BYTES, live)
    unseen = counts[layout.features[0].cell(UNSEEN)]
    assert 600 < unseen < 640
    assert counts[layout.features[0].splits[0].bins[1]] == 640 - unseen


def test_a_reference_without_buckets_takes_every_other_text_for_one_of_many() -> None:
    kind = Categorical(values=("AA",), counts=(50,), other=3)
    feature = Feature(input="x", count=53, missing=0, distribution=kind)
    reference = Reference(rows=53, features=(feature,))
    cells = Layout.of(reference).features[0]
    counts = fold(reference, "x", Datatype.BYTES, np.array(["AA", "new", b"\xff"], object))
    assert [counts[cell] for cell in cells.splits[0].bins] == [1, 1]
    assert counts[cells.cell(UNSEEN)] == 1


def fold(reference: Reference, name: str, datatype: Datatype, tensor: Tensor) -> list[int]:
    spec = TensorSpec(name=name, datatype=datatype, shape=(-1,))
    of = Folder(Layout.of(reference), reference, Signature(inputs=(spec,), outputs=()))
    of.add({name: tensor}, {})
    of.fold()
    return of.counts.tolist()


def test_a_text_of_many_is_unseen_where_the_filter_has_it_not() -> None:
    tail = of_kind(HighCardinality)
    live = [f"never {number}" for number in range(500)]
    counts = counted(tail, [*live, b"\xff\xfe", "N1", ""])
    assert 300 < counts[tail.cell(UNSEEN)] <= 501
    assert sum(counts[tail.splits[0].bins.start : tail.splits[0].bins.stop]) == 502
    assert counts[tail.cell(MISSING)] == 1


def test_a_text_is_counted_by_its_length_its_letters_and_its_words() -> None:
    note = of_kind(FreeText)
    counts = counted(note, ["word1 word2", "wörd3", "unknown words here", b"\xff\xfe", ""])
    assert sum(counts[cell] for cell in note.splits[0].bins) == 4
    assert sum(counts[cell] for cell in note.splits[1].bins) == 6
    assert counts[note.cell(NON_ASCII)] == 2
    assert counts[note.cell(UNSEEN_WORDS)] == 4
    assert counts[note.cell(MISSING)] == 1


def test_a_vector_with_a_missing_element_is_missing_and_an_infinite_one_is_long() -> None:
    vector = of_kind(Embedding)
    rows = np.ones((3, 80), np.float32)
    rows[0, 5], rows[1, 7] = np.nan, np.inf
    counts = counted(vector, rows, np.float32)
    norms = [int(counts[cell]) for cell in vector.splits[0].bins]
    assert counts[vector.cell(MISSING)] == 1
    assert sum(norms) == 2
    assert norms[-1] >= 1


def test_what_an_output_has_not_finite_is_missing() -> None:
    of = every_kind_folder()
    of.add({}, {"scores": np.array([[np.inf, 0.5], [np.nan, -np.inf]])})
    of.fold()
    scores = [one for one in LAYOUT.features if one.input == "scores"]
    assert [of.counts[one.cell(MISSING)] for one in scores] == [2, 1]
    assert [isinstance(one.distribution, Numeric) for one in scores] == [True, True]


def test_rows_far_from_the_middle_are_in_the_last_bin_of_distances() -> None:
    inputs = {name: tensor[:3] for name, tensor in TRAINING[0].items()}
    inputs["numbers"] = np.array([[0, 0, 0, 0], [90, -90, 90, -90], [np.inf] * 4], np.float32)
    of = every_kind_folder()
    of.add(inputs, {})
    of.fold()
    bins = next(one for one in LAYOUT.features if one.side is Side.JOINT).splits[0].bins
    assert of.counts[bins[-1]] == 2
    assert of.counts[bins.start : bins.stop].sum() == 3


def test_missing_numbers_are_at_the_middle() -> None:
    source = np.random.default_rng(2)
    training = source.standard_normal((500, 3)).astype(np.float32)
    reference = derive_reference({"x": training})
    spec = TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 3))
    layout = Layout.of(reference)
    of = Folder(layout, reference, Signature(inputs=(spec,), outputs=()))
    of.add({"x": np.full((7, 3), np.nan, np.float32)}, {})
    of.fold()
    assert of.counts[layout.features[-1].splits[0].bins[0]] == 7


@pytest.mark.parametrize("kind", [Discrete, Categorical, HighCardinality, FreeText, Numeric])
def test_every_row_is_counted_in_exactly_one_of_its_cells(kind: type[Distribution]) -> None:
    of = every_kind_folder()
    of.add(*TRAINING)
    of.fold()
    rows = of_kind(kind).rows
    assert of.counts[rows.start : rows.stop].sum() == EVERY_KIND.rows
