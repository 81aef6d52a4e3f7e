"""Changes under a condition, and changes that are only tried out."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from registry import promoting, rolling_out
from registry.artifacts import Artifacts
from registry.errors import InvalidRequest, StateChanged, VersionNotFound
from registry.model_state import state_tag
from registry.registry import Registry
from registry.store import open_store
from registry.trials import if_unchanged, try_out
from tests.unit.registry.promotable import (
    ANN,
    CARL,
    MODEL,
    PLAN,
    Clock,
    make_registry,
    start_rollout,
    state_of,
)


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[Registry]:
    """A registry whose model has a champion, version 2, and one before it."""
    store = open_store(tmp_path)
    registry = make_registry(store, Artifacts(tmp_path / "artifacts"), Clock(), versions=3)
    registry.promote(MODEL, 1, "the first", CARL)
    registry.promote(MODEL, 2, "the second", CARL)
    yield registry
    store.close()


def test_a_trial_shows_each_record_that_there_would_be_and_keeps_none(moved: Registry) -> None:
    rollout = start_rollout(
        moved, PLAN.__class__(challenger=3, guards=PLAN.guards, steps=PLAN.steps)
    )
    before = state_of(moved)

    trial = try_out(moved, lambda on: on.roll_back(MODEL, "worse", ANN))

    assert trial.is_allowed
    assert [(one.action, one.version) for one in trial.plan] == [
        ("rollback", 1), ("rollout.abort", 3),
    ]  # fmt: skip
    assert trial.plan[1].rollout == rollout.id
    assert state_of(moved) == before


def test_what_was_tried_out_can_be_done_as_it_was_shown(moved: Registry) -> None:
    ask = partial(promoting.ask, model=MODEL, number=3, reason="better", author=ANN)
    checks = promoting.promotion_checks(moved, MODEL, 3)

    trial = try_out(moved, ask, checks)
    ask(moved)

    assert [one.action for one in trial.plan] == ["promote"]
    assert [check.name for check in trial.checks] == ["findings", "second_person", "possible"]
    assert all(check.is_met for check in trial.checks)
    assert moved.store.aliases(MODEL) == {"champion": 3}


def test_a_trial_of_what_is_refused_says_why_and_of_nonsense_raises(moved: Registry) -> None:
    before = state_of(moved)

    trial = try_out(moved, lambda on: on.retire(MODEL, 2, "old", ANN))

    assert (trial.is_allowed, trial.plan) == (False, [])
    assert [(check.name, check.is_met) for check in trial.checks] == [("version-in-use", False)]
    with pytest.raises(VersionNotFound):
        try_out(moved, lambda on: on.retire(MODEL, 9, "old", ANN))
    with pytest.raises(InvalidRequest):
        try_out(moved, lambda on: on.retire(MODEL, 3, " ", ANN))
    assert state_of(moved) == before


def test_a_change_is_done_only_in_the_state_that_it_is_meant_for(moved: Registry) -> None:
    tag = state_tag(moved.store, MODEL)
    under = if_unchanged(moved, MODEL, {tag, "another"})

    under.point_alias(MODEL, "next", 3, "to look at", ANN)

    before = state_of(moved)
    for verb in (
        lambda: under.roll_back(MODEL, "worse", ANN),
        lambda: start_rollout(
            under, PLAN.__class__(challenger=3, guards=PLAN.guards, steps=PLAN.steps)
        ),
        lambda: promoting.ask(under, MODEL, 3, "better", ANN),
        lambda: try_out(under, lambda on: on.roll_back(MODEL, "worse", ANN)),
    ):
        with pytest.raises(StateChanged):
            verb()
    assert state_of(moved) == before


def test_the_tag_of_a_state_is_another_after_every_change_and_the_same_without(
    moved: Registry,
) -> None:
    tags = [state_tag(moved.store, MODEL)]
    plan = PLAN.__class__(challenger=3, guards=PLAN.guards, steps=PLAN.steps)
    rollout = start_rollout(moved, plan)
    for change in (
        lambda: rolling_out.pause(moved, rollout.id, "a fire", CARL),
        lambda: rolling_out.resume(moved, rollout.id, "out", CARL),
        lambda: rolling_out.abort(moved, rollout.id, "enough", CARL),
        lambda: moved.point_alias(MODEL, "next", 3, "to look at", ANN),
        lambda: moved.remove_alias(MODEL, "next", "looked", ANN),
        lambda: moved.retire(MODEL, 3, "old", CARL),
    ):
        tags.append(state_tag(moved.store, MODEL))
        change()
    tags.append(state_tag(moved.store, MODEL))

    # A rollout that is over is as if there had been none.
    assert tags[0] == tags[4]
    assert len(set(tags)) == len(tags) - 2
    assert state_tag(moved.store, MODEL) == tags[-1]
