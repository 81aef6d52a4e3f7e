"""Counts the values of requests into the cells of a summary, in blocks and off the response path.

Adding a request only keeps its arrays; folding counts what was kept, many rows at once. Every value
is counted exactly where `derive_reference` counts it, and how rows were parted into blocks makes no
difference. Used by one thread at a time.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import inf, nextafter

import numpy as np

from gateway.monitor.cells import MISSING, OUTSIDE, UNSEEN, FeatureCells, Side
from gateway.monitor.gathering import Source, Tensors, sources
from gateway.monitor.grid import Column, Counts, Grid, Numbers, find_missing
from gateway.monitor.layout import Layout
from gateway.monitor.texts import TextCounter
from gateway.monitor.vectors import JointCounter, VectorCounter
from registry.datatypes import Datatype
from registry.distribution import (
    Categorical,
    Discrete,
    Embedding,
    FreeText,
    HighCardinality,
    Numeric,
    Reference,
)
from registry.manifest import Signature
from registry.tensors import Tensor

# Larger temporaries leave the processor's cache.
_BLOCK_ROWS = 512
_OF_TEXTS = Categorical | HighCardinality | FreeText | None
_OF_NUMBERS = Numeric | Discrete | None


class Folder:
    """Counts the inputs and outputs of one version into `counts`, which only ever grow."""

    def __init__(self, layout: Layout, reference: Reference, signature: Signature) -> None:
        """Make a folder of a layout of this reference, with nothing counted.

        A feature that is no tensor of the signature, or whose values are of another kind than its
        datatype holds, is never counted.
        """
        self.counts: Counts = np.zeros(layout.size, np.int64)
        self.pending_rows = 0
        self._pending: list[tuple[Tensors, Tensors]] = []
        self._first = signature.inputs[0].name if signature.inputs else ""
        self._inputs = _SideFolder(layout, reference, signature, Side.INPUT)
        self._outputs = _SideFolder(layout, reference, signature, Side.OUTPUT)

    def add(self, inputs: Tensors, outputs: Tensors) -> None:
        """Keep the tensors of one request to be counted; nobody may write to them any more."""
        self._pending.append((inputs, outputs))
        first = inputs.get(self._first)
        if first is not None:
            self.pending_rows += len(first) if first.ndim else 1

    def fold(self) -> None:
        """Count what was added since the last time, whatever the values are."""
        pending, self._pending = self._pending, []
        self.counts[0] += self.pending_rows
        self.pending_rows = 0
        if pending:
            with np.errstate(all="ignore"):
                self._inputs.fold([inputs for inputs, _ in pending], self.counts)
                self._outputs.fold([outputs for _, outputs in pending], self.counts)


class _SideFolder:
    """Counts the tensors of one side, inputs or outputs."""

    def __init__(
        self, layout: Layout, reference: Reference, signature: Signature, side: Side
    ) -> None:
        specs = signature.inputs if side is Side.INPUT else signature.outputs
        texts = {spec.name for spec in specs if spec.datatype is Datatype.BYTES}
        numbers = {spec.name for spec in specs} - texts
        features = [feature for feature in layout.features if feature.side is side]
        of_numbers = [
            f for f in features if f.input in numbers and isinstance(f.distribution, _OF_NUMBERS)
        ]
        of_texts = [
            f for f in features if f.input in texts and isinstance(f.distribution, _OF_TEXTS)
        ]
        joint = _joint(layout, reference, of_numbers) if side is Side.INPUT else None
        self._numbers = _Numbers(sources(of_numbers), joint, is_finite=side is Side.OUTPUT)
        self._texts = [
            (source, [(feature.column, TextCounter(feature)) for feature in source.features])
            for source in sources(of_texts)
        ]
        self._vectors = [
            (Source(f.input, f.distribution.columns, (f,)), VectorCounter(f, f.distribution))
            for f in features
            if f.input in numbers and isinstance(f.distribution, Embedding)
        ]

    def fold(self, requests: Sequence[Tensors], counts: Counts) -> None:
        self._numbers.fold(requests, counts)
        for source, counters in self._texts:
            tensor = source.gather(requests)
            if tensor is not None:
                for column, counter in counters:
                    counter.count(_values(tensor, column).tolist(), counts)
        for source, vectors in self._vectors:
            tensor = source.gather(requests)
            if tensor is not None:
                vectors.count(tensor, counts)


class _Numbers:
    """Counts the numbers of one side, those of all tensors at once where these have equal rows.

    Where it `is_finite`, infinite numbers are missing, as the reference has it for outputs.
    """

    def __init__(
        self, of_tensors: Sequence[Source], joint: JointCounter | None, *, is_finite: bool
    ) -> None:
        self._sources = of_tensors
        self._joint = joint
        self._is_finite = is_finite
        self._grid = _grid(of_tensors)

    @cached_property
    def _grids(self) -> list[Grid]:
        return [_grid([source]) for source in self._sources]

    def fold(self, requests: Sequence[Tensors], counts: Counts) -> None:
        gathered = [source.gather(requests) for source in self._sources]
        tensors = [tensor for tensor in gathered if tensor is not None]
        if len(tensors) == len(gathered) and len({len(tensor) for tensor in tensors}) == 1:
            for block in self._blocks(self._sources, tensors):
                missing = find_missing(block)
                self._grid.count(block, missing, counts)
                if self._joint is not None:
                    self._joint.count(block, missing, counts)
            return
        for grid, source, tensor in zip(self._grids, self._sources, gathered, strict=True):
            if tensor is not None:
                for block in self._blocks([source], [tensor]):
                    grid.count(block, find_missing(block), counts)

    def _blocks(self, of_tensors: Sequence[Source], tensors: Sequence[Tensor]) -> Iterator[Numbers]:
        """Turn tensors of equal rows into blocks [features, rows] of numbers of 64 bits."""
        columns = sum(len(source.features) for source in of_tensors)
        for start in range(0, len(tensors[0]), _BLOCK_ROWS):
            rows = [tensor[start : start + _BLOCK_ROWS] for tensor in tensors]
            block = np.empty((columns, len(rows[0])))
            _fill(block, of_tensors, rows)
            if self._is_finite:
                block[np.isinf(block)] = np.nan
            yield block


def _grid(of_tensors: Sequence[Source]) -> Grid:
    return Grid([_column(feature) for source in of_tensors for feature in source.features])


def _fill(block: Numbers, of_tensors: Sequence[Source], tensors: Sequence[Tensor]) -> None:
    at = 0
    for source, tensor in zip(of_tensors, tensors, strict=True):
        if source.is_whole:
            block[at : at + len(source.features)] = tensor.T
        else:
            for row, feature in enumerate(source.features, at):
                block[row] = _values(tensor, feature.column)
        at += len(source.features)


def _values(tensor: Tensor, column: int | None) -> Tensor:
    return tensor if column is None else tensor[:, column]


def _column(feature: FeatureCells) -> Column:
    """Say where the numbers of a feature are counted."""
    kind, missing = feature.distribution, feature.cell(MISSING)
    if isinstance(kind, Numeric):
        return Column(
            kind.edges,
            tuple(feature.splits[0].bins),
            missing,
            limits=(kind.minimum, kind.maximum),
            outside=feature.cell(OUTSIDE),
            moments=feature.moments,
        )
    unseen = feature.cell(UNSEEN)
    edges, cells = [], [unseen]
    if isinstance(kind, Discrete):
        for value, cell in zip(kind.values, feature.splits[0].bins, strict=True):
            # A bin that holds this value alone, and one for what lies up to the next.
            edges += [nextafter(value, -inf), float(value)]
            cells += [cell, unseen]
    return Column(tuple(edges), tuple(cells), missing)


def _joint(
    layout: Layout, reference: Reference, of_numbers: Sequence[FeatureCells]
) -> JointCounter | None:
    """Make the counter of all numbers of a row; None where a row does not have all of them."""
    if reference.joint is None:
        return None
    # As they stand in a block: tensor after tensor.
    rows = {(feature.input, feature.column): row for row, feature in enumerate(of_numbers)}
    wanted = [reference.features[index] for index in reference.joint.features]
    found = [rows.get((feature.input, feature.column)) for feature in wanted]
    if None in found:
        return None
    cells = next(feature for feature in layout.features if feature.side is Side.JOINT)
    return JointCounter(cells, reference.joint, [row for row in found if row is not None])
