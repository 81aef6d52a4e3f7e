"""Whether the values of a tensor, or the rows of a reference, can be held against a rule.

Categories of an integer tensor are written in decimal, those of BOOL as `true` and `false`.
"""

import math
from collections.abc import Callable, Mapping

from registry.datatypes import FLOAT_BOUNDS, FLOATS, INTEGER_BOUNDS, Datatype
from registry.distribution import Joint, Reference
from registry.errors import clip
from registry.manifest import WHOLE_ROWS, Rule, RuleKind, TensorSpec
from registry.patterns import BadPattern, Pattern
from registry.rules.form import Fault

Specs = Mapping[str, TensorSpec]

_TRUTHS = ("true", "false")


def tensor_fault(rule: Rule, specs: Specs, what: str, reference: Reference | None) -> Fault | None:
    if rule.kind is RuleKind.JOINT:
        return _joint_fault(rule, specs, reference)
    spec = specs.get(rule.input)
    if spec is None:
        return Fault(f"the model has no {what} {clip(rule.input)!r}", what)
    return _column_fault(rule, spec, what) or _KIND_FAULTS[rule.kind](rule, spec)


def _column_fault(rule: Rule, spec: TensorSpec, what: str) -> Fault | None:
    if rule.column is None:
        return None
    if len(spec.shape) < 2 or spec.shape[-1] < 0:
        text = f"{what} {spec.name!r} has no fixed columns, its shape is {list(spec.shape)}"
    elif not 0 <= rule.column < spec.shape[-1]:
        text = f"{what} {spec.name!r} has no column {rule.column}, only 0 to {spec.shape[-1] - 1}"
    else:
        return None
    return Fault(text, "column")


def _range_fault(rule: Rule, spec: TensorSpec) -> Fault | None:
    if spec.datatype in (Datatype.BYTES, Datatype.BOOL):
        return Fault(f"{spec.name!r} is {spec.datatype}, a range needs numbers", "kind")
    if is_empty(rule.low, rule.high, spec):
        return Fault(f"no value of {spec.datatype} lies within", "low")
    return None


def _categories_fault(rule: Rule, spec: TensorSpec) -> Fault | None:
    if spec.datatype in FLOATS:
        text = f"{spec.name!r} is {spec.datatype}, categories need texts or whole numbers"
        return Fault(text, "kind")
    for value in rule.values:
        if not _can_hold(spec.datatype, value):
            return Fault(f"{spec.datatype} cannot hold {clip(value)!r}", "values")
    return None


def _missing_fault(rule: Rule, spec: TensorSpec) -> Fault | None:
    value = rule.value
    if value is None:
        return None
    if spec.datatype is Datatype.BYTES:
        is_value = isinstance(value, str) and value != ""
        needed = "a text that is not empty"
    else:
        bound = FLOAT_BOUNDS.get(spec.datatype)
        if bound is None:
            return Fault(f"{spec.datatype} has no missing values", "kind")
        is_value = isinstance(value, float) and abs(value) <= bound
        needed = f"a number that {spec.datatype} can hold"
    return None if is_value else Fault(f"`value` must be {needed}", "value")


def _integer_fault(rule: Rule, spec: TensorSpec) -> Fault | None:
    if spec.datatype in (Datatype.BYTES, Datatype.BOOL):
        return Fault(f"{spec.name!r} is {spec.datatype}, whole are numbers", "kind")
    return None


def _text_fault(rule: Rule, spec: TensorSpec) -> Fault | None:
    if spec.datatype is not Datatype.BYTES:
        return Fault(f"{spec.name!r} is {spec.datatype}, and texts are BYTES", "kind")
    if rule.pattern is not None:
        try:
            Pattern(rule.pattern)
        except BadPattern as fault:
            return Fault(f"the pattern cannot be used: {clip(str(fault), 150)}", "pattern")
    return None


def _finite_fault(rule: Rule, spec: TensorSpec) -> Fault | None:
    if spec.datatype in FLOATS:
        return None
    return Fault(f"{spec.name!r} is {spec.datatype}, of which no value is infinite", "kind")


_KIND_FAULTS: Mapping[RuleKind, Callable[[Rule, TensorSpec], Fault | None]] = {
    RuleKind.RANGE: _range_fault,
    RuleKind.CATEGORIES: _categories_fault,
    RuleKind.MISSING: _missing_fault,
    RuleKind.MISSING_RATE: _missing_fault,
    RuleKind.INTEGER: _integer_fault,
    RuleKind.LENGTH: _text_fault,
    RuleKind.PATTERN: _text_fault,
    RuleKind.FINITE: _finite_fault,
}


def is_empty(low: float | None, high: float | None, spec: TensorSpec) -> bool:
    """Say whether no value of a tensor's datatype, or no length of its texts, lies in a range."""
    least, most = INTEGER_BOUNDS.get(spec.datatype, (-math.inf, math.inf))
    if spec.datatype not in FLOATS:
        low, high = (
            (None if low is None else math.ceil(low)),
            (None if high is None else math.floor(high)),
        )
    return max(least, -math.inf if low is None else low) > min(
        most, math.inf if high is None else high
    )


def _can_hold(datatype: Datatype, value: str) -> bool:
    if datatype is Datatype.BYTES:
        return True
    if datatype is Datatype.BOOL:
        return value in _TRUTHS
    # Longer texts hold no integer of 64 bits, and very long ones are refused by `int`.
    if len(value) > 20 or not value.isascii() or not value.removeprefix("-").isdigit():
        return False
    least, greatest = INTEGER_BOUNDS[datatype]
    return str(int(value)) == value and least <= int(value) <= greatest


def _joint_fault(rule: Rule, specs: Specs, reference: Reference | None) -> Fault | None:
    if rule.input != WHOLE_ROWS or rule.column is not None:
        text = f"it is on whole rows: `input` is {WHOLE_ROWS!r}, and there is no `column`"
        return Fault(text, "input")
    if reference is None or reference.joint is None:
        return Fault("there is no reference with joint distances", "kind")
    is_whole = _is_whole(reference.joint, len(reference.features)) and all(
        _is_number(specs.get(feature.input), feature.column)
        for feature in (reference.features[index] for index in reference.joint.features)
    )
    return None if is_whole else Fault("the reference's joint distances fit other inputs", "kind")


def _is_whole(joint: Joint, features: int) -> bool:
    size = len(joint.features)
    return (
        size > 0
        and all(0 <= index < features for index in joint.features)
        and len(joint.mean) == size
        and len(joint.whitening) == size * (size + 1) // 2
    )


def _is_number(spec: TensorSpec | None, column: int | None) -> bool:
    if spec is None or spec.datatype is Datatype.BYTES:
        return False
    if column is None:
        return len(spec.shape) == 1 or spec.shape[1:] == (1,)
    return len(spec.shape) == 2 and 0 <= column < spec.shape[-1]
