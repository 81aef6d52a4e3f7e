"""Live values are counted where the reference counted its own, in any order and any blocks."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from every_kind import EVERY_KIND, ROWS, every_kind_folder, live_rows, part, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.monitor.cells import MISSING, OUTSIDE, UNSEEN, Side
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout, from_bytes, merge, to_bytes
from registry.datatypes import Datatype
from registry.distribution import Discrete, Feature, Reference
from registry.manifest import Signature, TensorSpec
from registry.reference import derive_reference
from registry.tensors import NUMPY_TYPES, Tensor

NAN, INF = float("nan"), float("inf")


def spec(
    name: str, datatype: Datatype = Datatype.FP32, shape: tuple[int, ...] = (-1,)
) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape)


def folder(
    reference: Reference, *inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = ()
) -> Folder:
    return Folder(Layout.of(reference), reference, Signature(inputs=inputs, outputs=outputs))


def fold(of: Folder, *requests: dict[str, Tensor]) -> list[int]:
    for request in requests:
        of.add(request, {})
    of.fold()
    return of.counts.tolist()


def feature_counts(reference: Reference, counts: list[int], at: int = 0) -> dict[str, Any]:
    """Read the counts of one feature, by what they count."""
    feature = Layout.of(reference).features[at]
    found: dict[str, Any] = {count.what: counts[count.cell] for count in feature.counts}
    found["bins"] = [counts[cell] for cell in feature.splits[0].bins]
    return found


@pytest.mark.parametrize("datatype", [d for d in Datatype if d is not Datatype.BYTES])
def test_the_training_rows_themselves_are_counted_as_the_reference(datatype: Datatype) -> None:
    source = np.random.default_rng(3)
    values = np.rint(source.standard_normal((500, 3)) * 50) % 100
    training = {"x": values.astype(NUMPY_TYPES[datatype])}
    reference = derive_reference(training)
    counts = fold(folder(reference, spec("x", datatype, (-1, 3))), training)
    layout = Layout.of(reference)
    for feature in layout.features:
        if feature.side is Side.JOINT:  # distances of the reference are from all other rows
            continue
        for cell in feature.splits[0].bins:
            assert counts[cell] == layout.reference[cell]
        assert counts[feature.cell(MISSING)] == layout.reference[feature.cell(MISSING)]
        if feature.moments is not None:
            mean, std = feature.moments.read(counts, 500)
            assert abs(mean - feature.moments.mean) <= feature.moments.scale / 1000
            assert std == pytest.approx(feature.moments.scale, rel=0.001)


def test_a_missing_value_is_counted_and_never_binned() -> None:
    reference = derive_reference({"x": np.arange(100, dtype=np.float32)})
    found = feature_counts(
        reference, fold(folder(reference, spec("x")), {"x": np.array([NAN, NAN, 1], np.float32)})
    )
    assert found[MISSING] == 2
    assert sum(found["bins"]) == 1


def test_infinite_values_are_in_the_outer_bins_and_outside() -> None:
    reference = derive_reference({"x": np.arange(100, dtype=np.float32)})
    counts = fold(folder(reference, spec("x")), {"x": np.array([INF, INF, -INF], np.float32)})
    found = feature_counts(reference, counts)
    assert (found["bins"][0], found["bins"][-1], found[OUTSIDE]) == (1, 2, 3)


def test_a_whole_number_that_training_never_had_is_unseen() -> None:
    reference = discrete(values=(0, 1, 5), counts=(2, 3, 4))
    live = np.array([0, 1, 1, 5, 2, -1, 6, 0.5, INF, NAN], np.float32)
    found = feature_counts(reference, fold(folder(reference, spec("x")), {"x": live}))
    assert found == {"bins": [1, 2, 1], UNSEEN: 5, MISSING: 1}


def test_truths_are_counted_as_zero_and_one() -> None:
    reference = discrete(values=(0, 1), counts=(2, 3))
    of = folder(reference, spec("x", Datatype.BOOL))
    counts = fold(of, {"x": np.array([True, False, True])})
    assert feature_counts(reference, counts)["bins"] == [1, 2]


def test_an_input_that_was_always_missing_is_unseen_where_it_comes() -> None:
    reference = derive_reference({"x": np.full(10, NAN, np.float32)})
    counts = fold(folder(reference, spec("x")), {"x": np.array([NAN, 1, 2], np.float32)})
    feature = Layout.of(reference).features[0]
    assert (counts[feature.cell(MISSING)], counts[feature.cell(UNSEEN)]) == (1, 2)


def discrete(values: tuple[int, ...], counts: tuple[int, ...]) -> Reference:
    kind = Discrete(values=values, counts=counts)
    feature = Feature(input="x", count=sum(counts), missing=0, distribution=kind)
    return Reference(rows=sum(counts), features=(feature,))


def test_inputs_of_unequal_rows_are_each_counted_whole() -> None:
    training = {name: np.arange(100, dtype=np.float32) for name in ("x", "y")}
    reference = derive_reference(training)
    live = {"x": np.array([1, 2, 3], np.float32), "y": np.array([4], np.float32)}
    counts = fold(folder(reference, spec("x"), spec("y")), live)
    assert counts[0] == 3
    assert sum(feature_counts(reference, counts, 0)["bins"]) == 3
    assert sum(feature_counts(reference, counts, 1)["bins"]) == 1


def test_a_request_of_no_rows_or_without_an_input_counts_what_there_is() -> None:
    training = {name: np.arange(100, dtype=np.float32) for name in ("x", "y")}
    reference = derive_reference(training)
    nothing = np.zeros(0, np.float32)
    of = folder(reference, spec("x"), spec("y"))
    counts = fold(of, {"x": nothing, "y": nothing}, {"y": np.float32(7).reshape(())}, {})
    assert counts[0] == 0
    assert sum(feature_counts(reference, counts, 1)["bins"]) == 1


def test_columns_that_a_row_lacks_are_missing() -> None:
    reference = derive_reference({"x": np.arange(200, dtype=np.float32).reshape(100, 2)})
    of = folder(reference, spec("x", shape=(-1, -1)))
    one, none = np.ones((3, 1), np.float32), np.ones((2, 0), np.float32)
    more = np.ones((1, 4), np.float32)
    counts = fold(of, {"x": one}, {"x": none}, {"x": more})
    assert [feature_counts(reference, counts, at)[MISSING] for at in (0, 1)] == [2, 5]


def test_a_feature_that_the_signature_does_not_have_is_never_counted() -> None:
    reference = derive_reference({"x": np.arange(100, dtype=np.float32)})
    of = folder(reference, spec("y"), spec("x", Datatype.BYTES))
    counts = fold(of, {"y": np.ones(2, np.float32), "x": np.array([b"a", b"b"], object)})
    assert counts == [2] + [0] * (len(counts) - 1)


def test_outputs_are_counted_apart_from_inputs_of_the_same_name() -> None:
    inputs = derive_reference({"x": np.arange(100, dtype=np.float32)})
    reference = Reference(
        rows=100, features=inputs.features, output_rows=100, outputs=inputs.features
    )
    of = folder(reference, spec("x"), outputs=(spec("x"),))
    of.add({"x": np.array([1], np.float32)}, {"x": np.array([99, 98], np.float32)})
    of.fold()
    sides = [f.side for f in Layout.of(reference).features]
    assert sides == [Side.INPUT, Side.OUTPUT]
    assert feature_counts(reference, of.counts.tolist(), 0)["bins"][0] == 1
    assert feature_counts(reference, of.counts.tolist(), 1)["bins"][-1] == 2


@settings(max_examples=30, deadline=None)
@given(seeds, st.lists(st.integers(0, 400), max_size=12), st.integers(1, 4), st.randoms())
def test_any_split_over_workers_in_any_order_adds_to_one_pass(
    seed: int, cuts: list[int], workers: int, order: Any
) -> None:
    inputs, outputs = live_rows(seed)
    marks = sorted({0, ROWS, *cuts})
    parts = [slice(a, b) for a, b in pairwise(marks)]
    order.shuffle(parts)
    merged = Layout.of(EVERY_KIND).empty()
    for worker in range(workers):
        of = every_kind_folder()
        for number, rows in enumerate(parts[worker::workers]):
            of.add(part(inputs, rows), part(outputs, rows))
            if number % 3 == 1:
                of.fold()
        of.fold()
        merged = merge(merged, from_bytes(to_bytes(of.counts.tolist())))
    whole = every_kind_folder()
    whole.add(inputs, outputs)
    whole.fold()
    assert merged == whole.counts.tolist()
    assert merged[0] == ROWS


def test_what_waits_to_be_folded_is_known_by_its_rows() -> None:
    inputs, _ = live_rows(1)
    of = every_kind_folder()
    of.add(part(inputs, slice(0, 100)), {})
    of.add(part(inputs, slice(0, 160)), {})
    assert of.pending_rows == 260
    of.fold()
    assert of.pending_rows == 0
    assert of.counts[0] == 260
