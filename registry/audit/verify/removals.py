"""Records that are gone, held to what the log itself tells of its removals.

A removal is a record: of how many records it took away, and between which indexes they were. A row
that somebody deletes without one is therefore not taken for retention.
"""

from collections.abc import Iterable

from registry.audit.verify.faults import Malformed, Misfit
from registry.audit.verify.leaves import read_leaf
from registry.audit.verify.sources import Row


class Removals:
    """The removals that the log tells of, and how many records were found to be gone."""

    def __init__(self, rows: Iterable[Row | None]) -> None:
        self._told = 0
        self._found = 0
        self._first = self._last = -1
        spans = sorted(span for row in rows if row for span in self._read(row[0]))
        self._spans: list[tuple[int, int]] = []
        for first, last in spans:
            if self._spans and first <= self._spans[-1][1] + 1:
                self._spans[-1] = (self._spans[-1][0], max(last, self._spans[-1][1]))
            else:
                self._spans.append((first, last))
        self._at = 0

    def take(self, index: int) -> None:
        """Account for the next record that is gone. Raises Misfit where nothing tells of it."""
        while self._at < len(self._spans) and self._spans[self._at][1] < index:
            self._at += 1
        if self._at == len(self._spans) or index < self._spans[self._at][0]:
            raise Misfit("The record is missing, and no removal tells of it.", first=index)
        if not self._found:
            self._first = index
        self._last = index
        self._found += 1

    def check(self) -> None:
        """Check, at the end of the log, that no more are gone than were removed. Raises Misfit.

        Fewer may be: an export keeps what it had before.
        """
        if self._found > self._told:
            raise Misfit(
                f"{self._found} records are missing, and the log tells of the removal of"
                f" {self._told}.",
                first=self._first,
                last=self._last,
            )

    def _read(self, leaf: bytes) -> Iterable[tuple[int, int]]:
        # Nearly every record is none; to look for the word costs far less than to read it.
        if b"records.remove" not in leaf:
            return
        try:
            record = read_leaf(leaf)
        except Malformed:  # found where the record itself is looked at
            return
        if (record["kind"], record.get("action")) == ("removal", "records.remove"):
            match record:
                case {"count": int(count), "first": int(first), "last": int(last)}:
                    self._told += count
                    yield first, last
