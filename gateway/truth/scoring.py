"""One answered row against what was true of it; pure."""

from collections.abc import Sequence
from enum import StrEnum
from math import isfinite, log
from typing import Any

from msgspec import Struct

from registry.labels import Truth
from registry.truth_policy import Form, Target

# A probability of 0 or 1 that is wrong counts as this one, or one such row would outweigh all.
LEAST_PROBABILITY = 1e-6
# Of a number: the squares of squared errors, added up, must be numbers. No unit has such values,
# and one label of them would leave nothing to say of all others.
_GREATEST_ERROR = 1e60
_ROUNDING = 1e-4  # of a sum of probabilities that were computed in FP16


class Unscorable(StrEnum):
    """Why a labelled row has no score."""

    NOT_KEPT = "payload-not-kept"  # the policy kept no payload, or it is erased or expired
    REDUCED = "output-reduced"  # the policy dropped or changed the output before it was written
    KEY_MISSING = "payload-key-missing"
    NO_OUTPUT = "no-such-output"  # the version has not what the truth policy names
    NOT_A_SCORE = "not-a-score"  # not finite, no probability, or farther off than any number
    LABEL = "label-not-accepted"  # the label names no class of this version


class Scored(Struct, frozen=True, gc=False):
    """A row with its score: the value of each metric of its target, in their order.

    `score` is the number that the version said, or the probability of the positive class of two;
    None for more classes. `is_positive` and `says_positive` are of two classes alone.
    """

    values: tuple[float, ...]
    score: float | None = None
    is_positive: bool | None = None
    says_positive: bool | None = None


def score_row(target: Target, said: Sequence[Any], label: Truth) -> Scored | Unscorable:
    """Hold what an output said of a row against its label."""
    truth = target.read_label(label)
    if truth is None:
        return Unscorable.LABEL
    if not said:
        return Unscorable.NO_OUTPUT
    return _SCORE[target.form](target, said, truth)


def _score_number(target: Target, said: Sequence[Any], truth: Truth) -> Scored | Unscorable:
    column = -1 if target.column is None else target.column
    if column >= len(said) or not isfinite(said[column]):
        return Unscorable.NOT_A_SCORE
    error = abs(said[column] - float(truth))
    if error > _GREATEST_ERROR:
        return Unscorable.NOT_A_SCORE
    return Scored((error, error * error), score=float(said[column]))


def _score_class(_: Target, said: Sequence[Any], truth: Truth) -> Scored | Unscorable:
    named = str(int(said[0])) if isinstance(said[0], bool) else str(said[0])
    return Scored((float(named == truth),))


def _score_positive(target: Target, said: Sequence[Any], truth: Truth) -> Scored | Unscorable:
    return _score_two(said[0], bool(truth), target.threshold)


def _score_classes(target: Target, said: Sequence[Any], truth: Truth) -> Scored | Unscorable:
    place = target.place(truth)
    if place is None or place >= len(said):
        return Unscorable.LABEL
    if len(said) == 2:
        positive = 1 if target.column is None else target.column
        return _score_two(said[positive], place == positive, target.threshold)
    return _score_many(said, place)


def _score_two(said: float, is_positive: bool, threshold: float) -> Scored | Unscorable:
    if not -_ROUNDING <= said <= 1 + _ROUNDING:  # NaN is not, either
        return Unscorable.NOT_A_SCORE
    probability = min(max(said, 0.0), 1.0)
    says_positive = probability >= threshold
    distance = probability - is_positive
    of_truth = probability if is_positive else 1 - probability
    values = (float(says_positive == is_positive), distance * distance, _log_loss(of_truth))
    return Scored(values, probability, is_positive, says_positive)


def _score_many(said: Sequence[float], place: int) -> Scored | Unscorable:
    if not all(-_ROUNDING <= p <= 1 + _ROUNDING for p in said):
        return Unscorable.NOT_A_SCORE
    greatest = max(range(len(said)), key=said.__getitem__)
    brier = sum((p - (column == place)) ** 2 for column, p in enumerate(said))
    return Scored((float(greatest == place), brier, _log_loss(said[place])))


def _log_loss(probability: float) -> float:
    return -log(max(probability, LEAST_PROBABILITY))


_SCORE = {
    Form.NUMBER: _score_number,
    Form.CLASS: _score_class,
    Form.PROBABILITY: _score_positive,
    Form.PROBABILITIES: _score_classes,
}
