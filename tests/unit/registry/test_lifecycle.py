"""States of a version, and the champions that rollbacks go back to."""

from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import AlreadyChampion, NothingToRollBackTo, VersionInUse, VersionRetired
from registry.lifecycle import (
    TRANSITIONS,
    Step,
    advance,
    champions,
    check_promotion,
    rollback_target,
)
from registry.records import AliasCause, AliasChange, Version, VersionState

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def version(state: VersionState = VersionState.PUBLISHED) -> Version:
    return Version(
        model="m", number=2, artifact="a", manifest="b", state=state, author="t", created=_NOON
    )


def change(number: int | None, cause: AliasCause) -> AliasChange:
    return AliasChange(
        model="m", alias="champion", version=number, cause=cause, at=_NOON,
        principal="t", reason="r", record_id="i",
    )  # fmt: skip


@pytest.mark.parametrize(("state", "step"), list(product(VersionState, Step)))
def test_a_step_that_the_table_does_not_list_is_refused(state: VersionState, step: Step) -> None:
    if (state, step) in TRANSITIONS:
        assert advance(version(state), step) is TRANSITIONS[state, step]
    else:
        with pytest.raises(VersionRetired):
            advance(version(state), step)


def test_a_version_that_an_alias_names_cannot_be_retired() -> None:
    with pytest.raises(VersionInUse, match="champion"):
        advance(version(), Step.RETIRE, ["champion"])


def test_the_champion_cannot_be_promoted_again() -> None:
    with pytest.raises(AlreadyChampion):
        check_promotion(version(), 2)


def test_a_retired_version_cannot_become_champion() -> None:
    with pytest.raises(VersionRetired):
        check_promotion(version(VersionState.RETIRED), 1)


@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=30))
def test_rolling_back_undoes_promotions_one_by_one_and_never_goes_forward(
    steps: list[int | None],
) -> None:
    history: list[AliasChange] = []
    expected: list[int] = []
    for step in steps:
        if step is None and len(expected) > 1:
            target = rollback_target("m", history, frozenset(), None)
            expected.pop()
            assert target == expected[-1]
            history.append(change(target, AliasCause.ROLL_BACK))
        elif step is not None and expected[-1:] != [step]:
            expected.append(step)
            history.append(change(step, AliasCause.PROMOTE))
        if expected:
            assert champions(history)[-1] == expected[-1]


def test_a_rollback_passes_over_retired_versions() -> None:
    history = [change(number, AliasCause.PROMOTE) for number in (1, 2, 3)]

    assert rollback_target("m", history, frozenset({2}), None) == 1


def test_a_rollback_can_name_an_earlier_champion_and_no_other_version() -> None:
    history = [change(number, AliasCause.PROMOTE) for number in (1, 2, 3)]

    assert rollback_target("m", history, frozenset(), 1) == 1
    for wanted in (3, 4):
        with pytest.raises(NothingToRollBackTo):
            rollback_target("m", history, frozenset(), wanted)


def test_the_first_champion_has_nothing_to_roll_back_to() -> None:
    with pytest.raises(NothingToRollBackTo):
        rollback_target("m", [change(1, AliasCause.PROMOTE)], frozenset(), None)
