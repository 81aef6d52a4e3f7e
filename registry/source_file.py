"""Files that people write in TOML or JSON: read into values, with the line of every fault."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from registry.errors import Rejected, clip
from registry.source_lines import Place, lines_of_json, lines_of_toml

_Wanted = TypeVar("_Wanted", bound=Struct)

_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<number>\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")


class SourceFile(Struct, frozen=True):
    """What a file says, and where each of its members stands.

    `check` is what a fault in it is a fault of, as in `contract`.
    """

    check: str
    name: str
    members: Any
    lines: Mapping[Place, int]

    def read_as(self, kind: type[_Wanted]) -> _Wanted:
        """Read the members as a value. Raises Rejected with file, line and reason."""
        try:
            return msgspec.convert(self.members, kind)
        except msgspec.ValidationError as error:
            place, reason = read_misfit(str(error))
            raise self.fault(place, reason) from error

    def fault(self, place: Place, reason: str) -> Rejected:
        """Say of a fault at a place, or at the innermost one that the file has, where it is."""
        while place and place not in self.lines:
            place = place[:-1]
        return _rejected(self.check, self.name, self.lines.get(place, 1), reason)


def read_source(path: Path, check: str) -> SourceFile:
    """Read a file that ends in `.toml` or `.json`. Raises Rejected with file, line and reason."""
    if path.suffix not in (".toml", ".json"):
        raise Rejected(check, f"{path.name!r} must end in .toml or .json.")
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise Rejected(check, f"{path.name!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Rejected(check, f"{path.name!r} cannot be read as a text in UTF-8.") from error
    is_toml = path.suffix == ".toml"
    parse = _parse_toml if is_toml else _parse_json
    members = parse(check, path.name, text)
    return SourceFile(
        check, path.name, members, lines_of_toml(text) if is_toml else lines_of_json(text)
    )


def read_misfit(message: str) -> tuple[Place, str]:
    """Turn what msgspec says of a value that does not fit into a place and a reason.

    >>> read_misfit("Object contains unknown field `colour` - at `$.rules[0]`")
    (('rules', 0, 'colour'), "there is no member 'colour' here")
    """
    found = _PATH.search(message)
    place: Place = ()
    if found is not None:
        message = message[: found.start()]
        place = tuple(
            step["name"] if step["number"] is None else int(step["number"])
            for step in _STEP.finditer(found["path"])
        )
    unknown = _UNKNOWN.search(message)
    if unknown is not None:
        place = (*place, unknown["name"])
        message = f"there is no member {clip(unknown['name'])!r} here"
    return place, clip(message, 150)


def _parse_toml(check: str, name: str, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is one, too
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        reason = str(error) if found is None else str(error)[: found.start()]
        raise _rejected(check, name, line, f"no TOML: {clip(reason, 150)}") from error


def _parse_json(check: str, name: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise _rejected(check, name, error.lineno, f"no JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _rejected(check, name, 1, f"no JSON: {clip(str(error), 150)}") from error


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member of an object is given twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _rejected(check: str, name: str, line: int, reason: str) -> Rejected:
    return Rejected(check, f"{clip(name)}, line {line}: {reason}.")
