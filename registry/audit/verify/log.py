"""A whole log: every record against its tile, every tile against the one above, the root against
what was signed.

The log is read once, from its first record to its last, in bounded memory.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import chain

from registry.audit.verify.checkpoints import Checkpoint, Trust, open_checkpoint
from registry.audit.verify.faults import Fault, Invalid, Malformed, Misfit, Mismatch
from registry.audit.verify.leaves import check_columns, check_commitments, id_of, read_leaf
from registry.audit.verify.notes import VerifierKey, read_vkey
from registry.audit.verify.proofs import hash_leaf
from registry.audit.verify.removals import Removals
from registry.audit.verify.report import Report
from registry.audit.verify.sources import Row, Source
from registry.audit.verify.tiles import WIDTH
from registry.audit.verify.tree import Tree


def check_log(source: Source, trust: Trust, *, tree_only: bool = False) -> Report:
    """Check everything that a source has, up to the first fault.

    The newest checkpoint must be signed by the log and by every witness, the saved ones by the log.
    With `tree_only` records are hashed and not read, so that neither their form nor payloads nor
    columns are looked at.
    """
    report = Report()
    try:
        _Check(source, report, trust, tree_only=tree_only).run()
    except Misfit as misfit:
        report.fault = misfit.fault
    except Invalid as error:
        report.fault = Fault(reason=str(error))
    return report


class _Check:
    """One pass over a log."""

    def __init__(self, source: Source, report: Report, trust: Trust, *, tree_only: bool) -> None:
        keys = trust.keys or _keys_beside(source)
        newest = open_checkpoint(source.checkpoint(), keys, witnesses=trust.witnesses)
        heads = [newest, *(open_checkpoint(note, keys) for note in trust.saved)]
        report.checkpoint = newest
        self._source = source
        self._report = report
        self._size = source.size(newest.size)
        self._tree = Tree(self._size, source.tile)
        self._heads = merge(sorted(heads, key=_size_of), _history(source, trust.keys), key=_size_of)
        self._head = next(self._heads, None)
        self._fitted = 0
        self._payloads = iter(()) if tree_only else source.payloads()
        self._payload = next(self._payloads, None)
        self._removals: Removals | None = None
        self._tree_only = tree_only
        report.unsigned = self._size - newest.size

    def run(self) -> None:
        self._check_heads(0, [])
        for start in range(0, self._size, WIDTH):
            width = min(WIDTH, self._size - start)
            try:
                self._check_tile(start, width)
            except Malformed as error:
                raise Misfit(str(error), first=start, last=start + width - 1) from error
        if self._removals is not None:
            self._removals.check()
        if self._head is not None:
            raise Misfit(
                f"The log has {self._size} records, and a checkpoint says that it had"
                f" {self._head.size}.",
                first=self._size,
                last=self._head.size - 1,
            )
        if self._payload is not None:
            raise Misfit("A payload is of no record.", first=self._payload[0])

    def _check_tile(self, start: int, width: int) -> None:
        kept = self._tree.tile(0, start // WIDTH)
        rows = self._source.rows(start, width)
        hashes = [
            hash_leaf(row[0]) if row else known for row, known in zip(rows, kept, strict=False)
        ]
        if len(rows) != width or hashes != kept:
            raise _misfit(start, rows, hashes, kept)
        self._check_heads(start, hashes)
        self._tree.add(hashes)
        for index, row in enumerate(rows, start):
            if row is None:
                self._take_gone(index)
            elif not self._tree_only:
                self._check_content(index, row)
        self._report.records += width

    def _check_heads(self, start: int, hashes: list[bytes]) -> None:
        """Hold every checkpoint that ends among these records to its root."""
        while self._head is not None and self._head.size <= start + len(hashes):
            head = self._head
            if self._tree.root_with(hashes[: head.size - start]) != head.root:
                raise Misfit(
                    f"The first {head.size} records do not have the root that their checkpoint"
                    " says.",
                    first=self._fitted,
                    last=max(self._fitted, head.size - 1),
                )
            self._fitted = head.size
            self._report.checkpoints += 1
            self._head = next(self._heads, None)

    def _take_gone(self, index: int) -> None:
        if self._removals is None:
            # Told of by later records only, so that what comes before need not be read twice.
            starts = range(index // WIDTH * WIDTH, self._size, WIDTH)
            rows = (self._source.rows(at, min(WIDTH, self._size - at)) for at in starts)
            self._removals = Removals(chain.from_iterable(rows))
        self._removals.take(index)
        self._report.gone += 1
        self._report.records -= 1

    def _check_content(self, index: int, row: Row) -> None:
        leaf, columns = row
        try:
            record = read_leaf(leaf)
            if columns is not None:
                check_columns(record, columns)
            if self._payload is not None and self._payload[0] == index:
                check_commitments(record, self._payload[1])
                self._report.payloads += 1
                self._payload = next(self._payloads, None)
        except (Malformed, Mismatch) as error:
            raise Misfit(str(error), first=index, record_id=id_of(leaf)) from error


def _misfit(start: int, rows: list[Row | None], hashes: list[bytes], kept: list[bytes]) -> Misfit:
    same = (found == known for found, known in zip(hashes, kept, strict=False))
    offset = next((place for place, fits in enumerate(same) if not fits), len(hashes))
    row = rows[offset] if offset < len(rows) else None
    if row is None:
        return Misfit("The record is missing.", first=start + offset)
    if offset == len(kept):
        reason = "There are more records than the log has."
    else:
        reason = f"The record does not have the hash that tile {start // WIDTH} has of it."
    return Misfit(reason, first=start + offset, record_id=id_of(row[0]))


def _history(source: Source, trusted: Sequence[VerifierKey]) -> Iterator[Checkpoint]:
    """Yield the checkpoints that are kept; they may be signed by keys that are no longer in use."""
    keys: list[VerifierKey] = []
    for note in source.history():
        keys = keys or list({*trusted, *_keys_beside(source)})
        yield open_checkpoint(note, keys)


def _keys_beside(source: Source) -> tuple[VerifierKey, ...]:
    return tuple(read_vkey(line) for line in source.vkeys())


def _size_of(checkpoint: Checkpoint) -> int:
    return checkpoint.size
