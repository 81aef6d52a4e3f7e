"""Draws the diagrams of the documentation from the tables that decide: `make diagrams`.

So a diagram shows what the code does, and a test finds one that no longer does.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from registry.lifecycle import DECISIONS, TRANSITIONS
from registry.phases import BEGINNINGS
from registry.phases import TRANSITIONS as PHASES
from registry.promotions import PromotionState
from registry.versions import VersionState

_State = TypeVar("_State", bound=StrEnum)
_Action = TypeVar("_Action", bound=StrEnum)

_PLACE = "<!-- diagram of {}: begin -->\n{}<!-- diagram of {}: end -->"


def diagrams() -> dict[str, str]:
    """Draw versions, requests to promote one, and rollouts, as state diagrams of Mermaid."""
    return {
        "versions": draw(TRANSITIONS, {VersionState.PUBLISHED: "publish"}),
        "promotions": draw(DECISIONS, {PromotionState.PENDING: "request"}),
        "rollouts": draw(PHASES, dict.fromkeys(BEGINNINGS, "start")),
    }


def draw(table: Mapping[tuple[_State, _Action], _State], beginnings: Mapping[_State, str]) -> str:
    """Draw a table of states and actions; what several actions lead to has one arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, action in beginnings.items():
        arrows[("[*]", _name(state))] = [action]
    for (state, action), following in table.items():
        arrows.setdefault((_name(state), _name(following)), []).append(str(action))
    states = dict.fromkeys([*beginnings, *(one for one, _ in table), *table.values()])
    lines = [
        *(f'state "{one}" as {_name(one)}' for one in states if _name(one) != one),
        *(f"{old} --> {new} : {', '.join(names)}" for (old, new), names in arrows.items()),
        *(f"{_name(one)} --> [*]" for one in states if one not in {old for old, _ in table}),
    ]
    return "".join(f"{line}\n" for line in ("stateDiagram-v2", *(f"    {one}" for one in lines)))


def redraw(text: str) -> str:
    """Return a page with its diagrams as the tables are now."""
    for name, diagram in diagrams().items():
        begin, end = _PLACE.format(name, "\0", name).split("\0")
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        drawn = f"{begin}```mermaid\n{diagram}```\n{end}"
        text = place.sub(lambda _, drawn=drawn: drawn, text)  # type: ignore[misc]
    return text


def main(pages: Iterable[str]) -> None:
    """Draw the diagrams of pages anew, where they stand."""
    for page in map(Path, pages):
        page.write_text(redraw(page.read_text(encoding="utf-8")), encoding="utf-8")


def _name(state: StrEnum) -> str:
    return state.replace("-", "_")


if __name__ == "__main__":
    main(sys.argv[1:])
