"""`make bench-docs`: write the newest result into the page about benchmarks."""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from loadtests.errors import LoadTestError
from loadtests.report import HEADINGS, cells
from loadtests.results import RESULTS, Written, newest, read

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_SECTION = re.compile(r"(?<=<!-- result -->\n).*(?=<!-- end of result -->)", re.DOTALL)


def describe(written: Written, name: str) -> str:
    """Write a result in Markdown: where it is from, the table, and what could not be measured."""
    machine = written.machine
    made_of = "; ".join(
        f"{subject} ({', '.join(f'{package} {version}' for package, version in found.items())})"
        for subject, found in written.versions.items()
    )
    faults = dict.fromkeys(
        f"- {line.subject}: {line.fault}" for line in written.lines if line.fault
    )
    parts = [
        f"[{name}](../loadtests/results/{name}), {written.at[:10]}, on {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}. "
        f"{written.rounds} rounds of {written.closed_s} s. {made_of}.",
        "\n".join(write_rows(HEADINGS, map(cells, written.lines))),
        *(["Not measured:\n\n" + "\n".join(faults)] if faults else []),
    ]
    return "\n\n".join(["", *parts, ""])


def write_rows(head: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Write a table in Markdown, a line for each row."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def insert(page: str, section: str) -> str:
    """Put a section in the place of the one that a page has. Raises LoadTestError."""
    if not _SECTION.search(page):
        raise LoadTestError("The page has no place for a result.")
    return _SECTION.sub(lambda _: section, page)


@click.command()
def main() -> None:
    """Write the newest result into docs/benchmarks.md."""
    try:
        path = newest(RESULTS)
        section = describe(read(path.read_bytes(), path.name), path.name)
        PAGE.write_text(insert(PAGE.read_text(), section))
    except LoadTestError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
