"""`make profile`: where one worker's time goes under a workload, on one page.

py-spy looks at the worker from outside a thousand times a second. A thread that waits for work is
left out. Time inside C code counts for the Python function that called it; so the event loop's own
function holds the reading, the writing and the waiting of sockets.
"""

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from subprocess import DEVNULL, Popen

import click
from rich.console import Console
from rich.table import Table

from loadtests import machine, subjects, workloads, wrk
from loadtests.bench import prepare
from loadtests.errors import LoadTestError
from loadtests.measure import aim
from loadtests.server import run_server
from loadtests.subjects import GATEWAY, fill
from loadtests.workloads import W1, Workload
from loadtests.wrk import Blow

PY_SPY = Path(".venv-peer-py-spy/bin/py-spy")
_WARM_UP_S = 2
_SHOWN = 25
# Where threads wait for work.
_WAITS = {
    "futures/thread.py _worker",
    "threading.py Condition.wait",
    "gateway/journal.py Journal._run",
    "gateway/journal.py Journal._next_group",
}
_FRAME = re.compile(r"^(?P<function>\S+) \((?P<file>[^:)]+)(?::\d+)?\)$")


def gather(stacks: Iterable[str]) -> tuple[Counter[str], Counter[str], int]:
    """Count samples by function: those in itself, and those in it or in what it called.

    A line is `outermost;…;innermost COUNT`, as py-spy writes its raw format.
    """
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        names = [_name(frame) for frame in stack.split(";")]
        if names[-1] in _WAITS:
            continue
        own[names[-1]] += int(count)
        for name in set(names):
            whole[name] += int(count)
        total += int(count)
    return own, whole, total


def _name(frame: str) -> str:
    """Name a function by its file, without line and without where that file lies."""
    found = _FRAME.match(frame)
    if found is None:
        return frame
    return f"{'/'.join(Path(found['file']).parts[-2:])} {found['function']}"


def tabulate(title: str, own: Counter[str], whole: Counter[str], total: int) -> Table:
    """Show the functions with the most time of their own."""
    table = Table(title=f"One worker under {title}, {total:,} samples")
    for heading in ("function", "itself", "with what it calls"):
        table.add_column(heading, justify="left" if heading == "function" else "right")
    for name, count in own.most_common(_SHOWN):
        table.add_row(name, f"{count / total:.1%}", f"{whole[name] / total:.1%}")
    return table


def record(workload: Workload, folder: Path, seconds: int) -> list[str]:
    """Load a gateway and return the stacks that py-spy saw in its worker."""
    server_core, client_core = machine.two_cores()
    material = prepare(workload, folder)
    [subject] = subjects.choose([GATEWAY])
    stacks = folder / "stacks"
    command = fill(subject, data_dir=material.data_dir, model_file=material.model_file, workers=1)
    with run_server(command, folder / "log", cores=[server_core]) as server:
        shot = aim(subject, workload, material, server)
        blow = Blow(
            connections=workload.connections, seconds=seconds + 2 * _WARM_UP_S, cores=[client_core]
        )
        words = [
            *machine.pin([client_core]),
            str(PY_SPY), "record", "--pid", str(server.pid("worker")), "--rate", "1000",
            "--duration", str(seconds), "--format", "raw", "--output", str(stacks),
        ]  # fmt: skip
        with Popen(words, stdout=DEVNULL, stderr=DEVNULL) as spy:
            wrk.run(wrk.find_wrk(), server.url, shot, blow)
        if spy.returncode:
            raise LoadTestError("py-spy may not look at the worker: run it as root.")
    return stacks.read_text().splitlines()


@click.command()
@click.option("--seconds", default=8, show_default=True, help="How long to look.")
@click.option("--workload", "name", default=W1.name, show_default=True, help="What is asked.")
def main(seconds: int, name: str) -> None:
    """Print where the time of a worker goes."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        if not os.access(PY_SPY, os.X_OK):
            raise LoadTestError("py-spy is not installed; run: make profile")
        with tempfile.TemporaryDirectory(prefix="profile-") as folder:
            [workload] = workloads.choose([name])
            stacks = record(workload, Path(folder), seconds)
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)
    console.print(tabulate(name, *gather(stacks)))


if __name__ == "__main__":
    main()
