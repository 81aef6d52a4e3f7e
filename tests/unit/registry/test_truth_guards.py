import pytest
from msgspec.structs import replace

from registry.datatypes import Datatype
from registry.errors import PlanRejected
from registry.manifest import Signature, TensorSpec
from registry.rollouts import Better, Guard, GuardKind, Plan, Step
from registry.truth_guards import fit_truth_guards
from registry.truth_policy import LabelKind, TruthPolicy

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 3)),),
    outputs=(TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1, 1)),),
)
CLASSES = TruthPolicy(kind=LabelKind.CLASSES)
ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)


def fit(metric: str, better: Better, policy: TruthPolicy = CLASSES) -> Guard:
    guard = Guard(kind=GuardKind.TRUTH, margin=0.1, metric=metric, better=better)
    plan = Plan(challenger=2, guards=(ERRORS, guard), steps=(Step(points=1),))
    fitted = fit_truth_guards(plan, policy, SIGNATURE)
    assert fitted == replace(plan, guards=(ERRORS, fitted.guards[1]))
    return fitted.guards[1]


@pytest.mark.parametrize(
    ("metric", "given", "better"),
    [
        ("accuracy", Better.HIGHER, Better.HIGHER),
        ("accuracy", Better.EQUAL, Better.EQUAL),
        ("brier", Better.HIGHER, Better.LOWER),  # which is what a guard says that says nothing
        ("log_loss", Better.LOWER, Better.LOWER),
    ],
)
def test_the_metric_says_which_mean_is_the_better_one(
    metric: str, given: Better, better: Better
) -> None:
    assert fit(metric, given).better is better


def test_a_metric_that_labels_do_not_give_is_refused_by_the_guard_that_names_it() -> None:
    for policy, metric, known in (
        (CLASSES, "absolute_error", "accuracy, brier, log_loss"),
        (TruthPolicy(), "accuracy", "absolute_error, squared_error"),
        (TruthPolicy(output="z"), "accuracy", "no metric"),
    ):
        with pytest.raises(PlanRejected, match=known) as refused:
            fit(metric, Better.HIGHER, policy)
        assert refused.value.place == ("guards", 1, "metric")


def test_a_guard_that_wants_less_of_what_is_good_is_refused() -> None:
    with pytest.raises(PlanRejected, match="more of accuracy is better") as refused:
        fit("accuracy", Better.LOWER)
    assert refused.value.place == ("guards", 1, "better")
