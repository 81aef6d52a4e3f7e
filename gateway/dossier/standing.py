"""How an input stood to each rule of the contract that applied to it."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from gateway.contract import Checker, compile_contract, compile_outputs
from gateway.dossier.words import rule_in_words, shown
from gateway.protocol.refusal import Violation
from registry.manifest import WHOLE_ROWS, Contract, Manifest, OutputRule, Rule, RuleKind
from registry.tensors import Tensor

_MOST_PLACES = 20


class Standing(StrEnum):
    KEPT = "kept"
    BROKEN = "broken"
    UNKNOWN = "unknown"  # what it is on is not there, or not as it was, or more than one request


class RuleStanding(Struct, frozen=True, kw_only=True):
    """One rule, in words, and how the input stood to it; `places` name what broke it."""

    rule: Rule | OutputRule
    text: str
    standing: Standing
    broken: int = 0
    places: tuple[str, ...] = ()


def stand(
    manifest: Manifest, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
) -> tuple[RuleStanding, ...]:
    """Hold what is there against each rule alone, with the check that serving makes."""
    signature, contract = manifest.signature, manifest.contract
    of_inputs = (
        _stand(
            rule, inputs, compile_contract(signature, Contract(rules=(rule,)), manifest.reference)
        )
        if rule.kind is not RuleKind.MISSING_RATE and _is_there(rule, manifest, inputs)
        else _unknown(rule)
        for rule in contract.rules
    )
    of_outputs = (
        _stand(rule, outputs, compile_outputs(signature, Contract(outputs=(rule,))))
        if rule.input in outputs
        else _unknown(rule)
        for rule in contract.outputs
    )
    return (*of_inputs, *of_outputs)


def _unknown(rule: Rule) -> RuleStanding:
    return RuleStanding(rule=rule, text=rule_in_words(rule), standing=Standing.UNKNOWN)


def _stand(rule: Rule, tensors: Mapping[str, Tensor], checker: Checker) -> RuleStanding:
    found = checker.check(tensors)
    return RuleStanding(
        rule=rule,
        text=rule_in_words(rule),
        standing=Standing.BROKEN if found.total else Standing.KEPT,
        broken=found.total,
        places=tuple(_place(one, tensors.get(rule.input)) for one in found.all[:_MOST_PLACES]),
    )


def _is_there(rule: Rule, manifest: Manifest, inputs: Mapping[str, Tensor]) -> bool:
    """Say whether a rule can be held against the inputs that there are; one on rows needs all."""
    if rule.input == WHOLE_ROWS:
        return all(spec.name in inputs for spec in manifest.signature.inputs)
    return rule.input in inputs


def _place(violation: Violation, tensor: Tensor | None) -> str:
    if tensor is None:
        return f"row {violation.row}"
    at = tuple(i for i in (violation.row, violation.column) if i is not None)
    where = "" if violation.row is None else f"row {violation.row}: "
    if len(at) == tensor.ndim:
        return f"{where}{shown(tensor[at])}"
    # The column of a narrow input is not told, and there is but one.
    if tensor.ndim == len(at) + 1 and tensor.shape[-1] == 1:
        return f"{where}{shown(tensor[at][0])}"
    return f"{where}one of its values"
