"""What the answers of a model are scored against, and when: the policy, and what it means for one
signature.

Ground truth is scored once it had the time to come: of the labels that are there first, one class
is often more frequent than it is among all.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from math import isfinite

import msgspec
from msgspec import Struct

from registry.datatypes import FLOATS, INTEGER_BOUNDS, Datatype
from registry.errors import InvalidRequest, clip
from registry.labels import Truth
from registry.manifest import Signature, TensorSpec
from registry.names import MAX_LABEL, is_unicode
from registry.reader import Reader
from registry.rollouts import MetricKind
from registry.workers import SettingName

MOST_SLICES = 10
_MOST_HORIZON_S = 3_650 * 86_400.0
_MOST_ROWS = 1_000_000
_MOST_CLASSES = 1_000_000
_LEAST_ROWS = 50  # a slice of fewer says little, and may point at persons


class LabelKind(StrEnum):
    """What a label of a model is."""

    CLASSES = "classes"
    NUMBERS = "numbers"


class Slice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One way to part the rows of a model, by what `name` says of them.

    That is the value of an input, or of one column of it, where `input` is named; `edges` part
    numbers. Else it comes with the label, which may say what the model must not know.
    """

    name: str
    input: str | None = None
    column: int | None = None
    edges: tuple[float, ...] = ()


class TruthPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model's answers are scored against.

    A row is scored for good `horizon_s` seconds after it was answered. Labels are of `kind`, and
    held against `output`, or one `column` of it; where these are not given, the signature says it:
    an output with named classes before others. A probability of at least `threshold` says that a
    row is positive. A slice says something from `least_rows` rows on, of them `least_positives`
    positive and as many negative ones where classes are two.
    """

    horizon_s: float = 86_400.0
    kind: LabelKind | None = None
    output: str | None = None
    column: int | None = None
    threshold: float = 0.5
    slices: tuple[Slice, ...] = ()
    least_rows: int = 200
    least_positives: int = 30

    @property
    def told(self) -> frozenset[str]:
        """Name the slices that come with labels."""
        return frozenset(one.name for one in self.slices if one.input is None)


class Form(StrEnum):
    """What an output says of a row."""

    PROBABILITIES = "probabilities"  # one of each class
    PROBABILITY = "probability"  # that of the positive class
    CLASS = "class"  # the class itself
    NUMBER = "number"


class Target(Struct, frozen=True, kw_only=True):
    """What of a version's answers is held against labels.

    `column` is that of the number, or of the positive class; None is the last one. `classes` are
    the names of the columns, as far as the signature names them.
    """

    output: str
    form: Form
    column: int | None
    classes: tuple[str, ...]
    threshold: float

    @property
    def words(self) -> str:
        """Say what a label must be."""
        if self.form is Form.NUMBER:
            return "a finite number"
        if self.form is Form.CLASS:
            return "a class as the output names it: a text, or a whole number"
        if self.form is Form.PROBABILITY:
            return "0 or 1, or false or true"
        if self.classes:
            named = ", ".join(self.classes[:10]) + (", …" if len(self.classes) > 10 else "")
            return f"one of the classes {named}, or its place among them from 0"
        return "the place of a class among the columns of the output, from 0"

    def read_label(self, value: object) -> Truth | None:
        """Return a label in the one form that is kept; None where it is of another kind."""
        match self.form:
            case Form.NUMBER:
                return _as_number(value)
            case Form.PROBABILITY:
                return int(value) if isinstance(value, int | float) and value in (0, 1) else None
            case Form.CLASS:
                return _as_text(value)
        return self._class(value)

    def place(self, label: Truth) -> int | None:
        """Return the column of the class that a label names; None where it has none."""
        if isinstance(label, str):
            return self.classes.index(label) if label in self.classes else None
        return int(label)

    def _class(self, value: object) -> Truth | None:
        if isinstance(value, str):
            return value if value in self.classes else None
        if not isinstance(value, int):
            return None
        number = int(value)  # a boolean is 0 or 1
        if str(number) in self.classes:
            return str(number)
        if not self.classes:
            return number if 0 <= number < _MOST_CLASSES else None
        # Where classes are named by numbers, a number is a name and never a place.
        is_place = not self._numbered and 0 <= number < len(self.classes)
        return self.classes[number] if is_place else None

    @property
    def _numbered(self) -> bool:
        return any(name.lstrip("-").isdigit() for name in self.classes)


def target_of(policy: TruthPolicy, signature: Signature) -> Target | None:
    """Find what of a version's answers is scored; None where it has nothing of the kind."""
    spec = _output(policy, signature)
    if spec is None:
        return None
    form = _form(policy.kind, spec)
    if form is None or not _has_column(_columns(spec), policy.column or 0):
        return None
    return Target(
        output=spec.name,
        form=form,
        column=policy.column,
        classes=signature.labels.get(spec.name, ()) if form is Form.PROBABILITIES else (),
        threshold=policy.threshold,
    )


def metrics_of(target: Target) -> tuple[MetricKind, ...]:
    """Name the metrics that rows of a target have values of."""
    match target.form:
        case Form.NUMBER:
            return (MetricKind.ABSOLUTE_ERROR, MetricKind.SQUARED_ERROR)
        case Form.CLASS:
            return (MetricKind.ACCURACY,)
    return (MetricKind.ACCURACY, MetricKind.BRIER, MetricKind.LOG_LOSS)


def check_truth_policy(policy: TruthPolicy, signatures: Sequence[Signature]) -> None:
    """Accept a policy that the versions of a model can be scored by. Raises InvalidRequest."""
    if not 0 <= policy.horizon_s <= _MOST_HORIZON_S:
        raise _invalid(f"`horizon_s` are seconds from 0 to {_MOST_HORIZON_S:,.0f}")
    if not 0 < policy.threshold < 1:
        raise _invalid("`threshold` lies between 0 and 1")
    if not _LEAST_ROWS <= policy.least_rows <= _MOST_ROWS:
        raise _invalid(f"`least_rows` is a number from {_LEAST_ROWS} to {_MOST_ROWS:,}")
    if not 1 <= policy.least_positives <= policy.least_rows:
        raise _invalid("`least_positives` is a number from 1 to `least_rows`")
    if not any(target_of(policy, signature) for signature in signatures):
        raise _invalid("no version of the model has an output, or a column, of this kind")
    _check_slices(policy.slices, signatures)


def truth_policy(view: Reader, model: str) -> TruthPolicy:
    """Return what is set for a model, or what holds where nothing is."""
    for one in view.settings():
        if one.name is SettingName.TRUTH and one.model == model:
            return msgspec.json.decode(one.value, type=TruthPolicy)
    return TruthPolicy()


def _check_slices(slices: Sequence[Slice], signatures: Sequence[Signature]) -> None:
    names = [one.name for one in slices]
    if len(slices) > MOST_SLICES or len(set(names)) < len(names):
        raise _invalid(f"there are at most {MOST_SLICES} slices, each with a name of its own")
    for one in slices:
        if not 0 < len(one.name) <= MAX_LABEL or not is_unicode(one.name):
            raise _invalid(f"a slice has a name of 1 to {MAX_LABEL} characters")
        if one.input is None and (one.column is not None or one.edges):
            raise _invalid(f"slice {clip(one.name)!r} has a column or edges, and no input")
        if not all(map(isfinite, one.edges)) or not all(a < b for a, b in pairwise(one.edges)):
            raise _invalid(f"the edges of slice {clip(one.name)!r} are numbers that ascend")
        if one.input is not None and not any(_fits(one, each) for each in signatures):
            raise _invalid(f"no version has the input of slice {clip(one.name)!r} so")


def _fits(one: Slice, signature: Signature) -> bool:
    spec = next((spec for spec in signature.inputs if spec.name == one.input), None)
    if spec is None or (one.edges and spec.datatype is Datatype.BYTES):
        return False
    columns = _columns(spec)
    return columns == 1 if one.column is None else _has_column(columns, one.column)


def _output(policy: TruthPolicy, signature: Signature) -> TensorSpec | None:
    outputs = signature.outputs
    if policy.output is not None:
        return next((spec for spec in outputs if spec.name == policy.output), None)
    named = (spec for spec in outputs if spec.name in signature.labels)
    floats = (spec for spec in outputs if spec.datatype in FLOATS and _columns(spec) != 0)
    preferred = floats if policy.kind is LabelKind.NUMBERS else named
    return next(preferred, None) or next(floats, None) or next(iter(outputs), None)


def _form(kind: LabelKind | None, spec: TensorSpec) -> Form | None:
    columns = _columns(spec)
    if columns == 0:
        return None
    if kind is LabelKind.NUMBERS:
        is_number = spec.datatype in FLOATS or spec.datatype in INTEGER_BOUNDS
        return Form.NUMBER if is_number else None
    if spec.datatype not in FLOATS:
        return Form.CLASS if columns in (None, 1) else None
    if columns == 1:
        return Form.PROBABILITY if kind is LabelKind.CLASSES else Form.NUMBER
    return Form.PROBABILITIES


def _columns(spec: TensorSpec) -> int | None:
    """Return how many numbers a row has: None if that varies, 0 where rows are no vectors."""
    if len(spec.shape) == 1:
        return 1
    if len(spec.shape) != 2:
        return 0
    return spec.shape[1] if spec.shape[1] > 0 else None


def _has_column(columns: int | None, column: int) -> bool:
    return column >= 0 and (columns is None or column < columns)


def _as_text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return str(value)
    is_text = isinstance(value, str) and 0 < len(value) <= MAX_LABEL and is_unicode(value)
    return str(value) if is_text else None


def _as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _invalid(fault: str) -> InvalidRequest:
    return InvalidRequest("truth-policy", f"This truth policy cannot be obeyed: {fault}.")
