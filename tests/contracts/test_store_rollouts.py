"""What every store promises of rollouts."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from registry.errors import Conflict
from registry.rollouts import Assessment, Guard, GuardKind, Judgement, Phase, Rollout, Verdict
from registry.store import Store
from registry.versions import VersionState
from tests.contracts.stored import (
    START,
    make_record,
    make_rollout,
    make_rollout_change,
    make_version,
)


def add(store: Store, *rollouts: Rollout) -> None:
    with store.write() as tx:
        for rollout in rollouts:
            tx.add_rollout(rollout, make_rollout_change(rollout.id))
        tx.append(make_record())


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with three versions of `m` and one of `other`, and no rollout."""
    with store.write() as tx:
        for number, model in ((1, "m"), (2, "m"), (3, "m"), (1, "other")):
            tx.add_version(make_version(number, model))
        tx.append(make_record())
    return store


def test_where_no_rollout_is_there_is_none(filled: Store) -> None:
    assert filled.rollouts() == filled.rollouts("m") == filled.open_rollouts() == []
    assert filled.rollout("one") is None
    assert filled.rollout_changes("one") == []


def test_a_rollout_and_its_history_come_back_as_they_were_stored(filled: Store) -> None:
    judgement = Judgement(
        guard=Guard(kind=GuardKind.ERRORS, margin=2.0),
        verdict=Verdict.WORSE,
        challenger=400,
        champion=800,
        events=(12, 3),
        evidence_worse=4.5,
        low=-0.1,
        high=0.25,
        dispersion=1.25,
    )
    assessment = Assessment(
        at=START, stage=0, verdict=Verdict.WORSE, requests=400, judgements=(judgement,)
    )
    begun, ended = make_rollout(), make_rollout(phase=Phase.ROLLED_BACK, ended=START)
    changes = [
        make_rollout_change(),
        make_rollout_change(action="roll_back", phase=Phase.ROLLED_BACK, assessment=assessment),
    ]
    add(filled, begun)
    assert filled.rollout("one") == begun

    with filled.write() as tx:
        tx.change_rollout(ended, changes[1])
        tx.append(make_record())

    assert filled.rollout("one") == ended
    assert filled.rollouts("m") == [ended]
    assert filled.rollout_changes("one") == changes


def test_rollouts_stand_newest_first_and_those_that_are_open_by_model(filled: Store) -> None:
    later = START + timedelta(microseconds=1)
    oldest = make_rollout("b", challenger=2, phase=Phase.EXPIRED)
    second = make_rollout("a", challenger=2, started=later)
    third = make_rollout("c", challenger=3, started=later)
    other = make_rollout("d", challenger=1, model="other", phase=Phase.PASSED)
    add(filled, third, oldest, second, other)

    assert filled.rollouts() == [third, second, other, oldest]
    assert filled.rollouts("m") == [third, second, oldest]
    assert filled.rollouts("none") == []
    assert filled.open_rollouts() == [second, third, other]


@pytest.mark.parametrize(
    "contradiction",
    [
        make_rollout("one", challenger=3),
        make_rollout("two", challenger=9),
        make_rollout("two", challenger=2, model="none"),
        make_rollout("two", challenger=2, phase=Phase.CANARY),
    ],
    ids=["same id", "unknown version", "unknown model", "a challenger twice"],
)
def test_a_rollout_that_contradicts_the_store_is_a_conflict(
    filled: Store, contradiction: Rollout
) -> None:
    add(filled, make_rollout())
    with pytest.raises(Conflict):
        add(filled, contradiction)
    assert filled.rollouts() == [make_rollout()]
    assert len(filled.rollout_changes("one")) == 1


def test_a_version_is_a_challenger_again_when_its_rollout_is_over(filled: Store) -> None:
    first = make_rollout()
    add(filled, first)
    with filled.write() as tx:
        tx.change_rollout(replace(first, phase=Phase.ABORTED), make_rollout_change())
        tx.append(make_record())
    add(filled, make_rollout("two"))
    assert [one.id for one in filled.open_rollouts()] == ["two"]


def test_a_rollout_that_was_never_added_cannot_be_changed(filled: Store) -> None:
    with pytest.raises(Conflict), filled.write() as tx:
        tx.change_rollout(make_rollout(), make_rollout_change())
        tx.append(make_record())
    assert filled.rollouts() == []


def test_a_transaction_sees_the_rollouts_that_it_adds(filled: Store) -> None:
    with filled.write() as tx:
        tx.add_rollout(make_rollout(), make_rollout_change())
        assert tx.open_rollouts() == [make_rollout()]
        tx.set_state("m", 2, VersionState.RETIRED)
        tx.append(make_record())
