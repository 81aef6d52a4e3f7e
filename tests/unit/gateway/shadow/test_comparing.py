import numpy as np
import pytest

from gateway.shadow.comparing import By, Criterion, Fault, differ, find_fault, guarded, unguarded
from registry.datatypes import Datatype
from registry.manifest import Signature, TensorSpec
from registry.rollouts import Guard, GuardKind, Plan, Step
from registry.tensors import Tensor

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 3)),),
    outputs=(
        TensorSpec(name="delay", datatype=Datatype.FP32, shape=(-1, 1)),
        TensorSpec(name="classes", datatype=Datatype.FP32, shape=(-1, 2)),
        TensorSpec(name="label", datatype=Datatype.BYTES, shape=(-1,)),
    ),
    labels={"classes": ("late", "on time")},
)


def numbers(*values: float) -> Tensor:
    return np.array(values, np.float32).reshape(-1, 1)


def plan(*guards: Guard) -> Plan:
    return Plan(challenger=2, guards=guards, shadow=Step(points=1))


def test_numbers_agree_within_the_tolerance_of_the_guard() -> None:
    found = differ(
        Criterion("delay", By.NUMBER, None, 2.0), numbers(1, 5, 9), numbers(3, 8, 9), rows=3
    )

    assert (found.rows, found.agreeing, found.differs) == (3, 2, True)
    assert (found.distance, found.greatest) == (5.0, 3.0)
    assert (found.worst, found.worst_distance) == (1, 3.0)


def test_without_a_guard_numbers_agree_that_differ_by_rounding_alone() -> None:
    criterion = Criterion("delay", By.NUMBER)
    before = numbers(1000.0)

    assert not differ(criterion, before, np.nextafter(before, np.float32(2000)), rows=1).differs
    assert differ(criterion, before, numbers(1000.1), rows=1).differs


def test_classes_agree_where_the_highest_column_is_the_same() -> None:
    before = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)
    after = np.array([[0.6, 0.4], [0.4, 0.6], [0.3, 0.7]], np.float32)

    found = differ(Criterion("classes", By.CLASS), before, after, rows=3)

    assert found.agreeing == 2
    # The first row lies further apart, and agrees.
    assert found.worst == 1
    assert found.worst_distance == pytest.approx(0.2)
    assert found.greatest == pytest.approx(0.3)


def test_texts_agree_where_they_are_equal_whatever_form_they_are_in() -> None:
    before, after = np.array([b"late", b"no"], object), np.array(["late", "yes"], object)

    found = differ(Criterion("label", By.VALUE), before, after, rows=2)

    assert (found.agreeing, found.worst, found.measured) == (1, 1, 0)


def test_a_column_is_compared_alone() -> None:
    before, after = np.array([[1.0, 2.0]]), np.array([[9.0, 2.0]])

    assert not differ(Criterion("o", By.NUMBER, 1, 0.0), before, after, rows=1).differs
    assert differ(Criterion("o", By.NUMBER, 0, 0.0), before, after, rows=1).differs


@pytest.mark.parametrize("by", [By.NUMBER, By.VALUE])
def test_a_column_that_neither_answer_has_differs_in_nothing(by: By) -> None:
    before, after = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[9.0, 2.0], [8.0, 4.0]])

    found = differ(Criterion("o", by, 2, 0.0), before, after, rows=2)

    assert (found.rows, found.agreeing, found.measured) == (2, 2, 0)


def test_an_output_that_does_not_follow_the_rows_is_one_row() -> None:
    found = differ(Criterion("o", By.NUMBER, None, 0.0), np.zeros(4), np.ones(4), rows=2)

    assert (found.rows, found.agreeing) == (1, 0)


def test_nan_and_infinities_that_both_have_are_alike_and_have_no_distance() -> None:
    both = numbers(float("nan"), float("inf"), 1.0)

    found = differ(Criterion("delay", By.NUMBER, None, 0.0), both, both.copy(), rows=3)

    assert (found.agreeing, found.distance) == (3, 0.0)


@pytest.mark.parametrize(
    ("live", "found", "fault"),
    [
        (numbers(1.0), numbers(float("nan")), Fault.NOT_FINITE),
        (numbers(1.0), numbers(float("inf")), Fault.NOT_FINITE),
        (numbers(float("nan")), numbers(float("nan")), None),
        (numbers(float("nan")), numbers(1.0), None),
        (numbers(1.0), numbers(1.0, 2.0), Fault.SHAPE),
        (numbers(1.0), np.ones((1, 2), np.float32), Fault.SHAPE),
    ],
)
def test_outputs_are_no_answer_that_lose_a_number_or_have_another_shape(
    live: Tensor, found: Tensor, fault: Fault | None
) -> None:
    assert find_fault({"delay": live}, {"delay": found}) is fault


def test_each_output_is_compared_by_its_guard_else_by_what_it_holds() -> None:
    agreement = Guard(kind=GuardKind.AGREEMENT, output="delay", margin=0.1, tolerance=5.0)
    guards = guarded(plan(Guard(kind=GuardKind.ERRORS, margin=2.0), agreement), SIGNATURE)

    assert guards == (Criterion("delay", By.NUMBER, None, 5.0),)
    assert unguarded(SIGNATURE, guards) == (
        Criterion("classes", By.CLASS),
        Criterion("label", By.VALUE),
    )


def test_a_guard_of_classes_compares_the_highest_column_unless_it_has_a_tolerance() -> None:
    by_class = Guard(kind=GuardKind.AGREEMENT, output="classes", column=1, margin=0.1)
    by_number = Guard(
        kind=GuardKind.AGREEMENT, output="classes", column=1, margin=0.1, tolerance=0.2
    )

    assert guarded(plan(by_class, by_number), SIGNATURE) == (
        Criterion("classes", By.CLASS),
        Criterion("classes", By.NUMBER, 1, 0.2),
    )
