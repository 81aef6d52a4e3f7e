"""Contracts in files: read with the line of every fault, written to be read back as they were."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.contract_file import read_contract, write_contract
from registry.datatypes import Datatype
from registry.errors import ContractRejected, Rejected
from registry.manifest import (
    Action,
    Contract,
    OutputRule,
    Rule,
    RuleKind,
    Signature,
    TensorSpec,
)
from registry.rules import check_rules

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 2)),
        TensorSpec(name="s", datatype=Datatype.BYTES, shape=(-1, 1)),
    ),
    outputs=(TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1, 1)),),
)
GOOD = """\
# Rules of a test.
warm_up_s = 60
refusal_cap = "none"

[[rules]]
input = "x"
column = 0
kind = "range"
low = 0
high = 10.5
action = "clip"

[[rules]]
input = "s"
kind = "categories"
values = [
    "AA", # an airline
    "UA",
]
action = "reject"

[[outputs]]
output = "y"
kind = "finite"
action = "reject"
"""
RULE = Rule(input="x", column=0, kind=RuleKind.RANGE, low=0.0, high=10.5, action=Action.CLIP)


def write(tmp_path: Path, text: str, name: str = "contract.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def fault(path: Path) -> str:
    """Read a file, hold it against the signature, and return what is wrong with it."""
    with pytest.raises(Rejected) as caught:
        file = read_contract(path)
        try:
            check_rules(SIGNATURE, file.contract)
        except ContractRejected as found:
            raise file.locate(found) from found
    assert caught.value.check == "contract"
    return str(caught.value)


def test_a_file_in_toml_says_what_one_in_json_says(tmp_path: Path) -> None:
    as_json = {
        "warm_up_s": 60,
        "refusal_cap": None,
        "rules": [
            {"input": "x", "column": 0, "kind": "range", "low": 0, "high": 10.5, "action": "clip"},
            {"input": "s", "kind": "categories", "values": ["AA", "UA"], "action": "reject"},
        ],
        "outputs": [{"output": "y", "kind": "finite", "action": "reject"}],
    }

    found = read_contract(write(tmp_path, GOOD)).contract

    other = read_contract(write(tmp_path, json.dumps(as_json), "contract.json")).contract
    assert found == other
    assert found.rules[0] == RULE
    assert found.outputs == (OutputRule(input="y", kind=RuleKind.FINITE, action=Action.REJECT),)
    assert (found.warm_up_s, found.refusal_cap) == (60, None)
    check_rules(SIGNATURE, found)


def test_a_file_that_says_nothing_has_no_warm_up_and_the_usual_cap(tmp_path: Path) -> None:
    assert read_contract(write(tmp_path, "")).contract == Contract()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "finite"', 'kind = "sane"', "line 24: Invalid enum value 'sane'"),
        ('kind = "finite"', 'kind = "joint"', "line 24: joint: there is no such rule on an output"),
        ("low = 0", "lowest = 0", "line 9: there is no member 'lowest' here"),
        ("warm_up_s", "warmup", "line 2: there is no member 'warmup' here"),
        ("warm_up_s = 60", "warm_up_s = -1", "line 2: `warm_up_s` must be seconds"),
        ('refusal_cap = "none"', "refusal_cap = 1.5", "line 3: `refusal_cap` must be a share"),
        ('refusal_cap = "none"', 'refusal_cap = "all"', "line 3: Expected `float | null`"),
        ("[[outputs]]", "[[output]]", "line 22: there is no member 'output' here"),
        ('output = "y"', 'input = "y"', "line 23: there is no member 'input' here"),
        ('output = "y"', 'output = "z"', "line 23: finite: the model has no output 'z'"),
        ('input = "s"', 'input = "gone"', "line 14: categories: the model has no input 'gone'"),
        ("column = 0", "column = 2", "line 7: range: input 'x' has no column 2, only 0 to 1"),
        ("low = 0", "low = 20", "line 9: range: `low` (20) is above `high` (10.5)"),
        ("low = 0", "low = nan", "line 9: range: `low` must be finite"),
        ("low = 0", 'low = "0"', "line 9: Expected `float | null`, got `str`"),
        ("low = 0", "value = 0", "line 9: range: `value` belongs to another kind of rule"),
        ('action = "clip"', 'action = "impute"', "line 11: range: the action may be reject, flag"),
        ('action = "clip"', "", "line 5: Object missing required field `action`"),
        ('    "UA",', "    7,", "line 18: Expected `str`, got `int`"),
        ('"categories"', '"pattern"', "line 16: pattern: `values` belongs to another kind"),
        ("low = 0", "low = = 0", "line 9: no TOML: Invalid value"),
        ("low = 0", "kind = 0", "line 9: no TOML: Cannot overwrite a value"),
        ('action = "reject"\n', 'action = "reject', "line 20: no TOML"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_file_line_and_reason(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in GOOD
    said = fault(write(tmp_path, GOOD.replace(old, new, 1)))
    assert said.startswith(f"contract.toml, {says}")
    assert len(said) < 250


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{"rules": [\n{"input": "x",\n"kind": "rage", "action": "flag"}]}',
            "line 3: Invalid enum",
        ),
        (
            '{"rules": [\n{"input": "x", "kind": "integer",\n "foo": 1}]}',
            "line 3: there is no member",
        ),
        (
            '{"rules": [{"input": "x", "kind": "missing",\n\n"action": "clip"}]}',
            "line 3: missing: ",
        ),
        ('{"rules": [\n\n}', "line 3: no JSON: Expecting value"),
        ('{"rules": [], "rules": []}', "line 1: no JSON: a member of an object is given twice"),
        ('{"refusal_cap": NaN}', "line 1: no JSON: NaN is no number"),
        ("", "line 1: no JSON"),
        ("[]", "line 1: Expected `object`, got `array`"),
        ("[" * 100_000, "line 1: no JSON"),
        ('{"rules": {}}', "line 1: Expected `array`, got `object`"),
    ],
)
def test_a_fault_in_json_is_told_with_its_line_too(tmp_path: Path, text: str, says: str) -> None:
    assert fault(write(tmp_path, text, "c.json")).startswith(f"c.json, {says}")


def test_a_contradiction_names_both_rules(tmp_path: Path) -> None:
    more = '\n[[rules]]\ninput = "x"\nkind = "range"\nlow = 11\naction = "flag"\n'
    said = fault(write(tmp_path, GOOD.replace("\n[[outputs]]", more + "\n[[outputs]]")))
    assert said == "contract.toml, line 22: range: it contradicts rule 1."


@pytest.mark.parametrize("name", ["contract.yaml", "contract", "contract.TOML"])
def test_a_file_of_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    assert "must end in .toml or .json" in fault(write(tmp_path, GOOD, name))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    assert "cannot be read" in fault(path)
    path.write_bytes(b"\xff")
    assert "cannot be read" in fault(path)


@given(st.data())
def test_no_text_is_read_without_a_contract_or_a_line(data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(GOOD)))
    piece = data.draw(st.text("[]{}=\"',.#\n\\ax0-:", max_size=6))
    end = data.draw(st.integers(cut, min(len(GOOD), cut + 20)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / data.draw(st.sampled_from(["c.toml", "c.json"]))
        path.write_text(GOOD[:cut] + piece + GOOD[end:])
        try:
            found = read_contract(path)
        except Rejected as error:
            said = str(error)
        else:
            said = ", line " if isinstance(found.contract, Contract) else ""
    assert ", line " in said


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def rules_of(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(
        kind,
        input=NAMES,
        kind=st.sampled_from(RuleKind),
        action=st.sampled_from(Action),
        column=st.none() | st.integers(0, 99),
        low=NUMBERS,
        high=NUMBERS,
        values=st.lists(NAMES, max_size=3).map(tuple),
        pattern=st.none() | NAMES,
        value=NUMBERS | NAMES,
    )


CONTRACTS = st.builds(
    Contract,
    rules=st.lists(rules_of(Rule), max_size=3).map(tuple),
    outputs=st.lists(rules_of(OutputRule), max_size=2).map(tuple),
    warm_up_s=st.floats(0, 1e6),
    refusal_cap=st.none() | st.floats(0.01, 1),
)


@given(CONTRACTS)
def test_a_written_contract_is_read_as_the_same_value(contract: Contract) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "contract.toml"
        path.write_text(write_contract(contract), encoding="utf-8")
        assert read_contract(path).contract == contract
