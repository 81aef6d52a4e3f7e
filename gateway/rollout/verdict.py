"""What the guards of a rollout say of its challenger, by all that was counted. Pure.

A guard says `non_inferior` where it is shown that the challenger is not worse than the champion by
more than is allowed, else `worse` where it is shown that it is worse at all: what is allowed is no
reason to roll back. A challenger which is not worse is ever rolled back with a chance of at most
the plan's alpha, which all guards of all stages share. A stage is passed when every guard has shown
as much, so those tests need no correction.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from gateway.rollout.evidence import Layout, Section
from gateway.rollout.levels import Levels
from gateway.rollout.mean_guards import judge_score, judge_truth
from gateway.rollout.rate_guards import judge_pairs, judge_rate, judge_shift
from registry.rollouts import (
    Assessment,
    GuardKind,
    Judgement,
    Plan,
    Rollout,
    TruthEvidence,
    Verdict,
)


def assess(
    rollout: Rollout,
    layout: Layout,
    counts: Sequence[int],
    truth: Mapping[int, TruthEvidence],
    at: datetime,
) -> Assessment:
    """Say what all that was counted of the present stage shows, with what ground truth shows.

    `counts` are in the cells of `layout`; `truth` is by the index of a guard in the plan.
    """
    judgements = tuple(_judge_all(rollout.plan, layout, counts, truth))
    return conclude(rollout, judgements, counts[1], at)


def conclude(
    rollout: Rollout, judgements: tuple[Judgement, ...], requests: int, at: datetime
) -> Assessment:
    """Say what guards amount to together, after so many requests of the challenger."""
    said = {one.verdict for one in judgements}
    step, lasted = rollout.plan.stages[rollout.stage], at - rollout.entered
    is_enough = requests >= step.min_requests and lasted.total_seconds() >= step.min_s
    verdict = Verdict.UNDECIDED
    if Verdict.WORSE in said:
        verdict = Verdict.WORSE
    elif is_enough and said == {Verdict.NON_INFERIOR}:
        verdict = Verdict.NON_INFERIOR
    return Assessment(
        at=at, stage=rollout.stage, verdict=verdict, requests=requests, judgements=judgements
    )


def _judge_all(
    plan: Plan, layout: Layout, counts: Sequence[int], truth: Mapping[int, TruthEvidence]
) -> Iterator[Judgement]:
    """Judge by each guard that has a say in the stage, in the order of the plan."""
    levels = Levels.of(plan)
    sections = {section.index: section for section in layout.sections}
    for index, guard in enumerate(plan.guards):
        if not guard.judges(is_shadow=layout.is_shadow):
            continue
        if guard.kind is GuardKind.TRUTH:
            yield judge_truth(guard, truth.get(index), levels)
        elif index in sections:
            yield judge(sections[index], counts, levels, is_shadow=layout.is_shadow)
        else:  # a distribution that has no bins
            yield Judgement(guard=guard, verdict=Verdict.UNDECIDED, challenger=0, champion=0)


def judge(section: Section, counts: Sequence[int], levels: Levels, *, is_shadow: bool) -> Judgement:
    """Judge by one guard that something is counted for."""
    match section.guard.kind:
        case GuardKind.SCORE:
            return judge_score(section, counts, levels, is_paired=is_shadow)
        case GuardKind.AGREEMENT:
            return judge_pairs(section, counts, levels)
        case GuardKind.SHIFT:
            return judge_shift(section, counts, levels)
        case _:
            return judge_rate(section, counts, levels)
