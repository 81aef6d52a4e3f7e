"""How an input stood to each rule of the contract that applied to it."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from gateway.contract import compile_contract
from gateway.dossier.words import rule_in_words, shown
from gateway.protocol.refusal import Violation
from registry.manifest import Contract, Manifest, Rule
from registry.tensors import Tensor

_MOST_PLACES = 20


class Standing(StrEnum):
    KEPT = "kept"
    BROKEN = "broken"
    UNKNOWN = "unknown"  # the input is not there to be looked at, or not as it was


class RuleStanding(Struct, frozen=True, kw_only=True):
    """One rule, in words, and how the input stood to it; `places` name what broke it."""

    rule: Rule
    text: str
    standing: Standing
    broken: int = 0
    places: tuple[str, ...] = ()


def stand(manifest: Manifest, inputs: Mapping[str, Tensor]) -> tuple[RuleStanding, ...]:
    """Hold the inputs that are there against each rule alone, with the check that serving makes."""
    return tuple(_stand(manifest, rule, inputs) for rule in manifest.contract.rules)


def _stand(manifest: Manifest, rule: Rule, inputs: Mapping[str, Tensor]) -> RuleStanding:
    text = rule_in_words(rule)
    if rule.input not in inputs:
        return RuleStanding(rule=rule, text=text, standing=Standing.UNKNOWN)
    findings = compile_contract(manifest.signature, Contract(rules=(rule,))).check(inputs)
    violations = (*findings.rejected, *findings.flagged, *findings.observed)
    broken = findings.rejected_total + findings.flagged_total + findings.observed_total
    return RuleStanding(
        rule=rule,
        text=text,
        standing=Standing.BROKEN if broken else Standing.KEPT,
        broken=broken,
        places=tuple(_place(one, inputs[rule.input]) for one in violations[:_MOST_PLACES]),
    )


def _place(violation: Violation, tensor: Tensor) -> str:
    at = tuple(i for i in (violation.row, violation.column) if i is not None)
    where = "" if violation.row is None else f"row {violation.row}: "
    if len(at) == tensor.ndim:
        return f"{where}{shown(tensor[at])}"
    # The column of a narrow input is not told, and there is but one.
    if tensor.ndim == len(at) + 1 and tensor.shape[-1] == 1:
        return f"{where}{shown(tensor[at][0])}"
    return f"{where}one of its values"
