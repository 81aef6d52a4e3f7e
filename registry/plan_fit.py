"""Whether champion and challenger can be compared as a plan asks; asked once, at its start."""

from collections.abc import Sequence

from msgspec.structs import replace

from registry.datatypes import Datatype
from registry.distribution import Categorical, Discrete, Numeric
from registry.errors import PlanRejected, SignatureDiffers, clip
from registry.manifest import Manifest, Signature, TensorSpec
from registry.rollouts import Guard, GuardKind, Plan

_ON_OUTPUTS = frozenset({GuardKind.SHIFT, GuardKind.AGREEMENT, GuardKind.SCORE})
_MOST_NAMED = 5  # of a list in a sentence


def fit_plan(plan: Plan, challenger: Manifest) -> Plan:
    """Return a plan whose guards name the number that they compare, an output and a column of it.

    Raises PlanRejected for a guard on what the challenger does not answer with, and for one that
    turns out to compare the same as another.
    """
    guards = [
        _fit_guard(guard, number, challenger) if guard.kind in _ON_OUTPUTS else guard
        for number, guard in enumerate(plan.guards)
    ]
    fitted = replace(plan, guards=tuple(guards))
    refuse_repeated(fitted)
    return fitted


def refuse_repeated(plan: Plan) -> None:
    """Accept a plan in which each guard compares something else. Raises PlanRejected."""
    compared = [guard.compared for guard in plan.guards]
    for number, one in enumerate(compared):
        if one in compared[:number]:
            fault = f"{plan.guards[number].kind}: another guard says the same"
            raise PlanRejected(("guards", number), fault)


def check_alike(
    model: str, champion: int, its: Signature, challenger: int, others: Signature
) -> None:
    """Accept a challenger that takes and answers the same tensors. Raises SignatureDiffers."""
    for what, old, new in (
        ("input", its.inputs, others.inputs),
        ("output", its.outputs, others.outputs),
    ):
        fault = _difference(what, old, new)
        if fault is not None:
            raise SignatureDiffers(model, challenger, champion, fault)
    if its != others:
        raise SignatureDiffers(
            model, challenger, champion,
            "the classes of their outputs, or the dimensions that must agree, are not the same",
        )  # fmt: skip


def _difference(what: str, old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> str | None:
    found = {spec.name: spec for spec in new}
    for spec in old:
        other = found.pop(spec.name, None)
        if other is None:
            return f"it has no {what} {spec.name!r}"
        if other != spec:
            return f"its {what} {spec.name!r} is {_describe(other)}, and not {_describe(spec)}"
    if found:
        return f"it has another {what}, {next(iter(found))!r}"
    return None if list(old) == list(new) else f"its {what}s stand in another order"


def _describe(spec: TensorSpec) -> str:
    shape = "any shape" if spec.is_unranked else f"{list(spec.shape)}"
    return f"{spec.datatype} {shape}"


def _fit_guard(guard: Guard, number: int, challenger: Manifest) -> Guard:
    spec = _output(guard, number, challenger.signature)
    column = _column(guard, number, spec)
    if spec.datatype is Datatype.BYTES and guard.kind is GuardKind.SCORE:
        raise PlanRejected(
            ("guards", number, "output"),
            f"{guard.kind}: output {spec.name!r} has texts, and it compares numbers",
        )
    fitted = replace(guard, output=spec.name, column=column)
    if guard.kind is GuardKind.SHIFT and not _has_bins(challenger, fitted):
        raise PlanRejected(
            ("guards", number, "output"),
            f"{guard.kind}: the challenger's reference has no bins of output {spec.name!r}; publish"
            " it with rows that it was not trained on (--holdout)",
        )
    return fitted


def _output(guard: Guard, number: int, signature: Signature) -> TensorSpec:
    if guard.output is None:
        return signature.outputs[0]
    for spec in signature.outputs:
        if spec.name == guard.output:
            return spec
    raise PlanRejected(
        ("guards", number, "output"),
        f"{guard.kind}: there is no output {clip(guard.output)!r}; there is"
        f" {', '.join(clip(spec.name) for spec in signature.outputs[:5])}",
    )


def _column(guard: Guard, number: int, spec: TensorSpec) -> int | None:
    """Return the column that is compared, None of an output that has one alone."""
    rank = len(spec.shape)
    if not spec.is_unranked and rank > 2:
        raise PlanRejected(
            ("guards", number, "output"),
            f"{guard.kind}: output {spec.name!r} has {rank} dimensions, no one number for each row",
        )
    columns = -1 if spec.is_unranked else spec.shape[1] if rank == 2 else 1
    if columns == -1 and guard.column is None:
        raise PlanRejected(
            ("guards", number, "output"),
            f"{guard.kind}: the columns of output {spec.name!r} are not fixed; say which `column`",
        )
    column = columns - 1 if guard.column is None else guard.column
    if column < 0 or -1 < columns <= column:
        raise PlanRejected(
            ("guards", number, "column"),
            f"{guard.kind}: output {spec.name!r} has no column {column}",
        )
    return None if columns == 1 else column


def _has_bins(challenger: Manifest, guard: Guard) -> bool:
    """Say whether the reference has bins of an output: that of texts has, where some are kept."""
    for one in () if challenger.reference is None else challenger.reference.outputs:
        if (one.input, one.column) == (guard.output, guard.column):
            found = one.distribution
            is_texts = isinstance(found, Categorical) and bool(found.values)
            return is_texts or isinstance(found, Numeric | Discrete)
    return False
