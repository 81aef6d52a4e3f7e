"""`make stages`: what one request costs, stage by stage, in microseconds of processor.

One thread takes a request through the gateway's own functions, as a worker does between its socket
and its disk. Each number is the least of many repeats on that thread's clock, so that a busy
machine disturbs it little. What is not here: the sockets, the event loop, and the wait for the
disk; how much those are, `make bench` says.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from gateway.batching import run_batch
from gateway.case_records import write_entry
from gateway.cases import Call, Case
from gateway.children import RUNS_MODELS
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout
from gateway.monitor.rows import MOST_ROWS
from gateway.observation import BLOCK_ROWS, take_rows
from gateway.protocol.refusal import Refusal
from gateway.roster import ServedVersion
from gateway.runtime import Watchdog
from gateway.security import Role, make_key
from gateway.version_loading import load_version
from loadtests import subjects, workloads
from loadtests.bench import prepare
from loadtests.errors import LoadTestError
from loadtests.model import MODEL
from loadtests.shot import ID_DIGITS
from loadtests.subjects import GATEWAY, PAYLOAD_LIMIT
from loadtests.timing import Work, least_us
from loadtests.workloads import Workload
from registry.artifacts import Artifacts
from registry.audit.segment import MARK_SIZE, encode_group
from registry.entry import commit, new_salt
from registry.records import Lane, Outcome
from registry.registry import Registry
from registry.store import open_store
from registry.tensors import Tensor, encode_tensors
from registry.times import now

NAMES = ("W2", "W3")
_RUN_DEADLINE_S = 10.0
_HEADER_LENGTH = "Inference-Header-Content-Length"


class Stage(Struct, frozen=True):
    """What one request costs in a stage; `includes` are parts of it that were timed apart."""

    name: str
    us: float
    includes: tuple["Stage", ...] = ()


class Asked(Struct, frozen=True):
    """A request of a workload as a worker gets it, and the version that it meets."""

    served: ServedVersion
    body: bytes
    header_length: int | None


def write(workload: Workload, served: ServedVersion) -> Asked:
    """Write one request of a workload, in the form that the benchmark asks the gateway in."""
    [gateway] = subjects.choose([GATEWAY])
    body = gateway.form(workload).write(workload.model().take(workload.rows))
    length = body.headers.get(_HEADER_LENGTH)
    content = body.head + b"0" * ID_DIGITS + body.tail
    return Asked(served, content, None if length is None else int(length))


def measure(asked: Asked, least_us: Callable[[Work], float]) -> list[Stage]:
    """Time each stage of a request, in its order.

    Raises LoadTestError where the gateway would not answer it, or would find fault with it.
    """
    served, case = asked.served, _answer(asked)
    request, run = case.request, case.run
    assert request is not None
    assert run is not None
    given, answered, salt = (
        encode_tensors(request.tensors),
        encode_tensors(case.outputs),
        new_salt(),
    )
    entry, mark = write_entry(case, PAYLOAD_LIMIT), b"m" * MARK_SIZE
    canonical = Stage(
        "of that the canonical form of input and output",
        least_us(lambda: (encode_tensors(request.tensors), encode_tensors(case.outputs))),
    )
    digests = Stage(
        "of that the digests of both",
        least_us(lambda: (commit(salt, given), commit(salt, answered))),
    )
    return [
        Stage("decode", least_us(lambda: served.reader.decode(asked.body, asked.header_length))),
        Stage("rules on the input", least_us(lambda: served.checker.is_clean(request.tensors))),
        Stage(
            "run of the model",
            least_us(lambda: run_batch(served.runner, [request], request.tensors)),
        ),
        Stage("rules on the output, and encode", least_us(lambda: case.take(run))),
        Stage("record", least_us(lambda: write_entry(case, PAYLOAD_LIMIT)), (canonical, digests)),
        Stage("write for the journal", least_us(lambda: encode_group(mark, [entry]))),
        Stage(
            "count values", _count_us(served, request.tensors, case.values, request.rows, least_us)
        ),
    ]


def _answer(asked: Asked) -> Case:
    """Bring a case to its answer. Raises LoadTestError where it gets none, or breaks a rule."""
    key, _ = make_key(name="stages", roles=(Role.INVOKER,), author="loadtests", created=now())
    call = Call(model=MODEL, version=None, body=asked.body, credential=None, source="127.0.0.1")
    case = Case(call, key, _reply)
    case.served, case.lane = asked.served, Lane.CHAMPION
    request = asked.served.reader.decode(asked.body, asked.header_length)
    if isinstance(request, Refusal):
        raise LoadTestError(f"The gateway would refuse the request: {request.detail}")
    case.request = request
    if not asked.served.checker.is_clean(request.tensors):
        raise LoadTestError("The request breaks a rule of the contract.")
    [run] = run_batch(asked.served.runner, [request], request.tensors).runs
    case.take(run)
    if case.outcome is not Outcome.ANSWERED:
        raise LoadTestError(f"The gateway would not answer: {case.refusal}")
    return case


def _reply(_: object) -> None:
    """Tell nobody: there is no caller."""


def _count_us(
    served: ServedVersion,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    rows: int,
    least_us: Callable[[Work], float],
) -> float:
    """Time counting one request among as many as are counted at once."""
    assert served.reference is not None
    folder = Folder(Layout.of(served.reference), served.reference, served.signature)
    times = max(1, BLOCK_ROWS // min(rows, MOST_ROWS))

    def count() -> None:
        for _ in range(times):
            if rows > MOST_ROWS:
                folder.add(take_rows(inputs, rows), take_rows(outputs, rows))
            else:
                folder.add(inputs, outputs)
        folder.fold()

    return least_us(count) / times


def tabulate(workload: Workload, asked: Asked, stages: Sequence[Stage]) -> Table:
    """Show what each stage takes, and what share of all of them."""
    total = sum(stage.us for stage in stages)
    table = Table(title=f"One request of {workload.name}, {len(asked.body):,} bytes")
    table.add_column("stage")
    table.add_column("µs", justify="right")
    table.add_column("share", justify="right")
    for stage in stages:
        table.add_row(stage.name, f"{stage.us:,.1f}", f"{stage.us / total:.0%}")
        for part in stage.includes:
            table.add_row(f"  {part.name}", f"{part.us:,.1f}", f"{part.us / total:.0%}")
    table.add_section()
    table.add_row("all stages", f"{total:,.1f}", "100%")
    return table


def show(workload: Workload, console: Console) -> None:
    """Publish the model of a workload, and print what a request to it costs."""
    watchdog = Watchdog(_RUN_DEADLINE_S)
    with tempfile.TemporaryDirectory(prefix="stages-") as folder:
        data_dir = prepare(workload, Path(folder)).data_dir
        store = open_store(data_dir)
        try:
            registry = Registry(store, Artifacts(data_dir / "artifacts"))
            served = load_version(registry, registry.version(MODEL, 1), None, watchdog)
            asked = write(workload, served)
            console.print(tabulate(workload, asked, measure(asked, least_us)))
        finally:
            store.close()
            watchdog.close()


@click.command()
@click.option(
    "--workload", "names", multiple=True, default=NAMES, show_default=True, help="What is asked."
)
def main(names: Sequence[str]) -> None:
    """Print what one request costs, stage by stage."""
    if not RUNS_MODELS.items() <= os.environ.items():  # which a process begins with, as a worker
        os.environ.update(RUNS_MODELS)
        command = [sys.executable, "-m", "loadtests.stages", *sys.argv[1:]]
        os.execv(sys.executable, command)
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        for workload in workloads.choose(names):
            show(workload, console)
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
