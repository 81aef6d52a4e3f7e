"""Records, rules and values in words that need no manual."""

import math
import re
from typing import Any

from gateway.protocol.refusal import SENTENCES
from registry.manifest import WHOLE_ROWS, Action, Rule, RuleKind
from registry.records import AuditRecord, Lane, Outcome
from registry.rules.words import expected_in_words

# Rules that refuse no request, and so have no sentence of a refusal.
_RULES = {
    "joint": "The row as a whole lies too far from those of training.",
    "finite": "A number of the answer is infinite or none.",
}
# What a rule did not do, since it was warming up or suspended.
_WOULD = {
    "reject": "It was not refused for that.",
    "flag": "The answer does not say so.",
    "clip": "It was not replaced.",
    "impute": "It was not replaced.",
}
# Faults that no sentence of a refusal tells; each is the code of an error of the gateway.
_FAULTS = {
    "forbidden": "The caller's key has not the role that is needed.",
    "input-not-accepted": "The model cannot compute with this input.",
    "internal-error": "The gateway itself failed.",
    "model-failed": "The model failed on this input.",
    "model-timeout": "The model ran longer than it may.",
    "not-found": "No such model or version was served.",
    "output-not-accepted": "The answer broke a rule of the contract and was withheld.",
    "overloaded": "The gateway had more to do than it could take on.",
    "too-late": "The caller's own timeout passed before its turn came.",
    "unloaded": "The model was out of service.",
}
_LABEL = re.compile(
    r"(?P<rule>[a-z-]+) (?P<input>.*?)(?:\[(?P<row>\d+)(?:,(?P<column>\d+))?\])?"
    r"(?: \(would (?P<would>[a-z]+)\))?"
)
# Why a payload was not kept, as records say it.
UNKEPT = {
    "digest": "The model's policy is to commit to them alone.",
    "unsampled": "The model's policy keeps some of its payloads, and this one was not drawn.",
    "too-large": "They are larger than what is kept; the record commits to them.",
    "off": "The model's policy is to keep nothing, and to commit to nothing.",
}
ACTIONS = {
    Action.REJECT: "A request that breaks it is refused.",
    Action.FLAG: "A request that breaks it is answered, and the answer says so.",
    Action.OBSERVE: "A request that breaks it is answered, and the record says so.",
    Action.CLIP: "A value that breaks it is replaced by the nearest bound, and the answer says so.",
    Action.IMPUTE: "A value that breaks it is replaced by another, and the answer says so.",
}
LANES = {
    Lane.CHAMPION: "The request named no version and met the champion.",
    Lane.PINNED: "The caller named the version.",
    Lane.FALLBACK: "The request named no version, and this one stood in for the champion.",
    Lane.CANARY: "The request named no version, and a rollout gave its caller to this one.",
    Lane.SHADOW: "The version ran beside the answer of another, and answered nobody.",
}


def outcome_in_words(record: AuditRecord) -> str:
    """Say what became of a request.

    >>> from registry.records import Kind
    >>> outcome_in_words(AuditRecord(id="", kind=Kind.INFERENCE, time="0", model="m", version=2,
    ...     outcome=Outcome.ANSWERED))
    'Answered by version 2 of m.'
    """
    if record.model is None:
        asked = "" if record.subject is None else f" for {record.subject}"
        return f"The request{asked} met no version and was not answered: {_cause(record)}"
    by = f"version {record.version} of {record.model}"
    if record.outcome is Outcome.ANSWERED:
        flagged = " A rule flagged the input." if record.flags else ""
        return f"Answered by {by}.{flagged}"
    if record.outcome is Outcome.REFUSED:
        return f"Refused by {by}: {_cause(record)}"
    return f"Not answered by {by}: {_cause(record)}"


def _cause(record: AuditRecord) -> str:
    code = record.error or "no cause is recorded"
    return SENTENCES.get(code) or _FAULTS.get(code, f"{code}.")


def place_in_words(label: str) -> str:
    """Write a violation as a record names it so that it can be read.

    >>> place_in_words("range distance[3,17]")
    'distance, row 3, column 17: A value lies outside the range of the contract.'
    >>> place_in_words("missing-input carrier")
    'carrier: An input of the model is not given.'
    >>> place_in_words("range distance[3] (would reject)")
    'distance, row 3: A value lies outside the range of the contract. It was not refused for that.'
    """
    found = _LABEL.fullmatch(label)
    if found is None:
        return label
    row = "" if found["row"] is None else f", row {found['row']}"
    column = "" if found["column"] is None else f", column {found['column']}"
    sentence = SENTENCES.get(found["rule"]) or _RULES.get(found["rule"], found["rule"])
    would = "" if found["would"] is None else f" {_WOULD[found['would']]}"
    where = "all inputs" if found["input"] == WHOLE_ROWS else found["input"]
    return f"{where}{row}{column}: {sentence}{would}"


def rule_in_words(rule: Rule) -> str:
    """Write a rule as a sentence.

    >>> rule_in_words(Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, column=2, low=0.0))
    'Column 2 of x is at least 0.'
    """
    what = rule.input if rule.column is None else f"Column {rule.column} of {rule.input}"
    if rule.kind is RuleKind.MISSING:
        return f"{what} is not missing."
    if rule.input == WHOLE_ROWS:
        what = "Each row"
    return f"{what} is {expected_in_words(rule)}."


def shown(value: Any) -> str:
    """Write one element of a tensor: the shortest number that is it, and what is missing as that.

    >>> import numpy as np
    >>> shown(np.float32(0.1)), shown(float("nan")), shown(b"AA"), shown("")
    ('0.1', 'missing', 'AA', 'missing')
    """
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return value or "missing"
    return "missing" if math.isnan(value) else str(value).removesuffix(".0")
