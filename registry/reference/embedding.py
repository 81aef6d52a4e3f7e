"""Long vectors as a whole: their lengths, and their sides along random directions."""

from collections import Counter
from hashlib import shake_256
from math import floor, log10, sqrt

import numpy as np
from numpy.typing import NDArray

from registry.distribution import Embedding
from registry.reference.numeric import Numbers, count_bins, twentieths
from registry.tensors import Tensor

DIRECTIONS = 64
SEED = 0
_BLOCK_ROWS = 4096
# Vectors that are equal but for rounding must fall on the same side and into the same bin.
_ROUNDING = 1e-5
_DIGITS = 3


def directions(seed: int, columns: int) -> NDArray[np.float32]:
    """Draw the `DIRECTIONS` unit vectors of an Embedding, as the columns of [columns, 64].

    All elements are 1 or -1 over the square root of `columns`: bit j of the 64 that SHAKE-256 of
    the seed (eight bytes, little-endian) has for a column, lowest bits first, says which (D.
    Achlioptas, Journal of Computer and System Sciences 66 (2003), p. 671). They are the same with
    every version of every library.
    """
    stream = shake_256(seed.to_bytes(8, "little")).digest(DIRECTIONS // 8 * columns)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8), bitorder="little")
    signs = 2 * bits.reshape(columns, DIRECTIONS).astype(np.float32) - 1
    return (signs / np.float32(sqrt(columns))).astype(np.float32)


def describe_vectors(vectors: Tensor) -> tuple[Embedding | None, int]:
    """Describe vectors [n, k]; returns the number of those without a missing element as well.

    The description is None where there is none of these.
    """
    toward = directions(SEED, vectors.shape[1])
    sides, norms = [], []
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS].astype(np.float64)
        whole = block[~np.isnan(block).any(axis=1)]
        norms.append(np.linalg.norm(whole, axis=1))
        sides.append(whole @ toward)
    lengths, along = np.concatenate(norms), np.concatenate(sides)
    if not lengths.size:
        return None, 0
    edges = _norm_edges(lengths)
    medians = np.median(along, axis=0) + _ROUNDING * np.median(lengths)
    thresholds = tuple(_round(median, 7) for median in medians.tolist())
    embedding = Embedding(
        columns=vectors.shape[1],
        seed=SEED,
        thresholds=thresholds,
        above=tuple(np.count_nonzero(along > np.array(thresholds), axis=0).tolist()),
        norm_edges=edges,
        norm_counts=count_bins(edges, lengths),
    )
    return embedding, lengths.size


def _norm_edges(lengths: Numbers) -> tuple[float, ...]:
    """Place edges at the twentieths of lengths, where three digits of a length end.

    Lengths of normalised vectors differ by rounding alone, and so share one bin.
    """
    cells = [_round(length, _DIGITS) for length in twentieths(np.sort(lengths))]
    full = {cell for cell, times in Counter(cells).items() if times > 1}
    edges = {cell + _half_a_digit(cell) for cell in full.union(cells[1:-1])}
    edges |= {cell - _half_a_digit(cell) for cell in full}
    return tuple(sorted({_round(edge, _DIGITS + 1) for edge in edges}))


def _half_a_digit(length: float) -> float:
    """Return half of the last of three digits of a length, nothing of a length of zero."""
    return 0.5 * 10.0 ** (floor(log10(length)) - _DIGITS + 1) if length else 0.0


def _round(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
