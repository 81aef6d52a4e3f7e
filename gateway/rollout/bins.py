"""Where the values of an output are counted for a guard of their distribution.

The bins are those of the challenger's reference: whoever counts has loaded that version.
"""

from bisect import bisect_left

from msgspec import Struct

from registry.distribution import Categorical, Discrete, Feature, Numeric, Reference
from registry.rollouts import Guard, GuardKind, Plan


class Bins(Struct, frozen=True):
    """The bins of one output: between edges, or one for each text; and a last one for all else.

    What is missing (NaN) and texts that are not among `texts` are in the last.
    """

    edges: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.texts) + 1 if self.texts else len(self.edges) + 2

    def of_number(self, value: float) -> int:
        """Return the bin of a number.

        >>> [Bins(edges=(0.5, 2.0)).of_number(one) for one in (0.5, 1.0, 9.0, float("nan"))]
        [0, 1, 2, 3]
        """
        return bisect_left(self.edges, value) if value == value else len(self.edges) + 1  # noqa: PLR0124 - NaN

    def of_text(self, value: str) -> int:
        """Return the bin of a text."""
        return self.texts.index(value) if value in self.texts else len(self.texts)


def bins_of(reference: Reference | None, guard: Guard) -> Bins | None:
    """Find the bins of the output that a guard names; None where its reference has none.

    Without a name it is the first output, without a column its last.
    """
    if reference is None or not reference.outputs:
        return None
    name = guard.output or reference.outputs[0].input
    features = [one for one in reference.outputs if one.input == name]
    if guard.column is not None:
        features = [one for one in features if one.column == guard.column]
    return _bins(features[-1]) if features else None


def bin_counts(plan: Plan, reference: Reference | None) -> dict[int, int]:
    """Return how many bins each guard of a shift has, by its index, as a layout takes them."""
    found = {
        index: bins_of(reference, guard)
        for index, guard in enumerate(plan.guards)
        if guard.kind is GuardKind.SHIFT
    }
    return {index: bins.count for index, bins in found.items() if bins is not None}


def _bins(feature: Feature) -> Bins | None:
    match feature.distribution:
        case Numeric(edges=edges):
            return Bins(edges=edges)
        case Discrete(values=values):
            return Bins(edges=tuple(map(float, values)))
        case Categorical(values=texts) if texts:
            return Bins(texts=texts)
        case _:
            return None
