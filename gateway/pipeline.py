"""The request path: one call in, one reply out, and no reply without its record.

Knows no transport. The calls of one turn of the event loop are decided together. A call without a
valid key and a call beyond what the worker can take are refused before they cost anything, and are
counted and logged instead of recorded: whoever has no key must not be able to fill the log.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from time import perf_counter

from gateway.batching import join, run_batch, split_turn
from gateway.canaries import Canaries
from gateway.case_records import write_entry
from gateway.cases import Answer, Call, Case, Denial, Reply
from gateway.errors import GatewayError, Overloaded, QueueTooLong, Unauthenticated, Unforeseen
from gateway.journal import Journal
from gateway.logs import logger
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics
from gateway.protocol.compression import decompress
from gateway.protocol.refusal import Refusal
from gateway.reporting import RanTogether, Reporter
from gateway.roster import Roster, ServedVersion
from gateway.security import Role, authenticate, authorise
from registry.errors import RegistryError
from registry.records import Lane

_INVOKERS, _TESTERS = frozenset({Role.INVOKER}), frozenset({Role.TESTER})


class Pipeline:
    """Answers inference calls from the roster, each with a durable record."""

    def __init__(
        self,
        *,
        roster: Callable[[], Roster],
        journal: Journal,
        long_runs: LongRuns,
        metrics: Metrics,
        reporter: Reporter,
        canaries: Canaries,
        in_flight_limit: int,
        body_limit: int,
        payload_limit: int,
        longest_turn_s: float,
    ) -> None:
        self._roster = roster
        self._journal = journal
        self._long_runs = long_runs
        self._metrics = metrics
        self._reporter = reporter
        self._canaries = canaries
        self._in_flight_limit = in_flight_limit
        self._body_limit = body_limit
        self._payload_limit = payload_limit
        self._longest_turn_s = longest_turn_s
        self._loop = asyncio.get_running_loop()
        self._in_flight = 0
        self._turn: list[Case] = []
        self._ran: list[RanTogether] = []  # in this turn
        metrics.gauge("in_flight", lambda: self._in_flight)
        metrics.gauge("in_flight_limit", lambda: in_flight_limit)
        metrics.gauge("queue_wait_s", lambda: long_runs.wait_s)

    async def infer(self, call: Call) -> Answer | Denial:
        """Answer a call, or say why not; its record is on disk when this returns.

        Raises what `submit` replies with in place of both.
        """
        done: asyncio.Future[Answer | Denial | Exception] = self._loop.create_future()

        def settle(result: Answer | Denial | Exception) -> None:
            if not done.done():  # its caller may have gone
                done.set_result(result)

        self.submit(call, settle)
        result = await done
        if isinstance(result, Exception):
            # One error may be the reply to many calls: it must not gather all their tracebacks.
            raise result.with_traceback(None)
        return result

    def submit(self, call: Call, reply: Reply) -> None:
        """Take a call into this turn; `reply` is called on the loop, once its record is on disk.

        It is called at once with Unauthenticated or Overloaded, and with JournalUnavailable or
        JournalBroken where no record could be made durable: then nothing is answered.
        """
        if self._in_flight >= self._in_flight_limit:
            self._metrics.unmet.fail(Overloaded.slug)
            reply(Overloaded(self._in_flight_limit))
            return
        try:
            key = authenticate(self._roster().keyring, call.credential)
        except Unauthenticated as fault:
            self._metrics.unmet.fail(fault.slug)
            reply(fault)
            return
        if self._long_runs.is_behind:
            too_long = self._too_long(call)
            if too_long is not None:
                self._metrics.unmet.fail(too_long.slug)
                reply(too_long)
                return
        self._in_flight += 1
        self._await_turn(Case(call, key, reply))

    def _await_turn(self, case: Case) -> None:
        self._turn.append(case)
        if len(self._turn) == 1:
            self._loop.call_soon(self._take_turn)

    def _too_long(self, call: Call) -> QueueTooLong | None:
        """Find a call that would wait too long for a thread, were it only one row."""
        wait_s = self._long_runs.wait_s
        try:
            served, _ = self._roster().choose(call.model, call.version)
        except GatewayError:
            return None
        if served.runner.is_short(1):
            return None
        longest_wait_s = self._long_runs.longest_wait_s(served.runner.predicted_us(1))
        return QueueTooLong(longest_wait_s) if wait_s > longest_wait_s else None

    def _take_turn(self) -> None:
        """Bring the calls of a turn as far as they come without waiting."""
        cases, self._turn = self._turn, []
        roster = self._roster()
        for case in cases:
            if case.request is None:  # else the challenger that it met has failed
                self._read(case, roster)
        until = perf_counter() + self._longest_turn_s
        for number, (served, batch) in enumerate(_batches(cases)):
            if number and perf_counter() > until:
                _shed(batch, self._longest_turn_s)
            else:
                self._answer_batch(served, batch)
        for case in cases:
            if case.outcome is not None:
                self._end(case)
        # After the journal has handed over the records: the disk works while values are counted.
        self._loop.call_soon(self._count_values)

    def _read(self, case: Case, roster: Roster) -> None:
        """Choose the version that a case meets, and read its request by its signature."""
        call = case.call
        try:
            authorise(case.key, _INVOKERS)
            case.served, case.lane = roster.choose(call.model, call.version)
            if call.version is not None and roster.is_candidate(case.served):
                authorise(case.key, _TESTERS)
            body = decompress(call.body, call.encoding, self._body_limit)
            if isinstance(body, Refusal):
                case.refuse(body)
                return
            request = case.served.reader.decode(body, call.header_length)
            if isinstance(request, Refusal):
                case.refuse(request)
                return
            case.request = request
            if roster.canaries:
                self._canaries.route(case, roster.canaries)
        except Exception as fault:  # noqa: BLE001 - the case's own end, and no other's
            case.fail(fault)

    def _answer_batch(self, served: ServedVersion, cases: list[Case]) -> None:
        """Bring each case to its outcome, or to a thread; a fault leaves none of them waiting."""
        try:
            self._answer(served, cases)
        except Exception as fault:  # noqa: BLE001 - the end of these cases, and of no others
            for case in cases:
                if case.outcome is None:
                    case.fail(fault)

    def _answer(self, served: ServedVersion, cases: list[Case]) -> None:
        """Check and run the cases of a batch; where that is long, each goes on in a thread."""
        requests = [case.request for case in cases if case.request is not None]
        joined = join(requests)
        if not served.checker.is_clean(joined):
            cases = [case for case in cases if case.meets_contract()]
            requests = [case.runnable for case in cases]
            if not cases:
                return
            joined = join(requests)
        if not served.runner.is_short(sum(request.rows for request in requests)):
            # Mostly one: more where a run in a thread changed the prediction meanwhile.
            for case in cases:
                self._long_runs.start(case, self._end_long_run)
            return
        lane = cases[0].lane
        batch = run_batch(served.runner, requests, joined)
        for case, run in zip(cases, batch.runs, strict=True):
            case.take(run)
        self._ran.append(RanTogether(served, lane, cases, joined, batch.values))

    def _end_long_run(self, case: Case) -> None:
        self._end(case)
        if case.outcome is not None:
            self._reporter.count_values_of(case)

    def _end(self, case: Case) -> None:
        """Record a case that has its outcome; where its challenger failed, the champion is next."""
        if case.canary is not None and case.gives_way():
            self._await_turn(case)
        else:
            self._record(case)

    def _count_values(self) -> None:
        """Count the values of what ran since the last time."""
        ran, self._ran = self._ran, []
        for batch in ran:
            self._reporter.count_values(batch)

    def _record(self, case: Case) -> None:
        """Hand over the record of a case that has its outcome; the reply waits for the disk."""
        served = case.served
        if served is not None and served.enforcement.cap is not None:
            self._reporter.count_refusal(case, served, served.enforcement.cap)
        try:
            self._journal.append(
                write_entry(case, self._payload_limit), partial(self._deliver, case)
            )
        except Exception as fault:  # noqa: BLE001 - without a record there is no answer
            logger.error("unforeseen_error", record_id=case.record_id, exc_info=fault)
            self._deliver(case, Unforeseen())

    def _deliver(self, case: Case, error: GatewayError | RegistryError | None) -> None:
        self._in_flight -= 1
        try:
            case.reply(case.result() if error is None else error)
        except Exception as fault:  # noqa: BLE001 - the others of the group wait for their replies
            logger.error("unforeseen_error", record_id=case.record_id, exc_info=fault)
        if error is None:
            self._reporter.tell(case)
        else:
            self._reporter.fail(case, error.slug)


def _batches(cases: Iterable[Case]) -> Iterator[tuple[ServedVersion, list[Case]]]:
    for served, own in _by_version(cases):
        for batch in split_turn(_rows(own), served.runner):
            yield served, own[batch]


def _by_version(cases: Iterable[Case]) -> Iterable[tuple[ServedVersion, list[Case]]]:
    """Gather the cases that could be read by the version they meet, the most urgent first.

    Challengers come last, so that they hold up nobody else's answer.
    """
    gathered: dict[int, tuple[ServedVersion, list[Case]]] = {}
    for case in cases:
        served = case.served
        if served is not None and case.outcome is None:
            gathered.setdefault(id(served), (served, []))[1].append(case)
    for _, own in gathered.values():
        if any(case.request is not None and case.request.priority for case in own):
            own.sort(key=attrgetter("urgency"))
    if len(gathered) == 1:
        return gathered.values()
    return sorted(gathered.values(), key=lambda own: own[1][0].lane is Lane.CANARY)


def _shed(cases: Iterable[Case], longest_turn_s: float) -> None:
    """Refuse cases that came with more than a turn may hold."""
    for case in cases:
        case.fail(QueueTooLong(longest_turn_s))


def _rows(cases: Iterable[Case]) -> Sequence[int]:
    return [case.request.rows for case in cases if case.request is not None]
