"""Whether a contract's rules can be held against a signature, asked once, when it is published."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from registry.distribution import Reference
from registry.errors import ContractRejected
from registry.manifest import Action, Contract, Rule, RuleKind, Signature, TensorSpec
from registry.rules.contradictions import Numbered, contradiction
from registry.rules.form import INPUT_ACTIONS, OUTPUT_ACTIONS, form_fault, settings_fault
from registry.rules.tensors import tensor_fault

__all__ = ["INPUT_ACTIONS", "OUTPUT_ACTIONS", "check_rules"]


def check_rules(
    signature: Signature, contract: Contract, reference: Reference | None = None
) -> None:
    """Raise ContractRejected for the first rule that makes no sense for signature and reference."""
    fault = settings_fault(contract)
    if fault is not None:
        raise ContractRejected("", 0, fault.text, fault.member)
    _check("rules", contract.rules, signature.inputs, INPUT_ACTIONS, reference)
    _check("outputs", contract.outputs, signature.outputs, OUTPUT_ACTIONS, None)


def _check(
    section: str,
    rules: Sequence[Rule],
    specs: Sequence[TensorSpec],
    actions: Mapping[RuleKind, frozenset[Action]],
    reference: Reference | None,
) -> None:
    what = "input" if section == "rules" else "output"
    by_name = {spec.name: spec for spec in specs}
    earlier: dict[str, list[Numbered]] = defaultdict(list)
    for number, rule in enumerate(rules, 1):
        fault = (
            form_fault(rule, actions, what)
            or tensor_fault(rule, by_name, what, reference)
            or contradiction(rule, earlier[rule.input], by_name.get(rule.input))
        )
        if fault is not None:
            raise ContractRejected(section, number, f"{rule.kind}: {fault.text}", fault.member)
        earlier[rule.input].append((number, rule))
