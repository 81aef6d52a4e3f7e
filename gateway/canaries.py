"""What one worker makes of the challengers that answer callers: who meets them, what that shows.

Counts the evidence of each stage, and stops a challenger that fails again and again at once, before
anybody judges it: then it has the registry roll the rollout back, so that all workers follow.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from math import isfinite, nan
from typing import Any

from gateway.cases import Case
from gateway.logs import logger
from gateway.monitor.layout import to_bytes
from gateway.monitor.rows import counted_rows
from gateway.rollout.bins import Bins, bins_of
from gateway.rollout.evidence import Facts, Layout, Tally
from gateway.roster import Canary
from gateway.routing import choose, point
from registry.distribution import Reference
from registry.errors import RegistryError, StoreUnavailable
from registry.manifest import Signature
from registry.records import Lane, Outcome
from registry.rollouts import Guard, GuardKind, Plan, Rollout
from registry.tensors import Tensor
from registry.windows import LaneCounts

# So many faults in a row, none of which the champion shares, stop a challenger.
MOST_FAULTS = 5
_RETRY_S = 1.0
# Stages that are counted or were; of the oldest, nobody asks any more.
_MOST_STAGES = 64

# Takes the id of a rollout and the reason why it is rolled back; may wait for the store.
Trip = Callable[[str, str], None]
_Values = Mapping[str, Tensor]


class Column:
    """The numbers or texts of an output that a guard compares: one for each row."""

    __slots__ = ("_column", "_output")

    def __init__(self, guard: Guard, signature: Signature) -> None:
        self._output = guard.output or signature.outputs[0].name
        self._column = -1 if guard.column is None else guard.column

    def read(self, values: _Values) -> list[Any]:
        """Return the values of all rows; none where the answer lacks the column, since the columns
        of the output are free.
        """
        tensor = values[self._output]
        try:
            if tensor.ndim == 2:  # nearly always, so by the shortest way
                rows: list[Any] = tensor[:, self._column].tolist()
                return rows
            return (tensor[..., self._column] if tensor.ndim > 2 else tensor).ravel().tolist()
        except IndexError:
            return []

    def mean(self, values: _Values) -> float | None:
        """Return the mean over the rows of a request; None where it has none that is finite."""
        numbers = self.read(values)
        mean = float(sum(numbers)) / len(numbers) if numbers else nan
        return mean if isfinite(mean) else None

    def bins(self, values: _Values, bins: Bins) -> list[int]:
        """Return the bin of each row that is counted."""
        rows = self.read(values)
        counted = [rows[place] for place in counted_rows(len(rows))]
        if bins.texts:
            return [bins.of_text(_text(value)) for value in counted]
        return [bins.of_number(float(value)) for value in counted]


class _Stage:
    """The evidence of one stage of a rollout, in one worker."""

    def __init__(self, canary: Canary) -> None:
        # Not the versions themselves, which would hold their models in memory.
        rollout, challenger = canary.rollout, canary.challenger
        self._model, self._version = challenger.model, challenger.number
        self._manifest = challenger.manifest
        self._lane = rollout.evidence_lane(rollout.stage)
        bins = shift_bins(rollout.plan, challenger.reference)
        counts = {index: found.count for index, found in bins.items()}
        layout = Layout.of(rollout.plan, rollout.stage, counts)
        columns = {one.index: Column(one.guard, challenger.signature) for one in layout.sections}
        self._scores = [columns[one.index] for one in layout.of_kind(GuardKind.SCORE)]
        self._shifts = [
            (columns[one.index], bins[one.index]) for one in layout.of_kind(GuardKind.SHIFT)
        ]
        self._tally = Tally(layout, rollout.edges_us)

    def add(self, case: Case) -> None:
        """Count a case that its caller has the reply to."""
        self._tally.add(self._facts(case))

    def counts(self) -> LaneCounts:
        counts = to_bytes(self._tally.counts)
        return LaneCounts(self._model, self._version, self._lane, self._manifest, counts)

    def _facts(self, case: Case) -> Facts:
        is_challenger, latency_us = case.canary is not None, case.elapsed_ns // 1000
        if case.canary_error is not None:  # the outputs are the champion's
            return Facts(is_challenger=True, failed=True, latency_us=latency_us)
        if case.outcome is not Outcome.ANSWERED:
            failed = case.has_failed
            refused = case.would_refuse and not failed
            return Facts(is_challenger, failed, refused, latency_us)
        values = case.values
        return Facts(
            is_challenger,
            refused=case.would_refuse,
            latency_us=latency_us,
            scores=tuple([column.mean(values) for column in self._scores]),
            bins=tuple([column.bins(values, bins) for column, bins in self._shifts]),
        )


class Canaries:
    """The challengers of all models; called on the event loop, and `trip` in a thread."""

    def __init__(self, trip: Trip) -> None:
        self._trip = trip
        self._stages: dict[str, _Stage] = {}  # by the lane of their evidence
        self._broken: dict[str, str] = {}  # the lanes that are counted no more, and whose they are
        self._faults: dict[str, int] = {}  # in a row, by rollout
        self._stopped: set[str] = set()
        self._trips: dict[str, asyncio.Task[None]] = {}  # under way, by rollout
        self._closing = asyncio.Event()

    def route(self, case: Case, canaries: Mapping[str, tuple[Canary, ...]]) -> None:
        """Let a case meet a challenger if the point of its caller is one of that.

        Callers are told apart by their routing key; who has none is another one each time.
        """
        served, request = case.served, case.request
        if served is None or request is None or case.lane is not Lane.CHAMPION:
            return
        own = canaries.get(served.model)
        if own is None:
            return
        key = request.routing_key or case.record_id
        chosen = choose(own, point(own[0].salt, key))
        if chosen is None or chosen.rollout.id in self._stopped:
            case.canaries = own
        else:
            case.meet(chosen)

    def note(self, case: Case) -> None:
        """Count what a case shows that has its reply, of champion or challenger.

        What was shed shows nothing of either: there was too much to do, whoever was to do it.
        """
        if case.was_shed:
            return
        for one in case.canaries:
            self._count(case, one)
        canary = case.canary
        if canary is None:
            return
        if case.canary_error is None:
            if case.outcome is Outcome.ANSWERED:
                self._faults.pop(canary.rollout.id, None)
        elif not case.has_failed:
            self._count_fault(canary.rollout, case.canary_error)

    def keep_only(self, rollouts: Collection[str]) -> None:
        """Forget the faults of rollouts that give nobody to a challenger any more.

        One that is still to be rolled back stays stopped, whatever it gives.
        """
        self._faults = {key: one for key, one in self._faults.items() if key in rollouts}
        self._broken = {lane: key for lane, key in self._broken.items() if key in rollouts}
        self._stopped &= {*rollouts, *self._trips}

    def counts(self) -> list[LaneCounts]:
        """Return the evidence of all stages so far, each in a lane of its own."""
        return [stage.counts() for stage in self._stages.values()]

    async def close(self) -> None:
        """Finish the attempts to roll back that are under way, and make no other."""
        self._closing.set()
        if self._trips:
            await asyncio.wait(self._trips.values())

    def _count(self, case: Case, canary: Canary) -> None:
        """Add a case to the evidence of a canary. What goes wrong here reaches no caller."""
        lane = canary.rollout.evidence_lane(canary.rollout.stage)
        if lane in self._broken:
            return
        try:
            self._stage(lane, canary).add(case)
        except Exception as fault:  # noqa: BLE001 - nobody's answer depends on it
            self._broken[lane] = canary.rollout.id
            logger.error(
                "evidence_not_counted",
                model=canary.rollout.model,
                version=canary.rollout.plan.challenger,
                exc_info=fault,
            )

    def _stage(self, lane: str, canary: Canary) -> _Stage:
        found = self._stages.get(lane)
        if found is None:
            if len(self._stages) >= _MOST_STAGES:
                del self._stages[next(iter(self._stages))]
            found = self._stages[lane] = _Stage(canary)
        return found

    def _count_fault(self, rollout: Rollout, code: str) -> None:
        faults = self._faults[rollout.id] = self._faults.get(rollout.id, 0) + 1
        if faults < MOST_FAULTS or rollout.id in self._stopped:
            return
        self._stopped.add(rollout.id)
        logger.critical(
            "canary_stopped",
            model=rollout.model,
            version=rollout.plan.challenger,
            rollout=rollout.id,
            faults=faults,
            error=code,
        )
        reason = f"The challenger failed {faults} requests in a row, the last with `{code}`."
        task = asyncio.get_running_loop().create_task(self._roll_back(rollout, reason))
        self._trips[rollout.id] = task
        task.add_done_callback(lambda _: self._trips.pop(rollout.id))

    async def _roll_back(self, rollout: Rollout, reason: str) -> None:
        """Have the rollout rolled back, however long the store cannot take it."""
        while not self._closing.is_set():
            try:
                await asyncio.to_thread(self._trip, rollout.id, reason)
            except StoreUnavailable as error:
                logger.warning("canary_not_rolled_back", rollout=rollout.id, detail=str(error))
            except RegistryError as error:
                logger.error("canary_not_rolled_back", rollout=rollout.id, detail=str(error))
                return
            else:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _RETRY_S)


def shift_bins(plan: Plan, reference: Reference | None) -> dict[int, Bins]:
    """Find the bins of each guard of a shift, by its index, in the challenger's reference."""
    found = {
        index: bins_of(reference, guard)
        for index, guard in enumerate(plan.guards)
        if guard.kind is GuardKind.SHIFT
    }
    return {index: bins for index, bins in found.items() if bins is not None}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
