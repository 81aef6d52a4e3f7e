"""What the cells of a feature count: how its values were sorted, what happened to them, their sums.

Which cells those are is given out by the `layout`. Knows no numpy: the controller has none.
"""

from collections.abc import Sequence
from enum import StrEnum
from math import sqrt

from msgspec import Struct

from registry.distribution import Distribution, Joint

# Values are summed as whole numbers of 1/1024 standard deviation of the reference, from 16 below
# its mean to 16 above: squares of 2**34 rows still fit a cell. What lies beyond counts as that.
UNIT = 1024
REACH = 16 * UNIT

MISSING, UNSEEN, OUTSIDE = "missing", "unseen", "outside the range of training"
NON_ASCII, UNSEEN_WORDS = "beyond ASCII", "unseen words"


class Side(StrEnum):
    """Which values of a request a feature describes."""

    INPUT = "input"
    JOINT = "joint"  # all numbers of a row together
    OUTPUT = "output"


class Split(Struct, frozen=True):
    """How values were sorted into `bins`, which are cells; the cells `among` add to all of them.

    Where there are `edges`, bin i has what lies above edge i-1 and at most at edge i; `spikes` are
    numbers that fill a bin of their own. Else bin i has `values[i]`, and the bins after those have
    what falls into bucket 0, 1 and so on. Bins that are not exclusive, as the sides of vectors are
    not, add to more than all. `noun` says what was sorted where it is not the value itself.
    """

    bins: range
    among: range
    edges: tuple[float, ...] = ()
    spikes: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    noun: str = ""
    is_ordered: bool = False
    is_exclusive: bool = True

    def bin_words(self, index: int) -> str:
        """Say in words what the share of one bin is.

        >>> Split(range(1, 4), range(1, 4), edges=(0.5, 2.0)).bin_words(1)
        'share between 0.5 and 2'
        """
        share = f"share of {self.noun}" if self.noun else "share"
        if not self.edges:
            named = len(self.values)
            if index >= named:
                return f"{share} in bucket {index - named}"
            return (
                f"{share} {self.values[index]}" if self.noun else f"{share} of {self.values[index]}"
            )
        if index == len(self.edges):
            return self.edge_words(index - 1, is_above=True)
        if self.edges[index] in self.spikes:
            return f"{share} of {self.edges[index]:.6g}"
        if index == 0:
            return self.edge_words(0, is_above=False)
        return f"{share} between {self.edges[index - 1]:.6g} and {self.edges[index]:.6g}"

    def edge_words(self, index: int, *, is_above: bool) -> str:
        """Say in words what the share on one side of an edge is.

        >>> Split(range(2), range(2), edges=(12.5,), noun="lengths").edge_words(0, is_above=True)
        'share of lengths above 12.5'
        """
        share = f"share of {self.noun}" if self.noun else "share"
        return f"{share} {'above' if is_above else 'at or below'} {self.edges[index]:.6g}"


class Count(Struct, frozen=True):
    """How often one thing happened, `what` in words, among the values that `among` adds to."""

    what: str
    cell: int
    among: range


class Moments(Struct, frozen=True):
    """Where numbers are summed: `UNIT`ths of `scale` above `mean`, from `-REACH` to `REACH`.

    Cell `total` adds them, each plus `REACH` so that nothing is negative; `squares` adds squares.
    """

    total: int
    squares: int
    mean: float
    scale: float

    def read(self, summary: Sequence[int], count: int) -> tuple[float, float]:
        """Return mean and standard deviation of the `count` numbers that a summary added."""
        mean = summary[self.total] / count - REACH
        variance = max(0.0, summary[self.squares] / count - mean * mean)
        return self.mean + self.scale * mean / UNIT, self.scale * sqrt(variance) / UNIT


class FeatureCells(Struct, frozen=True):
    """The cells of one feature of the reference.

    `splits[0]` is what most describes it. A feature that had no value in training has no split.
    """

    side: Side
    input: str
    column: int | None
    distribution: Distribution | Joint | None
    splits: tuple[Split, ...]
    counts: tuple[Count, ...]
    moments: Moments | None = None

    @property
    def rows(self) -> range:
        """The cells of which each row is counted in exactly one."""
        for count in self.counts:
            if count.what == MISSING:
                return count.among
        return self.splits[0].among

    def cell(self, what: str) -> int:
        """Return the cell that counts `what`. Raises KeyError where none does."""
        for count in self.counts:
            if count.what == what:
                return count.cell
        raise KeyError(what)
