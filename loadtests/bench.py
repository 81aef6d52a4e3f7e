"""`make bench`: one core of the gateway, everything on, beside a hand-written FastAPI app.

Both serve the same model and the same request. The server, with every process it has, is held to
one core and wrk to another. Runs alternate, so that a slow minute of the machine meets both, and
every run has a fresh server. The gateway's processor time counts until its last record is in the
store. At the end the audit log must hold a record for every answer that wrk counted.
"""

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import click
import httpx
import msgspec
from msgspec import Struct
from rich.console import Console

from loadtests import machine, wrk
from loadtests.errors import LoadTestError
from loadtests.model import INPUT, MODEL, PROBABILITIES, TOLERANCE, Trained, train
from loadtests.server import PORT, Server, gateway_command, publish, run_server, wait_until_ready
from loadtests.summary import (
    GATEWAY,
    PEER,
    SUBJECTS,
    Run,
    ratios,
    summarise,
    tabulate,
)
from loadtests.wrk import Shot, WrkResult
from registry.audit.query import MAX_LIMIT, AuditTrail
from registry.audit.segment import list_segments, read_groups
from registry.records import Draft, Kind, Outcome, RecordFilter
from registry.store import open_store

_QUIET = 0.05  # a larger share of the server's core in other hands makes numbers worth little
RESULTS = Path(__file__).with_name("results")
_PEER = Path(__file__).with_name("fastapi_peer.py")
_PEER_PYTHON = Path(".venv-fastapi/bin/python")
_PATH = f"/v2/models/{MODEL}/infer"
_WARM_UP_S = 3.0
_CATCH_UP_S = 120.0
_DATA = re.compile(r'"data":\s*(\[[^\]]*\])')


class Subject(Struct, frozen=True, kw_only=True):
    """What is measured: how to start it, and where its journal and store are, if it has them."""

    name: str
    command: Sequence[str]
    key: str
    data_dir: Path | None = None


class Bench(Struct, frozen=True, kw_only=True):
    """What all runs share."""

    wrk: str
    trained: Trained
    folder: Path
    seconds: float
    server_core: int
    client_core: int

    def measure(self, subject: Subject) -> Run:
        """Start a subject, check and warm it, and load it."""
        log = self.folder / f"{subject.name}.log"
        environment = {"PEER_KEY": subject.key}
        with run_server(
            subject.command, log, core=self.server_core, environment=environment
        ) as server:
            shot = self._aim(server, subject.key)
            self._shoot(server, shot, _WARM_UP_S)
            _wait_until_integrated(subject)
            before, core_before, began = server.cpu_s(), self._core_s(), time.monotonic()
            result = self._shoot(server, shot, self.seconds)
            catch_up_s = _wait_until_integrated(subject)
            after, core_after, ended = server.cpu_s(), self._core_s(), time.monotonic()
        cpu_s = {part: used - before[part] for part, used in after.items()}
        others_s = core_after - core_before - sum(cpu_s.values())
        return Run(
            subject=subject.name,
            result=result,
            cpu_s=cpu_s,
            catch_up_s=catch_up_s,
            others=max(0.0, others_s / (ended - began)),
        )

    def _aim(self, server: Server, key: str) -> Shot:
        """Return the request, once the server has given it the answer that scikit-learn gives."""
        bodies: list[str] = []

        def is_ready(client: httpx.Client) -> bool:
            answer = client.post(
                _PATH,
                json=self.trained.body("first"),
                headers={"authorization": f"Bearer {key}"},
            )
            if answer.status_code == 200:
                bodies.append(answer.text)
            return bool(bodies)

        wait_until_ready(server, is_ready)
        return Shot(
            path=_PATH,
            key=key,
            input=INPUT,
            data=",".join(map(str, self.trained.row)),
            expected=expected_piece(bodies[0], self.trained.probabilities),
        )

    def _core_s(self) -> float:
        return machine.busy_s(Path("/proc/stat").read_text(), self.server_core)

    def _shoot(self, server: Server, shot: Shot, seconds: float) -> WrkResult:
        return wrk.run(self.wrk, server.url, shot, seconds=seconds, core=self.client_core)


def expected_piece(body: str, probabilities: Sequence[float]) -> str:
    """Return the piece of a right body that holds the probabilities, as this server writes them.

    Raises LoadTestError where the body is not right.
    """
    for output in msgspec.json.decode(body)["outputs"]:
        if output["name"] == PROBABILITIES and output["shape"] == [1, len(probabilities)]:
            pairs = zip(output["data"], probabilities, strict=True)
            if all(abs(found - wanted) <= TOLERANCE for found, wanted in pairs):
                for piece in _DATA.findall(body):
                    if msgspec.json.decode(piece) == output["data"]:
                        return str(piece)
    raise LoadTestError(f"The first answer is not what scikit-learn says: {body}")


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


def _wait_until_integrated(subject: Subject) -> float:
    """Wait until the store holds what the journal holds, and return how long that took."""
    if subject.data_dir is None:
        return 0.0
    started = time.monotonic()
    store = open_store(subject.data_dir)
    try:
        while time.monotonic() - started < _CATCH_UP_S:
            reached = store.positions()
            segments = list_segments(subject.data_dir / "journal")
            waiting = (read_groups(path, reached.get(path.name, 0)) for path in segments)
            if all(next(groups, None) is None for groups in waiting):
                return time.monotonic() - started
            time.sleep(0.05)
    finally:
        store.close()
    raise LoadTestError(f"The log did not catch up within {_CATCH_UP_S:g} s.")


def _check_peer() -> None:
    if not _PEER_PYTHON.exists():
        raise LoadTestError("The peer is not installed; run it as: make bench")


def _measure_all(bench: Bench, repeats: int, console: Console) -> tuple[list[Run], int]:
    """Run gateway and peer by turns; return the runs and how many answers the log holds."""
    data_dir = bench.folder / "data"
    model_file = bench.folder / "model.onnx"
    model_file.write_bytes(bench.trained.artifact)
    key = publish(
        data_dir, MODEL, [(bench.trained.artifact, Draft(contract=bench.trained.contract))]
    )
    gateway = Subject(
        name=GATEWAY,
        command=gateway_command(data_dir, workers=1),
        key=key,
        data_dir=data_dir,
    )
    peer = Subject(
        name=PEER, command=[str(_PEER_PYTHON), str(_PEER), str(model_file), PORT], key=key
    )
    runs: list[Run] = []
    for _ in range(repeats):
        for subject in (gateway, peer):
            run = bench.measure(subject)
            runs.append(run)
            console.print(
                f"{subject.name}: {run.result.per_second:,.0f} req/s, "
                f"{run.result.looked:,} bodies looked at, log caught up in {run.catch_up_s:.1f} s"
            )
    return runs, count_answered(data_dir)


def _report(runs: Sequence[Run], recorded: int, seconds: float, console: Console) -> None:
    summaries = [summarise(subject, runs) for subject in SUBJECTS]
    pairs = ratios(runs)
    answered = sum(run.result.answers for run in runs if run.subject == GATEWAY)
    console.print(tabulate(summaries))
    console.print(
        f"{median(pairs):.2f} times the requests/s of {PEER} (each pair of runs: "
        f"{', '.join(f'{pair:.2f}' for pair in pairs)}), "
        f"{summaries[1].cpu_us / summaries[0].cpu_us:.2f} times by processor time."
    )
    if any(one.most_others > _QUIET for one in summaries):
        console.print("Other work had a part of the server's core: run this again when it is idle.")
    console.print(f"The gateway's audit log holds {recorded:,} answers; wrk counted {answered:,}.")
    at = datetime.now(UTC)
    written = {
        "at": at.isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "method": " ".join((__doc__ or "").split()),
        "seconds": seconds,
        "connections": wrk.CONNECTIONS,
        "ratios": pairs,
        "ratio": median(pairs),
        "summaries": summaries,
        "runs": runs,
        "answers_counted_by_wrk": answered,
        "answers_in_the_log": recorded,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"bench-{at:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
    console.print(f"Written to {path.relative_to(RESULTS.parent.parent)}")
    if recorded < answered:
        raise LoadTestError("There are answers without a record.")


@click.command()
@click.option("--seconds", default=8.0, show_default=True, help="Length of one run.")
@click.option("--repeats", default=3, show_default=True, help="Runs of each subject.")
def main(seconds: float, repeats: int) -> None:
    """Measure the gateway beside a hand-written FastAPI app."""
    console = Console()
    try:
        server_core, client_core = machine.two_cores()
        found = wrk.find_wrk()
        _check_peer()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            bench = Bench(
                wrk=found,
                trained=train(),
                folder=Path(folder),
                seconds=seconds,
                server_core=server_core,
                client_core=client_core,
            )
            runs, recorded = _measure_all(bench, repeats, console)
        _report(runs, recorded, seconds, console)
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
