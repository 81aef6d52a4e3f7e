"""Counts the values of answered requests beside the response path, and writes the counts down.

A batch costs a look-up and two references. Its rows are counted later, in blocks: once enough of
them wait, else within a second. What takes long is counted in a thread, so that no other request
waits for it. Of a request of many rows some are counted, evenly spread: they come from one caller
at one time and say less than as many from others, and all of them would cost more than the answer.
Refused requests are not counted: their values were never the model's, and what they
broke is counted by their records. An answer whose record the disk then refused is counted: the
model gave it, though nobody got it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from time import thread_time_ns

import numpy as np
from numpy.typing import NDArray

from gateway.logs import logger
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout
from gateway.monitor.rows import counted_rows
from gateway.roster import Roster, ServedVersion
from gateway.summaries import SummaryFile
from registry.records import Lane
from registry.tensors import Tensor
from registry.windows import LaneCounts

BLOCK_ROWS = 512
# A request that waits holds its body, which may be of megabytes.
BLOCK_BYTES = 1 << 20
# Of what waits for the thread; what comes beyond is not counted, and the log says so.
_MOST_WAITING_BYTES = 64 << 20
# What is predicted to take longer is counted in the thread.
_SHORT_NS = 500_000
_WRITE_S = 1.0
# Lanes of versions that are served no more, in one file: with more of them another is begun.
_MOST_OVER = 64
_FALLBACK = Lane.FALLBACK  # a look-up of its own costs more than all the rest for a request

_Values = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
_Key = tuple[str, int, Lane]


def take_rows(tensors: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Copy the rows that are counted of so many; a tensor of other rows stays whole."""
    chosen = _places(rows)
    return {
        name: tensor.take(chosen, 0) if tensor.shape[:1] == (rows,) else tensor
        for name, tensor in tensors.items()
    }


@lru_cache
def _places(rows: int) -> NDArray[np.intp]:
    return np.array(counted_rows(rows))


class _Series:
    """The values of one version in one lane: those that wait, and the counts of the others."""

    __slots__ = (
        "_before", "_folder", "_row_ns", "bytes", "is_broken", "is_folding", "lane", "manifest",
        "model", "number", "reference", "rows", "signature", "waiting",
    )  # fmt: skip

    def __init__(self, served: ServedVersion, lane: Lane, before: bytes) -> None:
        """Go on from counts of before, which are empty where there are none."""
        # Not the served version itself, which would hold its model in memory.
        self.model, self.number, self.manifest = served.model, served.number, served.manifest
        self.signature, self.reference, self.lane = served.signature, served.reference, lane
        self.waiting: list[_Values] = []
        self.rows = self.bytes = 0
        self.is_folding = self.is_broken = False
        self._before = np.frombuffer(before, "<i8")
        self._folder: Folder | None = None
        self._row_ns = 0.0

    @property
    def is_short(self) -> bool:
        """Whether what waits is counted at once.

        Not the first time, when tables must be made for it, nor more than a block before it is
        known how long a row of one takes.
        """
        if self._folder is None or (self._row_ns == 0 and self.rows > BLOCK_ROWS):
            return False
        return self.rows * self._row_ns <= _SHORT_NS

    def take(self) -> list[_Values]:
        """Return what waits, which waits no more."""
        taken, self.waiting = self.waiting, []
        self.rows = self.bytes = 0
        return taken

    def fold(self, taken: Sequence[_Values], rows: int) -> None:
        """Count values that were taken; one call at a time."""
        if self._folder is None:
            assert self.reference is not None
            self._folder = Folder(Layout.of(self.reference), self.reference, self.signature)
        started_ns = thread_time_ns()
        for inputs, outputs in taken:
            self._folder.add(inputs, outputs)
        self._folder.fold()
        if rows >= BLOCK_ROWS:  # fewer say little: most of their time is the block's own
            self._row_ns = (thread_time_ns() - started_ns) / rows

    def counts(self) -> LaneCounts | None:
        """Return all that was counted so far; None where nothing was."""
        if self._folder is None:
            return None
        counts = self._folder.counts.astype("<i8")
        if self._before.size:
            counts += self._before
        return LaneCounts(self.model, self.number, self.lane, self.manifest, counts.tobytes())


class Observation:
    """What one worker counts of the values it answered with and for.

    Called on the event loop. Nothing that goes wrong here reaches who calls: the version is counted
    no more then, and the log says so.
    """

    def __init__(
        self,
        file: SummaryFile,
        roster: Callable[[], Roster],
        evidence: Callable[[], list[LaneCounts]] = list,
    ) -> None:
        """Write values to `file`, and with them the evidence of rollouts, which others count."""
        self._file = file
        self._roster = roster
        self._evidence = evidence
        self._series: dict[_Key, _Series] = {}
        # All that was counted, of versions that are served no more as well while they are few.
        self._lanes: dict[_Key, LaneCounts] = {}
        self._earlier: dict[tuple[str, int, str], bytes] = {}  # of that, what earlier files have
        self._written: list[LaneCounts] = []
        self._thread = ThreadPoolExecutor(1, "observation")
        self._folds: set[asyncio.Future[None]] = set()
        self._is_behind = False
        self._has_room = True

    def note(
        self,
        served: ServedVersion,
        lane: Lane,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        *,
        rows: int,
        size: int,
    ) -> None:
        """Take the values of answered requests, of so many rows, whose bodies had `size` bytes.

        Where another version stood in for the champion, the inputs are the champion's to judge all
        the same.
        """
        if served.reference is not None:
            key = (served.model, served.number, lane)
            series = self._series.get(key) or self._begin(key, served)
            series.waiting.append((inputs, outputs))
            series.rows += rows
            series.bytes += size
            if series.rows >= BLOCK_ROWS or series.bytes >= BLOCK_BYTES:
                self._fold(series)
        if lane is _FALLBACK:
            model = self._roster().models.get(served.model)
            champion = None if model is None else model.champion
            if champion is not None and champion.number != served.number:
                self.note(champion, lane, inputs, {}, rows=rows, size=size)

    async def follow(self) -> None:
        """Count what waits, and write once a second what changed; never returns."""
        while True:
            await asyncio.sleep(_WRITE_S)
            await self.write()

    async def write(self) -> None:
        """Count what waits now, and write what changed since the last time.

        On a disk without room it is written once there is room: counts only grow.
        """
        for series in self._series.values():
            self._fold(series)
        if self._folds:
            await asyncio.wait(self._folds)
        counted = [*self._gather(), *self._evidence()]
        lanes = [_less(one, self._earlier.get(_name(one))) for one in counted]
        if lanes != self._written:
            try:
                await asyncio.to_thread(self._file.write, lanes)
            except OSError as error:
                if self._has_room:
                    logger.warning("summary_not_written", detail=str(error.strerror))
                self._has_room = False
            else:
                self._has_room, self._written = True, lanes
        self._rest()
        if len(self._lanes) - len(self._series) > _MOST_OVER and lanes == self._written:
            self._begin_file(counted)

    async def close(self) -> None:
        """Count and write all there is."""
        await self.write()
        while any(series.waiting for series in self._series.values()):
            await self.write()
        self._file.close()
        self._thread.shutdown()

    def _begin_file(self, written: Sequence[LaneCounts]) -> None:
        """Go on in another file, without the versions that are served no more.

        Nothing is lost or counted twice: the file that is left has all of `written`, and in the new
        one is what comes beyond that.
        """
        self._file = self._file.begin_next()
        self._written = []
        self._earlier = {_name(one): one.counts for one in written}
        for key in self._lanes.keys() - self._series.keys():
            if self._lanes[key].counts == self._earlier.get(key):
                del self._lanes[key], self._earlier[key]

    def _begin(self, key: _Key, served: ServedVersion) -> _Series:
        before = self._lanes.get(key)
        found = _Series(served, key[2], b"" if before is None else before.counts)
        self._series[key] = found
        return found

    def _fold(self, series: _Series) -> None:
        """Count what waits, at once or in the thread."""
        if series.is_folding:
            self._bound(series)
        elif series.is_broken:
            series.take()
        elif series.waiting:
            is_short, rows = series.is_short, series.rows
            taken = series.take()
            try:
                if is_short:
                    series.fold(taken, rows)
                else:
                    self._fold_apart(series, taken, rows)
            except Exception as fault:  # noqa: BLE001 - no reply may wait for what is wrong here
                _break(series, fault)

    def _fold_apart(self, series: _Series, taken: Sequence[_Values], rows: int) -> None:
        loop = asyncio.get_running_loop()
        fold = loop.run_in_executor(self._thread, series.fold, taken, rows)
        series.is_folding = True
        self._folds.add(fold)
        fold.add_done_callback(partial(self._end_fold, series))

    def _end_fold(self, series: _Series, fold: asyncio.Future[None]) -> None:
        self._folds.discard(fold)
        series.is_folding = False
        fault = fold.exception()
        if fault is not None:
            _break(series, fault)
        self._is_behind = False

    def _bound(self, series: _Series) -> None:
        """Let go of values that came faster than they can be counted."""
        if series.bytes <= _MOST_WAITING_BYTES:
            return
        if not self._is_behind:
            logger.warning(
                "values_let_go", model=series.model, version=series.number, rows=series.rows
            )
        self._is_behind = True
        series.take()

    def _gather(self) -> list[LaneCounts]:
        """Return all that was counted so far; of what is being counted, what was before."""
        for key, series in self._series.items():
            counts = None if series.is_folding else series.counts()
            if counts is not None:
                self._lanes[key] = counts
        return list(self._lanes.values())

    def _rest(self) -> None:
        """Let go of the tables of versions that are served no more; their counts stay."""
        served = self._roster().served
        over = [
            key
            for key, series in self._series.items()
            if key[:2] not in served and not series.is_folding and not series.waiting
        ]
        if over:
            self._gather()
        for key in over:
            del self._series[key]


def _name(lane: LaneCounts) -> tuple[str, int, str]:
    return lane.model, lane.version, lane.lane


def _less(lane: LaneCounts, earlier: bytes | None) -> LaneCounts:
    """Return what a lane has beyond earlier counts of it, or all where it was begun anew since."""
    if earlier is None:
        return lane
    counts = np.frombuffer(lane.counts, "<i8") - np.frombuffer(earlier, "<i8")
    if counts.min() < 0:
        return lane
    return LaneCounts(lane.model, lane.version, lane.lane, lane.manifest, counts.tobytes())


def _break(series: _Series, fault: BaseException) -> None:
    series.is_broken = True
    logger.error("values_not_counted", model=series.model, version=series.number, exc_info=fault)
