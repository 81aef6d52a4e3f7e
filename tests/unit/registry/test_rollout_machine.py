"""Whatever is asked of rollouts and champions, in whatever order, no illegal state is reached."""

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from registry import rolling_out
from registry.entry import decode_record
from registry.errors import Conflict
from registry.phases import BEGINNINGS, TRANSITIONS, Action
from registry.recording import Author
from registry.registry import Registry
from registry.rollouts import POINTS, Phase, Rollout, Verdict
from registry.versions import CHAMPION, VersionState
from tests.builders import AUTHOR, Count, open_registry
from tests.rolled import add_version, assess, make_plan, step
from tests.unit.registry.test_announcing import tell

MODEL = "m"
ANNE = Author(principal="key:anne")
CONTROLLER = Author(principal="controller")
VERSIONS = 6
numbers = st.integers(1, VERSIONS)
points = st.sampled_from([1, 500, 3_000, 4_999, 9_999])
picks = st.integers(0, 20)
# Else hardly a rollout would see its second stage.
seldom = st.sampled_from([False, False, True])
Verb = Callable[[Registry, str, str, Author], Rollout]
ENDS: list[Verb] = [
    rolling_out.abort, rolling_out.trip, rolling_out.roll_back, rolling_out.expire,
]  # fmt: skip


class Rollouts(RuleBasedStateMachine):
    """One model, its champion and its rollouts, held against what was decided so far."""

    steps_taken = 0
    actions: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.registry: Registry = open_registry(self.folder)
        self.over: dict[str, Rollout] = {}

    def teardown(self) -> None:
        self.check_history()
        self.registry.store.close()
        shutil.rmtree(self.folder)

    @initialize()
    def fill(self) -> None:
        for _ in range(VERSIONS):
            add_version(self.registry, MODEL)
        self.registry.promote(MODEL, 1, "first", AUTHOR)
        tell(self.registry, "ops")

    def all(self) -> list[Rollout]:
        return self.registry.store.rollouts(MODEL)

    def pick(self, pick: int) -> Rollout:
        """Choose a rollout, mostly one that is open if there is any."""
        found = self.registry.store.open_rollouts() if pick % 4 else []
        found = found or self.all()
        return found[pick % len(found)]

    def try_to(self, act: Callable[[], Any]) -> Any:
        """Do something, or be refused with a conflict that changes nothing."""
        type(self).steps_taken += 1
        store = self.registry.store
        before = (store.generation(), store.tree_size(), self.all(), store.aliases(MODEL))
        try:
            return act()
        except Conflict:
            after = (store.generation(), store.tree_size(), self.all(), store.aliases(MODEL))
            assert after == before
            return None

    @rule(number=numbers, first=points, second=points, shadow=st.none() | points)
    def start(self, number: int, first: int, second: int, shadow: int | None) -> None:
        plan = make_plan(
            number,
            steps=tuple(step(share) for share in sorted((first, second))),
            shadow=None if shadow is None else step(shadow),
        )
        found = self.try_to(
            lambda: rolling_out.start(self.registry, MODEL, plan, "try it", ANNE, edges_us=(0,))
        )
        if found is not None:
            assert found.phase in BEGINNINGS
            assert found.id not in self.over

    @precondition(lambda self: self.all())
    @rule(pick=picks, verb=st.sampled_from([rolling_out.pause, rolling_out.resume]))
    def hold(self, pick: int, verb: Verb) -> None:
        rollout = self.pick(pick)
        self.try_to(lambda: verb(self.registry, rollout.id, "to look", ANNE))

    @precondition(lambda self: self.all())
    @rule(pick=picks, verb=st.sampled_from(ENDS), is_meant=seldom)
    def end(self, pick: int, verb: Verb, *, is_meant: bool) -> None:
        if is_meant:
            rollout = self.pick(pick)
            self.try_to(lambda: verb(self.registry, rollout.id, "to end it", ANNE))

    @precondition(lambda self: self.all())
    @rule(
        pick=picks,
        verdict=st.sampled_from([Verdict.NON_INFERIOR] * 4 + [Verdict.WORSE, Verdict.UNDECIDED]),
        is_stale=seldom,
        has_enough=st.sampled_from([True, True, True, False]),
    )
    def advance(self, pick: int, verdict: Verdict, *, is_stale: bool, has_enough: bool) -> None:
        rollout = self.pick(pick)
        evidence = assess(rollout, verdict, requests=100 if has_enough else 99)
        if is_stale:
            evidence = replace(evidence, stage=rollout.stage - 1)
        found = self.try_to(
            lambda: rolling_out.advance(self.registry, rollout.id, evidence, CONTROLLER)
        )
        is_good = verdict is Verdict.NON_INFERIOR and has_enough and not is_stale
        is_possible = rollout.phase in {Phase.SHADOW, Phase.CANARY} and not rollout.is_paused
        assert (found is not None) == (is_good and is_possible)

    @precondition(lambda self: self.all())
    @rule(pick=picks)
    def pass_all(self, pick: int) -> None:
        rollout = self.pick(pick)
        for _ in rollout.plan.stages:
            if rollout.phase in {Phase.SHADOW, Phase.CANARY} and not rollout.is_paused:
                type(self).steps_taken += 1
                evidence = assess(rollout)
                rollout = rolling_out.advance(self.registry, rollout.id, evidence, CONTROLLER)

    @precondition(lambda self: self.all())
    @rule(pick=picks)
    def finish(self, pick: int) -> None:
        rollout = self.pick(pick)
        found = self.try_to(
            lambda: rolling_out.finish_promoted(self.registry, rollout.id, "passed", CONTROLLER)
        )
        assert (found is not None) == (rollout.phase is Phase.PASSED)

    @rule(number=numbers, is_meant=seldom)
    def promote(self, number: int, *, is_meant: bool) -> None:
        if is_meant:
            self.try_to(lambda: self.registry.promote(MODEL, number, "it is better", ANNE))

    @rule(is_meant=seldom)
    def roll_back(self, *, is_meant: bool) -> None:
        if is_meant:
            self.try_to(lambda: self.registry.roll_back(MODEL, "it is worse", ANNE))

    @rule(number=numbers)
    def retire(self, number: int) -> None:
        retired = [
            one for one in self.registry.versions(MODEL) if one.state is VersionState.RETIRED
        ]
        if len(retired) < VERSIONS - 3:
            self.try_to(lambda: self.registry.retire(MODEL, number, "it is old", ANNE))

    @invariant()
    def shares_never_overlap(self) -> None:
        found = self.registry.store.open_rollouts()
        taken = sorted((one.base, one.base + one.plan.most_points) for one in found)
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(taken))
        assert all(0 <= begin <= end <= POINTS for begin, end in taken)
        assert sum(end - begin for begin, end in taken) < POINTS
        assert len({one.salt for one in found}) <= 1
        assert all(one.points <= one.plan.most_points for one in found)

    @invariant()
    def what_is_open_compares_the_champion_with_a_version_that_lives(self) -> None:
        champion = self.registry.store.aliases(MODEL).get(CHAMPION)
        found = self.registry.store.open_rollouts()
        challengers = [one.plan.challenger for one in found]
        assert len(set(challengers)) == len(challengers)
        for one in found:
            assert one.champion == champion != one.plan.challenger
            version = self.registry.version(MODEL, one.plan.challenger)
            assert version.state is VersionState.PUBLISHED

    @invariant()
    def what_is_over_stays_as_it_ended(self) -> None:
        for one in self.all():
            if one.phase.is_over:
                assert self.over.setdefault(one.id, one) == one
                assert one.ended is not None
                assert one.points == one.shadow_points == 0
                assert not one.is_paused
            else:
                assert one.id not in self.over

    def check_history(self) -> None:
        """Hold every change against the table, its record, and what was told of it."""
        length = 0
        for rollout in self.all():
            changes = self.registry.store.rollout_changes(rollout.id)
            assert changes[0].action == Action.START
            assert changes[0].phase in BEGINNINGS
            for before, change in itertools.pairwise(changes):
                assert TRANSITIONS[before.phase, Action(change.action)] is change.phase
            last = changes[-1]
            assert (last.phase, last.stage, last.is_paused) == (
                rollout.phase, rollout.stage, rollout.is_paused,
            )  # fmt: skip
            length += len(changes)
            for change in changes:
                type(self).actions[change.action] += 1
                found = self.registry.store.record(change.record_id)
                assert found is not None
                record = decode_record(found[1])
                assert record.action == f"rollout.{change.action}"
                assert (record.rollout or record.id) == rollout.id
                assert (record.principal, record.reason) == (change.principal, change.reason)
                if change.action in {Action.ADVANCE, Action.PASS}:
                    assert change.assessment is not None
                    assert change.assessment.verdict is Verdict.NON_INFERIOR
        told = self.registry.store.deliveries(None, before=None, limit=100_000)
        events = [one.event for one in told if one.event.type.startswith("rollout.")]
        assert len(events) == length


def test_no_path_leaves_an_illegal_phase_and_every_change_has_its_record() -> None:
    run_state_machine_as_test(Rollouts, settings=settings(max_examples=15, stateful_step_count=40))
    assert {Action.ADVANCE, Action.PASS, Action.PROMOTE, Action.ABORT} <= set(Rollouts.actions)


@pytest.mark.torture
def test_no_path_of_twenty_thousand_steps_does(count: Count) -> None:
    Rollouts.steps_taken = 0
    run_state_machine_as_test(
        Rollouts, settings=settings(max_examples=600, stateful_step_count=100)
    )
    done = ", ".join(f"{number:,} {action}" for action, number in Rollouts.actions.most_common())
    count(f"rollouts: {Rollouts.steps_taken:,} steps; {done}")
    assert Rollouts.steps_taken >= 20_000
    assert set(Rollouts.actions) == set(Action)
