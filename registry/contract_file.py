"""Contracts in files: TOML or JSON, read with the line of every fault, and written to be edited."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from registry.errors import ContractRejected, Rejected, clip
from registry.manifest import Contract, Rule
from registry.source_lines import Place, lines_of_json, lines_of_toml

NO_CAP = "none"  # what a file says in place of a share; TOML has no null

_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<number>\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_SECTIONS = ("rules", "outputs")


class ContractFile(Struct, frozen=True):
    """A contract as a file has it, and where in the file each of its members stands."""

    name: str
    contract: Contract
    lines: Mapping[Place, int]

    def locate(self, fault: ContractRejected) -> Rejected:
        """Say of a fault in the contract on which line of the file it is."""
        place: Place = (fault.section, fault.number - 1) if fault.section else ()
        if fault.member is not None:
            place = (*place, fault.member)
        return _rejected(self.name, _line(self.lines, place), f"{fault.fault}.")


def read_contract(path: Path) -> ContractFile:
    """Read a contract from a file that ends in `.toml` or `.json`.

    What it says of rules is not held against a model here. Raises Rejected("contract") with the
    file, the line and the reason.
    """
    if path.suffix not in (".toml", ".json"):
        raise Rejected("contract", f"{path.name!r} must end in .toml or .json.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("contract", f"{path.name!r} cannot be read as a text in UTF-8.") from error
    is_toml = path.suffix == ".toml"
    members = _parse_toml(path.name, text) if is_toml else _parse_json(path.name, text)
    lines = lines_of_toml(text) if is_toml else lines_of_json(text)
    if isinstance(members, dict) and members.get("refusal_cap") == NO_CAP:
        members = {**members, "refusal_cap": None}
    try:
        contract = msgspec.convert(members, Contract)
    except msgspec.ValidationError as error:
        raise _unfit(path.name, lines, str(error)) from error
    return ContractFile(path.name, contract, lines)


def write_contract(contract: Contract) -> str:
    """Write a contract as TOML that `read_contract` reads as the same value."""
    return "\n".join([*_settings(contract), *_tables(contract)]) + "\n"


def _parse_toml(name: str, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        reason = str(error) if found is None else str(error)[: found.start()]
        raise _rejected(name, line, f"no TOML: {clip(reason, 150)}.") from error


def _parse_json(name: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise _rejected(name, error.lineno, f"no JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise _rejected(name, 1, f"no JSON: {clip(str(error), 150)}.") from error


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member of an object is given twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _unfit(name: str, lines: Mapping[Place, int], message: str) -> Rejected:
    """Turn what msgspec says of a value into a line and a reason."""
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
    return _rejected(name, _line(lines, place), f"{clip(message, 150)}.")


def _line(lines: Mapping[Place, int], place: Place) -> int:
    """Return the line of a place, or of the innermost one around it that the file has."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _rejected(name: str, line: int, reason: str) -> Rejected:
    return Rejected("contract", f"{clip(name)}, line {line}: {reason}")


def _settings(contract: Contract) -> Iterator[str]:
    cap = contract.refusal_cap
    yield "# Seconds for which every rule of a new version only observes."
    yield f"warm_up_s = {contract.warm_up_s!r}"
    yield '# Beyond this share of refused requests, rules that reject only flag; or "none".'
    yield f"refusal_cap = {_scalar(NO_CAP if cap is None else cap)}"


def _tables(contract: Contract) -> Iterator[str]:
    for section in _SECTIONS:
        rules: tuple[Rule, ...] = getattr(contract, section)
        for rule in rules:
            yield ""
            yield f"[[{section}]]"
            for member, value in msgspec.to_builtins(rule).items():
                yield f"{member} = {_value(value)}"


def _value(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return _scalar(value)
    if len(value) <= 1:
        return f"[{', '.join(map(_scalar, value))}]"
    elements = "".join(f"    {_scalar(one)},\n" for one in value)
    return f"[\n{elements}]"


def _scalar(value: str | float) -> str:
    if not isinstance(value, str):
        return repr(value)
    # JSON's escapes are TOML's, but JSON lets one character stand that TOML does not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
