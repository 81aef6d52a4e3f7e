"""One session: a fresh server, checked and warmed, then loaded in every way a workload asks for."""

import shutil
import time
from pathlib import Path

import httpx
from msgspec import Struct, structs

from loadtests import machine, openloop, wrk
from loadtests.errors import LoadTestError
from loadtests.model import MODEL, Trained
from loadtests.openloop import OpenResult
from loadtests.server import Server, run_server, wait_until_ready
from loadtests.shot import Question, Shot
from loadtests.subjects import Subject, fill
from loadtests.workloads import Workload
from loadtests.wrk import Blow, WrkResult
from registry.audit.query import MAX_LIMIT, AuditTrail
from registry.audit.segment import list_segments, read_groups
from registry.records import Kind, Outcome, RecordFilter
from registry.store import open_store

SHARES = (0.25, 0.5, 0.75)
_WARM_UP_S = 2
_CATCH_UP_S = 120.0


class Closed(Struct, frozen=True, kw_only=True):
    """What a server answered over so many connections, each asking again once it is answered."""

    connections: int
    result: WrkResult


class Session(Struct, frozen=True, kw_only=True):
    """One subject under one workload, in one round.

    Processor time and memory are by part of the server. `cpu_us` is for each answer of the first
    closed run, `catch_up_s` how long after it the last record was in the store. `busy` is how many
    of the cores that it may use the server had, and how many others did.
    """

    subject: str
    workload: str
    round: int
    form: str
    closed: list[Closed] = []
    opened: list[OpenResult] = []
    cpu_us: dict[str, float] = {}
    memory_bytes: dict[str, int] = {}
    catch_up_s: float = 0.0
    busy: dict[str, float] = {}
    answers: int = 0
    records: int | None = None
    fault: str = ""

    @property
    def capacity(self) -> WrkResult | None:
        """The first closed run, which is the one that subjects are compared by."""
        return self.closed[0].result if self.closed else None


class Material(Struct, frozen=True, kw_only=True):
    """A trained model as servers need it: a file, and a data directory that has it published."""

    trained: Trained
    model_file: Path
    data_dir: Path
    key: str


class Course(Struct, frozen=True, kw_only=True):
    """How long each part of a session takes, and on which cores."""

    wrk: str
    closed_s: int
    opened_s: float
    server_core: int
    client_core: int


class Load:
    """A server under load: counts the right answers it gave."""

    def __init__(self, course: Course, workload: Workload, server: Server, shot: Shot) -> None:
        self._course = course
        self._url = server.url
        self._shot = shot
        self._cores = [course.client_core] if workload.is_apart else []
        self.answers = 1  # the one that was checked against scikit-learn's

    def capacity(self, connections: int, seconds: int) -> Closed:
        blow = Blow(connections=connections, seconds=seconds, cores=self._cores)
        result = wrk.run(self._course.wrk, self._url, self._shot, blow)
        self.answers += result.answers
        return Closed(connections=connections, result=result)

    def at_rate(self, per_second: float, seed: int) -> OpenResult:
        host, port = self._url.removeprefix("http://").split(":")
        plan = openloop.Plan(
            host=host,
            port=int(port),
            shot=self._shot,
            per_second=per_second,
            seconds=self._course.opened_s,
            seed=seed,
        )
        result = openloop.run(plan, cores=self._cores)
        result.check()
        self.answers += result.answers
        return result


class Trial(Struct, frozen=True, kw_only=True):
    """One session to be: who, under what, for how long, and in which folder."""

    course: Course
    subject: Subject
    workload: Workload
    material: Material
    folder: Path
    round: int

    def run(self) -> Session:
        """Run it. A subject that cannot be measured is told of in `fault`, never left out."""
        if not self.subject.is_installed:
            return self._nothing(f"not installed: {self.subject.remedy}")
        log = self.folder / "log"
        try:
            return self._measure(log)
        except LoadTestError as error:
            lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            last = f" Its last words: {lines[-1][:200]}" if lines else ""
            return self._nothing(f"{error}{last}")

    def _nothing(self, fault: str = "") -> Session:
        return Session(
            subject=self.subject.name,
            workload=self.workload.name,
            round=self.round,
            form=self.subject.form(self.workload).name,
            fault=fault,
        )

    def _measure(self, log: Path) -> Session:
        data_dir = self.folder / "data"
        shutil.copytree(self.material.data_dir, data_dir)
        if self.subject.prepare is not None:
            self.subject.prepare(data_dir)
        command = fill(
            self.subject,
            data_dir=data_dir,
            model_file=self.material.model_file,
            workers=self.workload.workers,
        )
        with run_server(
            command,
            log,
            cores=[self.course.server_core] if self.workload.is_apart else (),
            environment={"PEER_KEY": self.material.key, **self.subject.environment},
        ) as server:
            shot = aim(self.subject, self.workload, self.material, server)
            load = Load(self.course, self.workload, server, shot)
            load.capacity(self.workload.connections, _WARM_UP_S)
            found = self._load(server, load, data_dir)
        records = count_answered(data_dir) if self.subject.has_record else None
        if records is not None and records < load.answers:
            raise LoadTestError(f"There are {load.answers} answers and {records} records.")
        return structs.replace(found, answers=load.answers, records=records)

    def _load(self, server: Server, load: Load, data_dir: Path) -> Session:
        journal = data_dir if self.subject.has_record else None
        wait_until_integrated(journal)
        cpu_s, busy_s, began = server.cpu_s(), self._busy_s(), time.monotonic()
        main = load.capacity(self.workload.connections, self.course.closed_s)
        catch_up_s = wait_until_integrated(journal)
        used_s = {part: now - cpu_s.get(part, 0.0) for part, now in server.cpu_s().items()}
        own_s, on_cores_s = sum(used_s.values()), self._busy_s() - busy_s
        elapsed_s = time.monotonic() - began
        return structs.replace(
            self._nothing(),
            memory_bytes=server.memory_bytes(),
            closed=[main, *self._other_connections(load)],
            opened=self._open(load, main.result.per_second),
            cpu_us={part: s / main.result.answers * 1e6 for part, s in used_s.items()},
            catch_up_s=catch_up_s,
            busy={
                "server": own_s / elapsed_s,
                "others": max(0.0, on_cores_s - own_s) / elapsed_s,
            },
        )

    def _other_connections(self, load: Load) -> list[Closed]:
        others = self.workload.also if self.round == 0 else ()
        return [load.capacity(connections, self.course.closed_s) for connections in others]

    def _open(self, load: Load, capacity: float) -> list[OpenResult]:
        if self.round or not self.workload.is_apart or not self.course.opened_s:
            return []
        return [load.at_rate(share * capacity, seed) for seed, share in enumerate(SHARES)]

    def _busy_s(self) -> float:
        """How long the cores have been in use that the server may have."""
        stat = Path("/proc/stat").read_text()
        cores = [self.course.server_core]
        if not self.workload.is_apart:
            cores.append(self.course.client_core)
        return sum(machine.busy_s(stat, core) for core in cores)


def aim(subject: Subject, workload: Workload, material: Material, server: Server) -> Shot:
    """Return the request, once the server has given it the answer that scikit-learn gives."""
    form = subject.form(workload)
    host = server.url.removeprefix("http://")
    question = form.ask(material.trained.take(workload.rows), host=host, key=material.key)
    wanted = material.trained.expect(workload.rows)
    pieces: list[bytes] = []
    refusals: list[str] = []

    def is_ready(client: httpx.Client) -> bool:
        if subject.opening is not None:
            client.post(subject.opening.path, json=subject.opening.content)
        answer = client.send(_request(client, question))
        if answer.status_code == 200:
            pieces.append(form.check(answer.headers, answer.content, wanted))
        else:
            refusals.append(f"It answers {answer.status_code}: {answer.text[:200]}")
        return bool(pieces)

    try:
        wait_until_ready(server, is_ready)
    except LoadTestError as error:
        raise LoadTestError(" ".join([str(error), *refusals[-1:]])) from error
    return Shot(question, pieces[0])


def _request(client: httpx.Client, question: Question) -> httpx.Request:
    """Return the very request that the load repeats, for a client that reads answers well."""
    head, body = question.numbered(0).split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name: value for name, value in pairs}
    return client.build_request("POST", first.split()[1], content=body, headers=headers)


def count_answered(data_dir: Path) -> int:
    """Count the answered inferences of the model that the audit log holds, page by page."""
    store = open_store(data_dir)
    trail = AuditTrail(store, data_dir / "journal")
    wanted = RecordFilter(model=MODEL, kind=Kind.INFERENCE, outcome=Outcome.ANSWERED)
    count, cursor = 0, None
    try:
        while True:
            page = trail.find(wanted, limit=MAX_LIMIT, cursor=cursor)
            count += len(page.records)
            cursor = page.cursor
            if cursor is None:
                return count
    finally:
        store.close()


def wait_until_integrated(data_dir: Path | None) -> float:
    """Wait until the store holds what the journal holds, and return how long that took."""
    if data_dir is None:
        return 0.0
    started = time.monotonic()
    store = open_store(data_dir)
    try:
        while time.monotonic() - started < _CATCH_UP_S:
            reached = store.positions()
            segments = list_segments(data_dir / "journal")
            waiting = (read_groups(path, reached.get(path.name, 0)) for path in segments)
            if all(next(groups, None) is None for groups in waiting):
                return time.monotonic() - started
            time.sleep(0.05)
    finally:
        store.close()
    raise LoadTestError(f"The log did not catch up within {_CATCH_UP_S:g} s.")
