"""What guards say, and what follows from all of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.rollout.evidence import Facts, Layout, Tally
from gateway.rollout.levels import Levels
from gateway.rollout.verdict import assess
from registry.rollouts import (
    Assessment,
    Better,
    Guard,
    GuardKind,
    Phase,
    Plan,
    Rollout,
    Step,
    TruthEvidence,
    Verdict,
)

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
STEP = Step(points=5_000, min_requests=100, min_s=60.0)
ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)
LATENCY = Guard(kind=GuardKind.LATENCY, margin=2.0)
SCORE = Guard(kind=GuardKind.SCORE, margin=0.5, output="y")
TRUTH = Guard(kind=GuardKind.TRUTH, margin=0.1, metric="error", better=Better.LOWER)
AGREEMENT = Guard(kind=GuardKind.AGREEMENT, margin=0.05, output="y")
SHIFT = Guard(kind=GuardKind.SHIFT, margin=2.0, output="y")


def rollout(*guards: Guard, is_shadow: bool = False, **change: object) -> Rollout:
    plan = Plan(
        challenger=2,
        guards=guards,
        shadow=STEP if is_shadow else None,
        steps=() if is_shadow else (STEP,),
    )
    made = Rollout(
        id="r",
        model="m",
        champion=1,
        plan=plan,
        phase=Phase.SHADOW if is_shadow else Phase.CANARY,
        stage=0,
        salt="",
        base=0,
        edges_us=tuple(1_000 for _ in guards),
        author="a",
        reason="why",
        started=NOON,
        entered=NOON,
    )
    return replace(made, **change)


class Lane:
    """How often requests of a lane fail or are slow, and what they are answered with."""

    def __init__(self, failed: float = 0.01, slow: float = 0.05, mean: float = 0.0) -> None:
        self.failed, self.slow, self.mean = failed, slow, mean

    def facts(self, rng: np.random.Generator, layout: Layout, *, is_challenger: bool) -> Facts:
        value = float(rng.normal(self.mean))
        place = int(np.clip(np.floor(value * 2) + 2, 0, 3))
        return Facts(
            is_challenger=is_challenger,
            failed=bool(rng.random() < self.failed),
            latency_us=2_000 if rng.random() < self.slow else 500,
            scores=(value,) * len(layout.of_kind(GuardKind.SCORE)),
            bins=([place],) * len(layout.of_kind(GuardKind.SHIFT)),
            differs=(value > 2.5,) * is_challenger * len(layout.of_kind(GuardKind.AGREEMENT)),
        )


def judged(
    of: Rollout,
    challenger: Lane,
    count: int,
    *,
    champion: Lane | None = None,
    lasted_s: float = 3_600,
    truth: dict[int, TruthEvidence] | None = None,
) -> Assessment:
    """Judge after so many requests of each lane."""
    layout = Layout.of(of.plan, of.stage, dict.fromkeys(range(9), 4))
    rng = np.random.default_rng(3)
    tally = Tally(layout, of.edges_us)
    for _ in range(count):
        tally.add((champion or Lane()).facts(rng, layout, is_challenger=False))
        tally.add(challenger.facts(rng, layout, is_challenger=True))
    at = NOON + timedelta(seconds=lasted_s)
    return assess(of, layout, tally.counts, truth or {}, at)


def verdicts(assessment: Assessment) -> list[str]:
    return [one.verdict.value for one in assessment.judgements]


def test_a_challenger_that_is_alike_passes_when_every_guard_has_shown_it() -> None:
    found = judged(rollout(ERRORS, LATENCY, SCORE), Lane(), 8_000)
    assert verdicts(found) == ["non_inferior"] * 3
    assert (found.verdict, found.requests, found.stage) == (Verdict.NON_INFERIOR, 8_000, 0)


def test_one_guard_that_is_undecided_holds_all() -> None:
    found = judged(rollout(ERRORS, SCORE), Lane(), 1_500)
    assert verdicts(found) == ["undecided", "non_inferior"]
    assert found.verdict is Verdict.UNDECIDED


def test_one_guard_that_is_worse_is_enough() -> None:
    found = judged(rollout(ERRORS, LATENCY), Lane(slow=0.15), 1_000)
    assert verdicts(found) == ["undecided", "worse"]
    assert found.verdict is Verdict.WORSE


@pytest.mark.parametrize(
    ("change", "lasted_s"),
    [({"min_requests": 9_000}, 3_600.0), ({"min_s": 3_601.0}, 3_600.0)],
)
def test_a_stage_lasts_as_many_requests_and_seconds_as_it_is_to(
    change: dict[str, float], lasted_s: float
) -> None:
    plan = Plan(challenger=2, guards=(ERRORS,), steps=(replace(STEP, **change),))
    found = judged(rollout(ERRORS, plan=plan), Lane(), 8_000, lasted_s=lasted_s)
    assert verdicts(found) == ["non_inferior"]
    assert found.verdict is Verdict.UNDECIDED


def test_worse_waits_for_no_time() -> None:
    found = judged(rollout(ERRORS), Lane(failed=0.3), 300, lasted_s=1.0)
    assert found.verdict is Verdict.WORSE


def test_what_is_allowed_is_no_reason_to_roll_back() -> None:
    """Worse beyond doubt, and by less than the margin."""
    wide = replace(SCORE, margin=1.0)
    found = judged(rollout(wide), Lane(mean=-0.4), 2_000)
    [said] = found.judgements
    assert said.high is not None
    assert said.high < 0
    assert found.verdict is Verdict.NON_INFERIOR


@pytest.mark.parametrize(
    ("better", "mean", "verdict"),
    [
        (Better.HIGHER, -0.8, "worse"),
        (Better.HIGHER, 0.8, "non_inferior"),
        (Better.LOWER, 0.8, "worse"),
        (Better.LOWER, -0.8, "non_inferior"),
        (Better.EQUAL, -0.8, "worse"),
        (Better.EQUAL, 0.8, "worse"),
        (Better.EQUAL, 0.0, "non_inferior"),
    ],
)
def test_which_mean_is_better_is_the_plans_to_say(
    better: Better, mean: float, verdict: str
) -> None:
    found = judged(rollout(replace(SCORE, better=better)), Lane(mean=mean), 4_000)
    assert verdicts(found) == [verdict]


def test_a_challenger_that_never_fails_passes_though_the_champion_never_does_either() -> None:
    never = Lane(failed=0.0, slow=0.0)
    found = judged(rollout(ERRORS, LATENCY), never, 2_500, champion=never)
    assert verdicts(found) == ["non_inferior"] * 2


def test_a_challenger_that_fails_rarely_is_worse_all_the_same_than_one_that_never_does() -> None:
    found = judged(rollout(ERRORS), Lane(failed=0.004), 6_000, champion=Lane(failed=0.0))
    assert verdicts(found) == ["worse"]


def test_before_blocks_can_tell_how_they_scatter_nothing_is_said() -> None:
    found = judged(rollout(ERRORS, LATENCY, SCORE), Lane(failed=0.9, slow=0.9, mean=-9.0), 199)
    assert verdicts(found) == ["undecided"] * 3
    assert {one.evidence_worse for one in found.judgements} == {None}


def test_alpha_is_shared_by_all_guards_of_all_stages() -> None:
    plan = Plan(
        challenger=2,
        guards=(ERRORS, LATENCY, AGREEMENT),  # 2 judge in shadow, and 2 in each step
        shadow=STEP,
        steps=(STEP, STEP),
        alpha=0.06,
    )
    assert Levels.of(plan).worse == pytest.approx(0.01)
    assert Levels.of(plan).fine == pytest.approx(0.024)


def test_in_shadow_pairs_are_judged() -> None:
    guards = (ERRORS, LATENCY, SCORE, AGREEMENT)
    found = judged(rollout(*guards, is_shadow=True), Lane(), 3_000)
    assert [one.guard.kind.value for one in found.judgements] == ["errors", "score", "agreement"]
    agreement = found.judgements[2]
    assert agreement.verdict is Verdict.NON_INFERIOR
    assert agreement.events is not None
    assert agreement.events[0] / agreement.challenger == pytest.approx(0.0062, abs=0.003)


def test_more_pairs_that_differ_than_allowed_are_worse() -> None:
    found = judged(rollout(AGREEMENT, is_shadow=True), Lane(mean=1.5), 1_000)
    assert verdicts(found) == ["worse"]


def test_a_distribution_that_moved_is_worse_and_one_that_did_not_is_fine() -> None:
    assert verdicts(judged(rollout(SHIFT), Lane(mean=1.0), 2_000)) == ["worse"]
    assert verdicts(judged(rollout(SHIFT), Lane(), 4_000)) == ["non_inferior"]


def test_values_in_another_bin_altogether_are_worse() -> None:
    """The champion has nothing where all of the challenger's values are."""
    apart = judged(rollout(SHIFT), Lane(mean=50.0), 400, champion=Lane(mean=-50.0))
    assert verdicts(apart) == ["worse"]


def test_a_distribution_without_bins_is_never_decided() -> None:
    of = rollout(SHIFT)
    layout = Layout.of(of.plan, 0, {})
    found = assess(of, layout, [9_000, 9_000], {}, NOON + timedelta(hours=1))
    assert (verdicts(found), found.verdict) == (["undecided"], Verdict.UNDECIDED)


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.5, "worse"), (0.0, "non_inferior"), (0.05, "undecided")]
)
def test_ground_truth_is_judged_by_its_blocks(mean: float, verdict: str) -> None:
    blocks = 40
    truth = TruthEvidence(
        blocks=blocks,
        sum=blocks * mean,
        squares=blocks * (mean * mean + 0.03),
        challenger=1_000,
        champion=9_000,
    )
    found = judged(rollout(TRUTH), Lane(), 1, truth={0: truth})
    assert verdicts(found) == [verdict]
    assert (found.judgements[0].challenger, found.judgements[0].champion) == (1_000, 9_000)


def test_without_labels_ground_truth_is_undecided() -> None:
    few = TruthEvidence(blocks=19, sum=0.0, squares=0.1, challenger=400, champion=400)
    for truth in ({}, {0: few}):
        assert verdicts(judged(rollout(TRUTH), Lane(), 1, truth=truth)) == ["undecided"]


def test_bursts_make_evidence_weigh_less() -> None:
    """The same failures, dealt out evenly or all in one burst."""

    def said(failed: list[bool]) -> tuple[float, float]:
        of = rollout(ERRORS)
        layout = Layout.of(of.plan, 0, {})
        tally = Tally(layout, of.edges_us)
        for one in failed:
            tally.add(Facts(is_challenger=True, failed=one))
            tally.add(Facts(is_challenger=False))
        [judgement] = assess(of, layout, tally.counts, {}, NOON).judgements
        assert judgement.evidence_worse is not None
        return judgement.dispersion, judgement.evidence_worse

    even, burst = [number % 40 == 0 for number in range(1_000)], [False] * 1_000
    burst[400:425] = [True] * 25
    assert said(even)[0] == 1.0
    assert said(even)[1] > 10
    assert said(burst)[0] > 10
    assert said(burst)[1] < 1.5
