"""How a request breaks signature or contract, as values: violations and refusals.

A refusal's texts come from this module's fixed sentences. Text that the caller chose appears in
them only as the name of an input, clipped to 64 characters.
"""

from collections.abc import Sequence, Set

from msgspec import Struct
from msgspec.structs import replace

from registry.errors import clip

MAX_VIOLATIONS = 100  # how many violations one refusal lists; it counts them all
MIXED = "invalid-input"  # the code of a refusal whose violations are of several kinds

WITHHELD = "output-not-accepted"  # the code where it is the answer that breaks a rule
_WITHHELD = "The answer breaks a rule of the contract on outputs and is withheld."

SENTENCES = {
    # of the whole request
    "empty-body": "The request has no body.",
    "malformed-json": "The body is not well-formed JSON in UTF-8.",
    "too-deep": "The body is nested too deeply.",
    "duplicate-key": "The body gives a member of an object twice.",
    "bad-request": (
        "The body must be an object with an array `inputs` of objects"
        " that have `name`, `shape`, `datatype` and `data`."
    ),
    "bad-id": "The request's `id` must be a text of at most 256 characters.",
    "bad-parameters": (
        "The request's `parameters` must be an object of texts, booleans and numbers of 64 bits,"
        " `priority` and `timeout` whole numbers from 0, `binary_data_output` true or false,"
        " `subject` and `routing_key` texts of 1 to 256 characters."
    ),
    "bad-outputs": (
        "The request's `outputs` must be an array of objects whose `name` is an output of the"
        " model, each at most once, with `binary_data` true or false, `classification` a whole"
        " number and for numbers only, and no shared memory."
    ),
    "reserved-parameter": (
        "The request's `parameters` ask for what is not served here: sequences, `headers`, or a"
        " name that begins with `triton_`."
    ),
    "bad-binary-header": (
        "The header Inference-Header-Content-Length must be there where an input is binary, and"
        " must be the length in bytes of the JSON that the body begins with."
    ),
    "not-raw": (
        "A body without JSON is for models with one input, which may have one dimension of any"
        " size beside its rows."
    ),
    # of the body's encoding
    "malformed-encoding": (
        "The body is not what its Content-Encoding says: one whole gzip member or zlib stream."
    ),
    # of one input
    "missing-input": "An input of the model is not given.",
    "unexpected-input": "An input is given that the model does not have.",
    "duplicate-input": "An input is given twice.",
    "unnamed-input": "An input has no name.",
    "missing-data": "An input has no data.",
    "bad-binary-size": "The bytes of an input are not as many as its shape and the body have.",
    "bad-bytes": "The bytes of an input are not texts in UTF-8, each behind its length.",
    "bad-datatype": "An input has a datatype that does not exist.",
    "dtype-mismatch": "A value or an input is not of the model's datatype.",
    "number-out-of-range": "A number is too large for any or for the model's datatype.",
    "bad-shape": "A shape is not an array of whole numbers that are not negative.",
    "shape-too-large": "A shape has too many elements.",
    "too-many-elements": "A tensor of texts has too many elements.",
    "shape-not-accepted": "A shape is not one that the model accepts.",
    "shape-data-mismatch": "The data of an input does not have the shape given.",
    # of the contract
    "range": "A value lies outside the range of the contract.",
    "categories": "A value is none of the categories of the contract.",
    "missing": "A value is missing that the contract demands.",
    "integer": "A value is not the whole number that the contract demands.",
    "length": "A text has more or fewer characters than the contract allows.",
    "pattern": "A text does not fit the pattern of the contract.",
    MIXED: "Several inputs or values cannot be accepted.",
}


class Violation(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One way a request, or its answer, breaks signature or contract.

    `input` is the tensor's name, an output's too, or "*" where whole rows are meant.

    `rule` is the slug of the fault or the kind of the contract's rule, `expected` what would have
    been accepted; None for a caller who shall not learn it. `row` counts in the first dimension and
    `column` in the last, both from 0; they are None where the whole input is meant. `would` is what
    the rule would have done, where it did less.
    """

    input: str
    rule: str
    expected: str | None = None
    row: int | None = None
    column: int | None = None
    would: str | None = None


class Refusal(Struct, frozen=True):
    """Why a request is not answered: a code for machines, a sentence for people, each violation.

    `total` counts the violations, also those beyond the ones that are listed.
    """

    code: str
    detail: str
    violations: tuple[Violation, ...] = ()
    total: int = 0


class Tally:
    """Collects violations: counts all of them, keeps the first `MAX_VIOLATIONS`."""

    __slots__ = ("_rules", "total", "violations")

    def __init__(self) -> None:
        self.total = 0
        self.violations: list[Violation] = []
        self._rules: set[str] = set()

    def add(
        self,
        name: str,
        rule: str,
        expected: str,
        *,
        row: int | None = None,
        column: int | None = None,
    ) -> None:
        """Count one violation of the input `name`."""
        self.total += 1
        self._rules.add(rule)
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(
                Violation(input=clip(name), rule=rule, expected=expected, row=row, column=column)
            )

    def refusal(self) -> Refusal:
        """Sum up what was collected, which is at least one violation."""
        return _refuse_for(self._rules, self.violations, self.total)


def refuse(code: str) -> Refusal:
    """Refuse a request as a whole, for a fault that no input is to blame for."""
    return Refusal(code, SENTENCES[code])


def refuse_for(violations: Sequence[Violation], total: int) -> Refusal:
    """Refuse a request for `total` violations, of which the first ones are given."""
    return _refuse_for({violation.rule for violation in violations}, violations, total)


def withhold_for(violations: Sequence[Violation], total: int) -> Refusal:
    """Withhold an answer for `total` violations of its own, of which the first ones are given."""
    return Refusal(WITHHELD, _detail(WITHHELD, violations[0], total), tuple(violations), total)


def without_expected(refusal: Refusal) -> Refusal:
    """Return a refusal that does not say what would have been accepted."""
    if not refusal.violations:
        return refusal
    violations = tuple(replace(violation, expected=None) for violation in refusal.violations)
    detail = _detail(refusal.code, violations[0], refusal.total)
    return Refusal(refusal.code, detail, violations, refusal.total)


def label(violation: Violation) -> str:
    """Write a violation as records keep it: rule, input, and where known its row and column.

    >>> label(Violation(input="distance", rule="range", expected="at least 0", row=3))
    'range distance[3]'
    >>> label(Violation(input="x", rule="range", expected="at least 0", row=3, column=17))
    'range x[3,17]'
    >>> label(Violation(input="distance", rule="range", row=3, would="reject"))
    'range distance[3] (would reject)'
    """
    place = [str(at) for at in (violation.row, violation.column) if at is not None]
    where = f"[{','.join(place)}]" if place else ""
    would = "" if violation.would is None else f" (would {violation.would})"
    return f"{violation.rule} {violation.input}{where}{would}"


def _refuse_for(rules: Set[str], violations: Sequence[Violation], total: int) -> Refusal:
    code = next(iter(rules)) if len(rules) == 1 else MIXED
    return Refusal(code, _detail(code, violations[0], total), tuple(violations), total)


def _detail(code: str, first: Violation, total: int) -> str:
    """Name the first violation in the sentence, since many clients show no more than that."""
    row = "" if first.row is None else f", row {first.row}"
    column = "" if first.column is None else f", column {first.column}"
    more = "" if total == 1 else f" Violations: {total}."
    expected = "" if first.expected is None else f": expected {first.expected}"
    sentence, side = (_WITHHELD, "Output") if code == WITHHELD else (SENTENCES[code], "Input")
    return f"{sentence} {side} {first.input!r}{row}{column}{expected}.{more}"
