"""What a clean request costs to check, by the kinds of rules that its contract has.

Run with `python -m loadtests.contract`; each line is the best of many rounds, in microseconds.
"""

import timeit
from collections.abc import Mapping

import numpy as np

from gateway.contract import compile_contract, compile_outputs
from registry.datatypes import Datatype
from registry.distribution import Feature, Joint, Numeric, Reference
from registry.manifest import (
    WHOLE_ROWS,
    Action,
    Contract,
    OutputRule,
    Rule,
    RuleKind,
    Signature,
    TensorSpec,
)
from registry.tensors import Tensor

_COLUMNS = 30
_ROUNDS, _CALLS = 500, 200
_NUMBERS = Numeric(minimum=0, maximum=1, mean=0, std=1, edges=(), bin_counts=(1,))


def main() -> None:
    """Print the time of each contract, with none first."""
    for name, took_us in measure().items():
        print(f"{name:<44} {took_us:6.2f} us")


def measure() -> Mapping[str, float]:
    """Time one clean row of 30 numbers, and one row of a text, against contracts of one kind."""
    numbers, texts = _numbers(), _texts()
    ranges = [_rule(RuleKind.RANGE, column=column, low=-9, high=9) for column in range(_COLUMNS)]
    missing = _rule(RuleKind.MISSING)
    return {
        "no rules": _clean(numbers, ()),
        "ranges of 30 columns": _clean(numbers, ranges),
        "ranges, missing": _clean(numbers, (*ranges, missing)),
        "ranges, missing, integer": _clean(numbers, (*ranges, missing, _rule(RuleKind.INTEGER))),
        "ranges, missing, integer of 3 columns": _clean(
            numbers, (*ranges, missing, *(_rule(RuleKind.INTEGER, column=at) for at in (1, 5, 9)))
        ),
        "ranges, missing, joint": _clean(
            numbers, (*ranges, missing, _rule(RuleKind.JOINT, name=WHOLE_ROWS, high=1e9))
        ),
        "text: categories": _clean(texts, (_rule(RuleKind.CATEGORIES, values=("AA17", "UA")),)),
        "text: length": _clean(texts, (_rule(RuleKind.LENGTH, low=1, high=9),)),
        "text: pattern": _clean(texts, (_rule(RuleKind.PATTERN, pattern="[A-Z]{2}[0-9]*"),)),
        "output: finite": _outputs((RuleKind.FINITE,)),
        "output: finite, range": _outputs((RuleKind.FINITE, RuleKind.RANGE)),
    }


def _rule(kind: RuleKind, *, name: str = "x", **members: object) -> Rule:
    return Rule(input=name, kind=kind, action=Action.FLAG, **members)  # type: ignore[arg-type]


def _numbers() -> tuple[TensorSpec, Tensor]:
    spec = TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, _COLUMNS))
    return spec, np.arange(_COLUMNS, dtype=np.float32).reshape(1, -1) % 7


def _texts() -> tuple[TensorSpec, Tensor]:
    spec = TensorSpec(name="x", datatype=Datatype.BYTES, shape=(-1, 1))
    return spec, np.array([["AA17"]], object)


def _reference() -> Reference:
    identity = np.eye(_COLUMNS)[np.tril_indices(_COLUMNS)]
    return Reference(
        rows=1000,
        features=tuple(
            Feature(input="x", column=column, count=1, missing=0, distribution=_NUMBERS)
            for column in range(_COLUMNS)
        ),
        joint=Joint(
            features=tuple(range(_COLUMNS)),
            mean=(0.0,) * _COLUMNS,
            whitening=tuple(identity.tolist()),
            edges=(1, 2, 3, 4, 5),
            bin_counts=(1000,),
        ),
    )


def _clean(given: tuple[TensorSpec, Tensor], rules: tuple[Rule, ...] | list[Rule]) -> float:
    spec, tensor = given
    signature = Signature(inputs=(spec,), outputs=())
    checker = compile_contract(signature, Contract(rules=tuple(rules)), _reference())
    return _time(checker.is_clean, {"x": tensor})


def _outputs(kinds: tuple[RuleKind, ...]) -> float:
    spec = TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1, 2))
    rules = tuple(
        OutputRule(
            input="y",
            kind=kind,
            action=Action.REJECT,
            low=0 if kind is RuleKind.RANGE else None,
        )
        for kind in kinds
    )
    checker = compile_outputs(Signature(inputs=(), outputs=(spec,)), Contract(outputs=rules))
    return _time(checker.is_clean, {"y": np.array([[0.25, 0.75]], np.float32)})


def _time(is_clean: object, tensors: Mapping[str, Tensor]) -> float:
    assert callable(is_clean)
    assert is_clean(tensors)
    rounds = timeit.repeat(lambda: is_clean(tensors), repeat=_ROUNDS, number=_CALLS)
    return min(rounds) / _CALLS * 1e6


if __name__ == "__main__":
    main()
