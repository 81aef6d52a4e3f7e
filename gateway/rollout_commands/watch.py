"""`gateway rollout watch`: a rollout as it goes on, in the terminal."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from msgspec import Struct
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.rollout.levels import Levels
from gateway.rollout.progress import progress
from gateway.rollout.reading import Assessor
from gateway.rollout.words import judgement_words
from gateway.rollout_commands.show import standing
from gateway.truth.evidence import TruthReader
from registry import rolling_out
from registry.console import PIPE_WIDTH, can_print, data_dir_option, open_registry, printable
from registry.registry import Registry
from registry.rollouts import POINTS, Assessment, Judgement, Rollout, RolloutChange, Verdict
from registry.times import now

_EVERY_S = 1.0
_CHANGES = 5  # the last ones
_BAR_CELLS = 13  # two of them leave room for words on 80 columns
_STYLES = {Verdict.WORSE: "red", Verdict.NON_INFERIOR: "green", Verdict.UNDECIDED: "yellow"}


class State(Struct, frozen=True, kw_only=True):
    """A rollout at a time. Requests are those of whole blocks, as they are judged."""

    rollout: Rollout
    champion: int
    assessment: Assessment
    changes: tuple[RolloutChange, ...]


class Watching:
    """Reads how one rollout stands, from the store alone."""

    def __init__(self, registry: Registry, rollout_id: str) -> None:
        self._registry = registry
        self._rollout_id = rollout_id
        self._assessor = Assessor(registry, TruthReader(registry))

    def read(self) -> State:
        """Return the present state; of one that is over, as it was judged. Raises RegistryError."""
        with self._registry.store.snapshot() as view:
            rollout = rolling_out.find_rollout(view, self._rollout_id)
            changes = view.rollout_changes(self._rollout_id)
        at = rollout.ended or now()
        champion, *_ = self._assessor.counts(rollout, at)
        return State(
            rollout=rollout,
            champion=champion,
            assessment=self._assessor.assess(rollout, at),
            changes=tuple(changes[-_CHANGES:]),
        )


def states(read: Callable[[], State], wait: Callable[[], None]) -> Iterator[State]:
    """Yield a rollout's states, with a wait between two, the last of which is its end."""
    while True:
        state = read()
        yield state
        if state.rollout.phase.is_over:
            return
        wait()


@click.command("watch")
@data_dir_option
@click.argument("rollout_id", metavar="ID")
@click.option("--once", is_flag=True, help="Print how it stands, and end.")
def watch(data_dir: Path, rollout_id: str, *, once: bool) -> None:
    """Show how ID goes on, each second, until it is over."""
    watching = Watching(open_registry(data_dir), rollout_id)
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else PIPE_WIDTH)
    if once:
        console.print(draw(watching.read()))
        return
    # In a pipe nothing can be drawn over: there the end alone is printed.
    with Live(console=console, auto_refresh=False) as live:
        for state in states(watching.read, lambda: time.sleep(_EVERY_S)):
            live.update(draw(state), refresh=is_terminal)


def draw(state: State) -> Group:
    """Lay a state out for a terminal."""
    rollout, requests = state.rollout, state.assessment.requests
    step = rollout.plan.stages[rollout.stage]
    lane = "shadow" if rollout.is_shadow else "canary"
    lasted_s = (state.assessment.at - rollout.entered).total_seconds()
    share = (rollout.points + rollout.shadow_points) * 100 / POINTS
    lines = (
        f"Version {rollout.plan.challenger} of {rollout.model} against champion {rollout.champion}",
        f"{standing(rollout)}; share now {share:g} %",
        f"requests: champion {state.champion:,}, {lane} {requests:,}"
        f" (at least {step.min_requests:,}); {lasted_s:,.0f} s (at least {step.min_s:,.0f})",
    )
    return Group(
        *(Text(printable(line)) for line in lines),
        _guards(state.assessment.judgements, Levels.of(rollout.plan)),
        _changes(state.changes),
    )


def bar(share: float | None, *, is_ascii: bool = False) -> str:
    """Draw a share of a way; nothing where it has not begun.

    >>> bar(0.25, is_ascii=True), bar(None)
    ('###..........', '')
    """
    if share is None:
        return ""
    full, empty = ("#", ".") if is_ascii else ("█", "░")
    # Only what has arrived is drawn whole.
    cells = int(share * _BAR_CELLS)
    return full * cells + empty * (_BAR_CELLS - cells)


def _guards(judgements: Sequence[Judgement], levels: Levels) -> Table:
    is_ascii = not can_print("█░")
    table = Table("verdict")
    for heading in ("towards worse", "towards non_inferior"):
        table.add_column(heading, width=_BAR_CELLS)  # a bar that is cut is never full
    table.add_column("evidence")
    for one in judgements:
        found = progress(one, levels)
        table.add_row(
            Text(one.verdict, style=_STYLES[one.verdict]),
            bar(found.worse, is_ascii=is_ascii),
            bar(found.fine, is_ascii=is_ascii),
            Text(printable(judgement_words(one))),
        )
    return table


def _changes(changes: Sequence[RolloutChange]) -> Table:
    table = Table("at", "action", "by", "reason", title="Last changes", title_justify="left")
    for one in reversed(changes):
        table.add_row(
            *(Text(printable(cell)) for cell in (one.at, one.action, one.principal, one.reason))
        )
    return table
