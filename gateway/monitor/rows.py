"""Which rows of a request of many are counted, of windows and of the guards of rollouts alike."""

from collections.abc import Sequence

# Rows of one request come from one caller at one time: more of them say little more of traffic,
# and would cost more than the answer. A guard of a rollout gives evidence as if rows were alone and
# divides it by how blocks of requests scatter, so it is right for any number of rows: fewer of a
# request keep what they have in common, and with it that divisor, small.
MOST_ROWS = 32


def counted_rows(rows: int) -> Sequence[int]:
    """Return the places of the rows that are counted of so many: all, or `MOST_ROWS` of them.

    Those are evenly spread, and chosen by nothing but the number of rows.

    >>> counted_rows(3), counted_rows(64)[:4], len(counted_rows(1_000_000))
    (range(0, 3), [0, 2, 4, 6], 32)
    """
    if rows <= MOST_ROWS:
        return range(rows)
    return [place * rows // MOST_ROWS for place in range(MOST_ROWS)]
