"""Contracts in files: TOML or JSON, read with the line of every fault, and written to be edited."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from registry.errors import ContractRejected, Rejected
from registry.manifest import Contract, Rule
from registry.source_file import SourceFile, read_source
from registry.source_lines import Place

NO_CAP = "none"  # what a file says in place of a share; TOML has no null

_SECTIONS = ("rules", "outputs")


class ContractFile(Struct, frozen=True):
    """A contract as a file has it, and where in the file each of its members stands."""

    source: SourceFile
    contract: Contract

    def locate(self, fault: ContractRejected) -> Rejected:
        """Say of a fault in the contract on which line of the file it is."""
        place: Place = (fault.section, fault.number - 1) if fault.section else ()
        if fault.member is not None:
            place = (*place, fault.member)
        return self.source.fault(place, fault.fault)


def read_contract(path: Path) -> ContractFile:
    """Read a contract from a file that ends in `.toml` or `.json`.

    What it says of rules is not held against a model here. Raises Rejected("contract") with the
    file, the line and the reason.
    """
    source = read_source(path, "contract")
    members = source.members
    if isinstance(members, dict) and members.get("refusal_cap") == NO_CAP:
        source = replace(source, members={**members, "refusal_cap": None})
    return ContractFile(source, source.read_as(Contract))


def write_contract(contract: Contract) -> str:
    """Write a contract as TOML that `read_contract` reads as the same value."""
    return "\n".join([*_settings(contract), *_tables(contract)]) + "\n"


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
