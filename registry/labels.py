"""Ground truth as it came, long after the answers it is of; frozen values. Times are UTC."""

from datetime import datetime

from msgspec import Struct

Truth = str | int | float


class Label(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was true of one answered row: a class, or a number.

    `record_id` is the record of the answer, `row` counts from 0. `slices` has what is told with it
    of the row beside, by the names of the model's declared slices.
    """

    record_id: str
    row: int
    value: Truth
    slices: dict[str, str] = {}


class Batch(Struct, frozen=True, kw_only=True):
    """What came at once: how many labels were new, said again what was known, or corrected it.

    `id` is that of the audit record, whose `input` commits with `salt` to the labels that were
    kept. What was said again is not kept twice. `refused` counts by reason.
    """

    id: str
    model: str
    at: datetime
    salt: bytes
    new: int = 0
    repeated: int = 0
    corrected: int = 0
    refused: dict[str, int] = {}

    @property
    def kept(self) -> int:
        """How many labels the batch left in the store."""
        return self.new + self.corrected


class KeptLabel(Struct, frozen=True, kw_only=True):
    """One label in the store, when it came, and the record of the batch that it came in.

    `first_at` is when the first label of the same row came, and `values` how many have come.
    """

    label: Label
    at: datetime
    batch: str
    first_at: datetime
    values: int


class AnswerKept(Struct, frozen=True):
    """What is there of a record that a label may be of: its leaf, and whether its payload went.

    `is_erased` holds where it went with its person, `is_expired` where its time was over.
    """

    leaf: bytes
    is_erased: bool
    is_expired: bool


class AnswerCount(Struct, frozen=True):
    """How many requests a version answered on a lane."""

    version: int
    lane: str
    answers: int
