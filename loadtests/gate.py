"""`make bench-gate`: whether the gateway kept its lead over FastAPI since the last result.

Rates of two machines, or of one machine on two days, cannot be compared; ratios of runs beside each
other can. On two shared cores the ratio of unchanged code moves by up to 10 % between results, so a
smaller loss is not told from noise.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from loadtests.errors import LoadTestError
from loadtests.report import Line
from loadtests.results import RESULTS, committed, newest, read
from loadtests.subjects import GATEWAY
from loadtests.workloads import CONNECTIONS

TOLERANCE = 0.10


def losses(before: Sequence[Line], after: Sequence[Line]) -> list[str]:
    """Say for each workload where the gateway's ratio to FastAPI fell by more than the tolerance.

    Modes of the gateway count as well; what only one of the two has measured does not, nor do other
    numbers of connections, which have one run each.
    """
    found = []
    now = _ratios(after)
    for place, old in _ratios(before).items():
        new = now.get(place)
        if new is not None and new < old * (1 - TOLERANCE):
            workload, subject = place
            found.append(
                f"{workload}, {subject}: {new:.2f} times FastAPI's rate instead of {old:.2f}."
            )
    return found


def _ratios(lines: Sequence[Line]) -> dict[tuple[str, str], float]:
    return {
        (line.workload, line.subject): line.ratio
        for line in lines
        if line.subject.startswith(GATEWAY)
        and line.connections == CONNECTIONS
        and line.ratio is not None
    }


@click.command()
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    help="Folder of results; the committed ones are read from its repository.",
)
def main(results: Path) -> None:
    """Compare the newest result with the last committed one; ends with status 1 on a loss."""
    console = Console()
    try:
        path = newest(results)
        after = read(path.read_bytes(), path.name)
        base = committed(results, before=path)
        if base is None:
            console.print(
                f"No committed result is older than {path.name}: nothing to compare.",
                soft_wrap=True,
            )
            return
        found = losses(read(base[1], base[0]).lines, after.lines)
    except LoadTestError as error:
        console.print(str(error), soft_wrap=True)
        sys.exit(1)
    console.print(
        f"{path.name} beside {base[0]}: {len(found)} losses over {TOLERANCE:.0%}.", soft_wrap=True
    )
    for loss in found:
        console.print(loss, markup=False, soft_wrap=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
