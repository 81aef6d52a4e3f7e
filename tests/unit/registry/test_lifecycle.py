"""Every state, every step, and where a rollback leads."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from registry import rollouts as planned
from registry.errors import (
    AlreadyChampion,
    Conflict,
    NothingToRollBackTo,
    VersionInUse,
    VersionRetired,
)
from registry.lifecycle import (
    TRANSITIONS,
    Step,
    advance,
    champions,
    check_promotion,
    first_named,
    rollback_target,
    warm_up_ends,
)
from registry.manifest import Contract
from registry.rollouts import Phase, Plan, Rollout
from registry.versions import AliasCause, AliasChange, Version, VersionState

NOBODY_RETIRED: frozenset[int] = frozenset()


def make_version(state: VersionState, number: int = 1) -> Version:
    return Version(
        model="m",
        number=number,
        artifact="a",
        manifest="b",
        state=state,
        author="x",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def change(version: int | None, cause: AliasCause = AliasCause.PROMOTE) -> AliasChange:
    return AliasChange(
        model="m",
        alias="champion",
        version=version,
        cause=cause,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        principal="x",
        reason="y",
        record_id="z",
    )


def back(version: int) -> AliasChange:
    return change(version, AliasCause.ROLL_BACK)


@pytest.mark.parametrize("state", VersionState)
@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("aliases", [[], ["blue", "champion"]])
def test_every_step_from_every_state_is_decided(
    state: VersionState, step: Step, aliases: list[str]
) -> None:
    version = make_version(state)
    if state is VersionState.RETIRED:
        with pytest.raises(VersionRetired):
            advance(version, step, aliases)
    elif step is Step.RETIRE and aliases:
        with pytest.raises(VersionInUse, match="blue, champion"):
            advance(version, step, aliases)
    elif step is Step.RETIRE:
        assert advance(version, step, aliases) is VersionState.RETIRED
    else:
        assert advance(version, step, aliases) is VersionState.PUBLISHED


def test_nothing_leads_out_of_retirement() -> None:
    assert all(state is not VersionState.RETIRED for state, _ in TRANSITIONS)


def test_a_version_may_be_promoted_where_it_is_neither_live_nor_retired() -> None:
    check_promotion(make_version(VersionState.PUBLISHED, 2), None)
    check_promotion(make_version(VersionState.PUBLISHED, 2), 1)
    with pytest.raises(AlreadyChampion):
        check_promotion(make_version(VersionState.PUBLISHED, 2), 2)
    with pytest.raises(VersionRetired):
        check_promotion(make_version(VersionState.RETIRED, 2), 2)


@pytest.mark.parametrize(
    ("history", "stack"),
    [
        ([], []),
        ([change(1)], [1]),
        ([change(1), change(2), change(1)], [1, 2, 1]),
        ([change(1), change(2), back(1)], [1]),
        ([change(1), change(2), back(1), change(3)], [1, 3]),
        ([change(1), change(2), change(3), back(1)], [1]),
        ([change(1), change(2), change(1), change(3), back(1)], [1, 2, 1]),
        ([change(1), change(2), change(None), change(3)], [3]),
        ([change(1), change(None)], []),
    ],
)
def test_the_champions_that_led_here(history: list[AliasChange], stack: list[int]) -> None:
    assert champions(history) == stack


def test_a_history_that_goes_back_to_what_never_was_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        champions([change(1), back(2)])


@pytest.mark.parametrize(
    ("history", "retired", "wanted", "target"),
    [
        ([1, 2], (), None, 1),
        ([1, 2, 3], (), None, 2),
        ([1, 2, 3], (2,), None, 1),
        ([1, 2, 3], (), 1, 1),
        ([1, 2, 1], (), None, 2),
        ([3, 1, 2, 1], (2,), None, 3),
        ([1, 2, 1, 3], (), 1, 1),
    ],
)
def test_a_rollback_goes_to_the_latest_earlier_champion_or_the_one_wanted(
    history: list[int], retired: tuple[int, ...], wanted: int | None, target: int
) -> None:
    changes = [change(number) for number in history]
    assert rollback_target("m", changes, frozenset(retired), wanted) == target


@pytest.mark.parametrize(
    ("history", "retired", "wanted"),
    [
        ([], (), None),
        ([1], (), None),
        ([1], (), 1),
        ([1, 2], (1,), None),
        ([1, 2], (1,), 1),
        ([1, 2], (), 2),
        ([1, 2], (), 3),
        ([1, 2, 1], (2,), None),  # all that is left is live already
        ([1, 2, 1], (), 1),
    ],
)
def test_a_rollback_without_a_target_is_refused(
    history: list[int], retired: tuple[int, ...], wanted: int | None
) -> None:
    changes = [change(number) for number in history]
    with pytest.raises(NothingToRollBackTo):
        rollback_target("m", changes, frozenset(retired), wanted)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_rolling_back_again_and_again_never_goes_forward(promoted: list[int]) -> None:
    distinct = [n for i, n in enumerate(promoted) if i == 0 or promoted[i - 1] != n]
    history = [change(number) for number in distinct]
    walked = [distinct[-1]]
    while len(champions(history)) > 1:
        target = rollback_target("m", history, NOBODY_RETIRED, None)
        history.append(back(target))
        walked.append(target)
    assert walked == distinct[::-1]
    with pytest.raises(NothingToRollBackTo):
        rollback_target("m", history, NOBODY_RETIRED, None)


class Champions(RuleBasedStateMachine):
    """Promote, roll back and retire at random, beside a plain stack of what was live."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[AliasChange] = []
        self.stack: list[int] = []
        self.retired: set[int] = set()

    @rule(number=st.integers(1, 5))
    def promote(self, number: int) -> None:
        state = VersionState.RETIRED if number in self.retired else VersionState.PUBLISHED
        live = self.stack[-1] if self.stack else None
        try:
            check_promotion(make_version(state, number), live)
        except (VersionRetired, AlreadyChampion):
            assert number in self.retired or number == live
        else:
            self.history.append(change(number))
            self.stack.append(number)

    @rule(wanted=st.none() | st.integers(1, 5))
    def roll_back(self, wanted: int | None) -> None:
        allowed = [n for n in self.stack[:-1] if n not in self.retired and n != self.stack[-1]]
        try:
            target = rollback_target("m", self.history, frozenset(self.retired), wanted)
        except NothingToRollBackTo:
            assert wanted not in allowed
            assert wanted is not None or not allowed
            return
        assert target == (allowed[-1] if wanted is None else wanted)
        before = len(self.stack)
        while self.stack[-1] != target:
            self.stack.pop()
        assert len(self.stack) < before
        self.history.append(back(target))

    @rule(number=st.integers(1, 5))
    def retire(self, number: int) -> None:
        if not self.stack or self.stack[-1] != number:
            self.retired.add(number)

    @invariant()
    def the_history_says_what_the_stack_says(self) -> None:
        assert champions(self.history) == self.stack

    @invariant()
    def what_is_live_is_not_retired(self) -> None:
        assert not self.stack or self.stack[-1] not in self.retired


TestChampions: Any = Champions.TestCase
TestChampions.settings = settings(max_examples=60, stateful_step_count=25)


def rollout(challenger: int, started: datetime) -> Rollout:
    plan = Plan(challenger=challenger, guards=(), steps=(planned.Step(points=100),))
    return Rollout(
        id="r",
        model="m",
        champion=1,
        plan=plan,
        phase=Phase.CANARY,
        stage=0,
        salt="s",
        base=0,
        edges_us=(),
        author="a",
        reason="r",
        started=started,
        entered=started,
    )


def test_a_warm_up_begins_with_the_first_alias_whichever_it_is() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    history = [
        msgspec.structs.replace(change(version), alias=alias, at=start + timedelta(hours=hour))
        for hour, (alias, version) in enumerate(
            [("candidate", 2), ("champion", 1), ("candidate", None), ("champion", 2)]
        )
    ]

    named = first_named(history, [])

    assert named == {2: start, 1: start + timedelta(hours=1)}
    contract = Contract(warm_up_s=60.0)
    assert warm_up_ends(contract, named.get(2)) == start + timedelta(seconds=60)
    assert warm_up_ends(contract, named.get(3)) is None


def test_a_rollout_names_its_challenger_from_its_start_on() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    history = [
        msgspec.structs.replace(change(2), at=start + hour),
        msgspec.structs.replace(change(3), at=start + hour),
    ]
    rollouts = [rollout(2, start + 2 * hour), rollout(3, start), rollout(3, start - hour)]

    assert first_named(history, rollouts) == {2: start + hour, 3: start - hour}
