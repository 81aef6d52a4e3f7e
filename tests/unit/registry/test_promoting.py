"""Promotions that the policy of a model holds, and people decide on."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from registry import drift, promoting, rolling_out
from registry.artifacts import Artifacts
from registry.drift_policy import DriftAction, DriftPolicy
from registry.errors import (
    AlreadyChampion,
    ApprovalNeeded,
    ArtifactDamaged,
    ArtifactNotFound,
    ForceNotAllowed,
    InvalidRequest,
    PromotionDecided,
    PromotionExpired,
    PromotionHeld,
    PromotionNotFound,
    PromotionPending,
    PromotionStale,
    RegistryError,
    SelfApproval,
    VersionNotFound,
    VersionRetired,
)
from registry.events import Destination, EventType, Form
from registry.promotion_evidence import TruthScore
from registry.promotion_policy import PromotionPolicy, RolloutNeed, TruthNeed
from registry.promotions import Promotion, PromotionState
from registry.recording import Author, append_record
from registry.registry import Registry
from registry.rollouts import GuardKind, Phase
from registry.store import open_store
from registry.versions import AliasCause, AliasChange
from registry.workers import Key
from tests.unit.registry.promotable import (
    ANN,
    ANN_AGAIN,
    BEN,
    CARL,
    ERRORS,
    MODEL,
    NOON,
    PLAN,
    ROLES,
    Clock,
    add_version,
    find,
    last_records,
    make_registry,
    pass_rollout,
    start_rollout,
    state_of,
)

TWO = PromotionPolicy(second_person=True, break_glass="admin")
SHOWN = replace(
    TWO, rollout=RolloutNeed(shadow_requests=100, canary_requests=100, guards=(GuardKind.ERRORS,))
)
HOLD = DriftPolicy(action=DriftAction.HOLD_PROMOTION)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def governed(tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    """A registry whose model has a champion, version 1, and the versions 2 and 3."""
    store = open_store(tmp_path)
    registry = make_registry(store, Artifacts(tmp_path / "artifacts"), clock, versions=3)
    registry.promote(MODEL, 1, "the first", CARL)
    yield registry
    store.close()


def set_policy(registry: Registry, policy: PromotionPolicy) -> None:
    promoting.set_promotion_policy(registry, MODEL, policy, ROLES, CARL)


def ask(registry: Registry, number: int = 2, author: Author = ANN) -> Promotion:
    asked = promoting.ask(registry, MODEL, number, "it is better", author)
    assert isinstance(asked, Promotion)
    return asked


def champion(registry: Registry) -> int:
    return registry.store.aliases(MODEL)["champion"]


def refuses(
    registry: Registry,
    error: type[RegistryError],
    verb: Callable[[], object],
    match: str | None = None,
) -> None:
    """Hold that a verb is refused and changes nothing at all."""
    before = state_of(registry)
    with pytest.raises(error, match=match):
        verb()
    assert state_of(registry) == before


def test_a_policy_that_asks_for_nothing_lets_one_person_promote_at_once(
    governed: Registry,
) -> None:
    done = promoting.ask(governed, MODEL, 2, "it is better", ANN)

    assert isinstance(done, AliasChange)
    assert (champion(governed), governed.store.promotions()) == (2, [])


def test_a_second_person_moves_the_champion_and_the_first_is_named_with_the_reason(
    governed: Registry,
) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)

    assert champion(governed) == 1
    change = promoting.approve(governed, asked.id, "looked at the numbers", BEN)

    assert champion(governed) == 2
    assert (change.cause, change.principal) == (AliasCause.PROMOTE, ANN.principal)
    assert change.reason == "it is better"
    promoted, approved, requested = last_records(governed, 3)
    assert (promoted.action, promoted.subject) == ("promote", asked.id)
    assert (approved.action, approved.principal) == ("promotion.approve", BEN.principal)
    assert (approved.subject, approved.reason) == (asked.id, "looked at the numbers")
    assert (requested.action, requested.id) == ("promotion.request", asked.id)
    assert requested.subject == asked.evidence_digest
    ended = governed.store.promotion(asked.id)
    assert ended is not None
    assert (ended.state, ended.by) == (PromotionState.APPROVED, BEN.principal)


def test_nobody_approves_their_own_request_with_any_of_their_keys(governed: Registry) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)

    for again in (ANN, ANN_AGAIN):
        refuses(
            governed,
            SelfApproval,
            lambda by=again: promoting.approve(governed, asked.id, "fine", by),
        )


@pytest.mark.parametrize("owner", ["Ann", " ann ", "ANN\u200a", "\uff41nn"])
def test_an_owner_spelled_in_another_way_is_the_same_person(governed: Registry, owner: str) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)
    key = Key(
        id="key-ann-3", name="", digest=b"another", roles=("approver",), author="a test",
        created=NOON, expires=None, revoked=None, owner=owner,
    )  # fmt: skip
    governed.add_key(key, CARL)
    again = Author(principal=key.id)

    refuses(governed, SelfApproval, lambda: promoting.approve(governed, asked.id, "fine", again))


def test_a_file_that_is_not_what_was_shown_is_not_approved(
    governed: Registry, tmp_path: Path
) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)
    [path] = tmp_path.glob(f"artifacts/sha256/*/{asked.artifact.removeprefix('sha256:')}")

    path.chmod(0o644)
    path.write_bytes(b"another model")
    refuses(governed, ArtifactDamaged, lambda: promoting.approve(governed, asked.id, "fine", BEN))
    path.unlink()
    refuses(governed, ArtifactNotFound, lambda: promoting.approve(governed, asked.id, "fine", BEN))


def test_two_keys_without_an_owner_are_two_people(governed: Registry) -> None:
    set_policy(governed, TWO)
    asked = ask(governed, author=BEN)

    promoting.approve(governed, asked.id, "fine", ANN_AGAIN)

    assert champion(governed) == 2


def test_the_local_user_is_a_person_too(governed: Registry) -> None:
    set_policy(governed, TWO)
    asked = ask(governed, author=CARL)

    refuses(governed, SelfApproval, lambda: promoting.approve(governed, asked.id, "fine", CARL))


def test_a_request_that_was_decided_is_decided_for_good(governed: Registry) -> None:
    set_policy(governed, TWO)
    approved, rejected = ask(governed), ask(governed, 3)
    promoting.reject(governed, rejected.id, "not now", BEN)
    promoting.approve(governed, approved.id, "fine", BEN)

    for one in (approved, rejected):
        for verb in (promoting.approve, promoting.reject):
            refuses(
                governed, PromotionDecided, lambda v=verb, o=one: v(governed, o.id, "again", BEN)
            )


def test_a_request_lasts_as_long_as_the_policy_says_and_its_end_is_on_record(
    governed: Registry, clock: Clock
) -> None:
    set_policy(governed, replace(TWO, request_hours=2))
    asked = ask(governed)
    clock.pass_hours(2)

    for verb in (promoting.approve, promoting.reject):
        refuses(governed, PromotionExpired, lambda v=verb: v(governed, asked.id, "late", BEN))
    [expired] = promoting.expire_due(governed, CARL)

    assert (expired.id, expired.state) == (asked.id, PromotionState.EXPIRED)
    [record] = last_records(governed)
    assert (record.action, record.subject) == ("promotion.expire", asked.id)
    assert promoting.expire_due(governed, CARL) == []
    refuses(governed, PromotionDecided, lambda: promoting.approve(governed, asked.id, "late", BEN))


def test_a_request_is_stale_once_the_champion_was_moved_even_back_and_forth(
    governed: Registry,
) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)
    governed.promote(MODEL, 3, "in a hurry", CARL, by_force=True)
    governed.roll_back(MODEL, "it was worse", CARL)

    assert champion(governed) == 1
    refuses(
        governed, PromotionStale, lambda: promoting.approve(governed, asked.id, "fine", BEN),
        "the champion was moved",
    )  # fmt: skip
    assert promoting.review(governed, asked.id).changes == ["the champion was moved"]


def test_a_request_is_stale_once_the_policy_is_another_even_a_laxer_one(
    governed: Registry,
) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)
    set_policy(governed, PromotionPolicy())

    refuses(
        governed, PromotionStale, lambda: promoting.approve(governed, asked.id, "fine", BEN),
        "policy",
    )  # fmt: skip


def test_a_request_is_stale_once_its_rollout_went_on_or_something_was_found(
    governed: Registry,
) -> None:
    set_policy(governed, SHOWN)
    drift.set_drift_policy(governed, MODEL, HOLD, CARL)
    rollout = pass_rollout(governed)
    asked = ask(governed)
    found = find(governed, 1)

    refuses(
        governed, PromotionStale, lambda: promoting.approve(governed, asked.id, "fine", BEN),
        "the findings are not those",
    )  # fmt: skip
    drift.close_finding(governed, MODEL, found.id, "a campaign", CARL)
    rolling_out.trip(governed, rollout.id, "it fails now", CARL)
    refuses(
        governed, PromotionStale, lambda: promoting.approve(governed, asked.id, "fine", BEN),
        "its rollout is not as it was shown",
    )  # fmt: skip


def test_a_request_for_what_was_retired_or_is_champion_cannot_be_approved(
    governed: Registry,
) -> None:
    set_policy(governed, TWO)
    first, second = ask(governed), ask(governed, 3)
    governed.retire(MODEL, 3, "never mind", CARL)
    governed.promote(MODEL, 2, "in a hurry", CARL, by_force=True)

    refuses(governed, AlreadyChampion, lambda: promoting.approve(governed, first.id, "fine", BEN))
    refuses(governed, VersionRetired, lambda: promoting.approve(governed, second.id, "fine", BEN))
    assert all(one.changes for one in promoting.reviews(governed))


def test_what_can_still_be_approved_is_not_asked_for_twice(governed: Registry) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)

    refuses(governed, PromotionPending, lambda: ask(governed, author=BEN), asked.id)
    set_policy(governed, replace(TWO, request_hours=1))
    assert ask(governed, author=BEN).id != asked.id


def test_what_is_asked_and_not_there_is_named_and_holds(governed: Registry) -> None:
    policy = replace(SHOWN, truth=(TruthNeed(metric="absolute_error", labels=500, at_most=12.5),))
    set_policy(governed, policy)
    start_rollout(governed)

    with pytest.raises(PromotionHeld) as held:
        ask(governed)

    assert [reason.partition(" (")[0] for reason in held.value.lacking] == [
        "a rollout against the present champion that passed, all its guards non-inferior",
        "at least 100 shadow requests",
        "at least 100 canary requests",
        "a guard on errors",
        "absolute_error from 500 labels, its interval at most 12.5",
    ]


def test_evidence_without_a_second_person_lets_one_promote_at_once(governed: Registry) -> None:
    set_policy(governed, replace(SHOWN, second_person=False))
    refuses(governed, PromotionHeld, lambda: promoting.ask(governed, MODEL, 2, "it is better", ANN))

    rollout = pass_rollout(governed)
    promoting.ask(governed, MODEL, 2, "it is better", ANN)

    assert champion(governed) == 2
    ended = governed.store.rollout(rollout.id)
    assert ended is not None
    assert ended.phase is Phase.PROMOTED


def test_evidence_of_a_rollout_counts_the_requests_of_each_stage_as_it_was_passed(
    governed: Registry,
) -> None:
    set_policy(governed, SHOWN)
    rollout = pass_rollout(governed)

    shown = ask(governed).evidence.rollout

    assert shown is not None
    assert (shown.rollout, shown.phase) == (rollout.id, Phase.PASSED)
    assert (shown.shadow_requests, shown.canary_requests) == (100, 100)
    assert [one.stage for one in shown.assessments] == [0, 1, 2]


def test_a_rollout_against_another_champion_is_no_evidence(governed: Registry) -> None:
    set_policy(governed, SHOWN)
    pass_rollout(governed)
    governed.promote(MODEL, 3, "in a hurry", CARL, by_force=True)

    refuses(governed, PromotionHeld, lambda: ask(governed))


def test_a_rollout_that_is_over_is_no_evidence(governed: Registry) -> None:
    set_policy(governed, SHOWN)
    rollout = pass_rollout(governed)
    rolling_out.abort(governed, rollout.id, "never mind", CARL)

    refuses(governed, PromotionHeld, lambda: ask(governed))


def test_force_is_for_the_role_that_the_policy_names_and_its_record_says_past_what(
    governed: Registry,
) -> None:
    set_policy(governed, replace(SHOWN, break_glass="admin"))
    refuses(
        governed, ForceNotAllowed,
        lambda: promoting.ask(governed, MODEL, 2, "a fire", ANN, by_force=True), "admin",
    )  # fmt: skip

    admin = Author(principal="key-dora", roles=frozenset({"admin", "deployer"}))
    promoting.ask(governed, MODEL, 2, "a fire", admin, by_force=True)

    [record] = last_records(governed)
    assert champion(governed) == 2
    assert (record.subject or "").split() == [
        "rollout", "rollout.shadow_requests", "rollout.canary_requests", "rollout.guards.errors",
        "second_person",
    ]  # fmt: skip


def test_where_nobody_may_break_the_glass_not_even_who_has_the_data_may(
    governed: Registry,
) -> None:
    set_policy(governed, replace(TWO, break_glass="nobody"))

    refuses(
        governed, ForceNotAllowed,
        lambda: promoting.ask(governed, MODEL, 2, "a fire", CARL, by_force=True),
    )  # fmt: skip


def test_the_verb_that_promotes_now_obeys_the_policy_as_well(governed: Registry) -> None:
    set_policy(governed, TWO)
    refuses(governed, ApprovalNeeded, lambda: governed.promote(MODEL, 2, "now", CARL))
    rollout = pass_rollout(governed)
    refuses(
        governed, ApprovalNeeded,
        lambda: rolling_out.finish_promoted(governed, rollout.id, "passed", CARL),
    )  # fmt: skip


def test_a_rollback_asks_nobody(governed: Registry) -> None:
    governed.promote(MODEL, 2, "better", CARL)
    set_policy(governed, SHOWN)

    governed.roll_back(MODEL, "it is not", ANN)

    assert champion(governed) == 1


def test_a_rollout_asks_in_the_name_of_whoever_started_it(governed: Registry) -> None:
    set_policy(governed, TWO)
    rollout = pass_rollout(governed, author=ANN)

    asked = promoting.ask_for_rollout(governed, rollout.id, "it passed")

    assert asked.author == ANN.principal
    refuses(
        governed, SelfApproval, lambda: promoting.approve(governed, asked.id, "fine", ANN_AGAIN)
    )


def test_a_rollout_waits_for_a_person_where_the_policy_asks_for_nothing(
    governed: Registry,
) -> None:
    rollout = pass_rollout(governed, author=BEN)

    asked = promoting.ask_for_rollout(governed, rollout.id, "it passed")

    assert champion(governed) == 1
    promoting.approve(governed, asked.id, "fine", BEN)
    assert champion(governed) == 2


def test_of_approvals_that_race_one_moves_the_champion_once(governed: Registry) -> None:
    set_policy(governed, TWO)
    asked, other = ask(governed), ask(governed, 3)
    moves = len(governed.store.alias_changes(MODEL))
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def approve(number: int) -> None:
        approver = Author(principal=f"key-{number}", roles=ROLES)
        start.wait()
        try:
            promoting.approve(governed, (asked, other)[number % 2].id, "fine", approver)
            outcomes.append("approved")
        except (PromotionDecided, PromotionStale) as refusal:
            outcomes.append(refusal.slug)

    threads = [threading.Thread(target=approve, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["approved", *["promotion-decided"] * 3, *["promotion-stale"] * 4]
    assert len(governed.store.alias_changes(MODEL)) == moves + 1


def test_everybody_is_told_what_waits_what_became_of_it_and_what_was_forced(
    governed: Registry, clock: Clock
) -> None:
    destination = Destination(
        name="ops", url="https://receiver.example", form=Form.STANDARD, secret="s", models=(),
        types=tuple(kind for kind in EventType if kind.startswith("promotion.")),
        author="a test", created=NOON,
    )  # fmt: skip
    with governed.store.write() as tx:
        tx.add_destination(destination)
        append_record(tx, "destination.create", CARL, NOON)
    set_policy(governed, replace(TWO, request_hours=1))

    asked = ask(governed, 3)
    ask(governed, 2)
    promoting.reject(governed, asked.id, "not now", BEN)
    clock.pass_hours(1)
    promoting.expire_due(governed, CARL)
    promoting.approve(governed, ask(governed, 2).id, "fine", BEN)
    promoting.ask(governed, MODEL, 3, "a fire", CARL, by_force=True)

    told = [one.event for one in reversed(governed.store.deliveries(None, before=None, limit=20))]
    assert [event.type.removeprefix("promotion.") for event in told] == [
        "requested", "requested", "rejected", "expired", "requested", "approved", "forced",
    ]  # fmt: skip
    first, forced = told[0], told[-1]
    assert first.rollback is not None
    assert first.rollback.path == f"/admin/promotions/{asked.id}/reject"
    assert first.data["evidence"] == asked.evidence_digest
    assert "BY FORCE, past: the approval of another person" in forced.summary
    assert [one["name"] for one in forced.data["skipped"]] == ["second_person"]
    assert forced.rollback is not None
    assert forced.rollback.body["version"] == 2


def test_what_makes_no_sense_is_refused_and_changes_nothing(governed: Registry) -> None:
    set_policy(governed, TWO)
    asked = ask(governed)

    refuses(governed, PromotionNotFound, lambda: promoting.approve(governed, "none", "fine", BEN))
    refuses(governed, PromotionNotFound, lambda: promoting.review(governed, "none"))
    refuses(governed, InvalidRequest, lambda: promoting.approve(governed, asked.id, " ", BEN))
    refuses(governed, InvalidRequest, lambda: promoting.reject(governed, asked.id, "", BEN))
    refuses(governed, VersionNotFound, lambda: ask(governed, 9))
    refuses(governed, AlreadyChampion, lambda: ask(governed, 1))


def test_a_policy_is_set_on_the_record_and_taken_back(governed: Registry) -> None:
    set_policy(governed, SHOWN)

    [record] = last_records(governed)

    assert (record.action, record.model) == ("promotion-policy.set", MODEL)
    assert "shadow_requests" in (record.reason or "")
    set_policy(governed, PromotionPolicy())
    assert governed.store.settings() == []


def test_a_metric_that_no_label_of_the_model_gives_is_refused(governed: Registry) -> None:
    policy = PromotionPolicy(truth=(TruthNeed(metric="accuracy", at_least=0.9),))

    given = "gives accuracy; by its truth policy they give absolute_error, squared_error"
    with pytest.raises(InvalidRequest, match=given):
        set_policy(governed, policy)
    assert governed.store.settings() == []


def test_a_metric_may_move_within_its_bounds_and_makes_a_request_stale_beyond(
    governed: Registry,
) -> None:
    set_policy(governed, replace(TWO, truth=(TruthNeed(metric="absolute_error", at_most=12.5),)))
    score = TruthScore(metric="absolute_error", labels=500, value=12.0, low=11.5, high=12.4)
    refuses(governed, PromotionHeld, lambda: ask(governed), "no ground truth has matured")
    governed.truth = lambda *_: [score]
    asked = ask(governed)

    governed.truth = lambda *_: [replace(score, high=12.6)]
    refuses(governed, PromotionStale, lambda: promoting.approve(governed, asked.id, "fine", BEN))
    assert promoting.review(governed, asked.id).changes == [
        "this is asked and not there now: absolute_error from 1 labels, its interval at most 12.5"
        " (12, from 11.5 to 12.6, on 500)"
    ]

    governed.truth = lambda *_: [replace(score, labels=700, high=12.3)]
    assert promoting.review(governed, asked.id).changes == []
    promoting.approve(governed, asked.id, "fine", BEN)
    assert champion(governed) == 2


def test_a_version_that_answers_one_input_twice_gets_no_certificate(governed: Registry) -> None:
    flawed = replace(governed.manifest(governed.version(MODEL, 1)).certificate, run_ms=None)
    add_version(governed, 4, flawed)
    add_version(governed, 5, replace(flawed, run_ms=1.0, is_deterministic=False))
    set_policy(governed, PromotionPolicy(certificate=True))

    for number in (4, 5):
        refuses(
            governed, PromotionHeld,
            lambda n=number: promoting.ask(governed, MODEL, n, "it is better", ANN), "admission",
        )  # fmt: skip
    promoting.ask(governed, MODEL, 2, "it is better", ANN)
    assert champion(governed) == 2


def test_a_rollout_that_was_rolled_back_is_shown_and_holds(governed: Registry) -> None:
    set_policy(governed, SHOWN)
    rollout = start_rollout(governed)
    rolling_out.trip(governed, rollout.id, "five faults in a row", CARL)

    refuses(governed, PromotionHeld, lambda: ask(governed), "rolled-back")


def test_a_rollout_with_other_guards_than_the_policy_names_is_not_enough(
    governed: Registry,
) -> None:
    need = RolloutNeed(guards=(GuardKind.ERRORS, GuardKind.LATENCY))
    set_policy(governed, PromotionPolicy(rollout=need))
    pass_rollout(governed, replace(PLAN, guards=(ERRORS,)))

    refuses(
        governed, PromotionHeld, lambda: promoting.ask(governed, MODEL, 2, "better", ANN),
        "latency",
    )  # fmt: skip
