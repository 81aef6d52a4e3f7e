"""What every store promises of requests to promote a version, and of answers under a key."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from msgspec.structs import replace

from registry.answers import Answer, Claim
from registry.promotion_evidence import Check, Evidence
from registry.promotion_policy import PromotionPolicy, RolloutNeed
from registry.promotions import Promotion, PromotionState
from registry.store import Store
from tests.contracts.stored import START, make_key, make_record

DAY = timedelta(days=1)
CLAIM = Claim(principal="key-1", key="a", request="digest")
ANSWER = Answer(status=202, headers={"content-type": "application/json"}, body=b"\x00{}")


def make_promotion(number: int = 1, **fields: object) -> Promotion:
    promotion = Promotion(
        id=f"p{number}",
        model="m",
        version=number,
        artifact="sha256:a",
        manifest="sha256:b",
        champion=None,
        since=None,
        policy=PromotionPolicy(second_person=True, rollout=RolloutNeed(shadow_requests=1)),
        evidence=Evidence(),
        evidence_digest="sha256:c",
        checks=(Check(name="findings", need="none", is_met=True, found="none"),),
        author="key-1",
        reason="better",
        requested=START + timedelta(seconds=number),
        expires=START + DAY,
    )
    return replace(promotion, **fields)


def add(store: Store, *promotions: Promotion) -> None:
    with store.write() as tx:
        for one in promotions:
            tx.add_promotion(one)
        tx.append(make_record())


def test_requests_are_found_newest_first_by_model_and_while_they_wait(store: Store) -> None:
    first, second, other = (
        make_promotion(1), make_promotion(2), make_promotion(3, model="other"),
    )  # fmt: skip
    add(store, first, second, other)
    ended = replace(first, state=PromotionState.REJECTED, by="key-2", decided=START)
    with store.write() as tx:
        tx.change_promotion(ended)
        tx.append(make_record())

    assert store.promotion("p1") == ended
    assert store.promotion("none") is None
    assert store.promotions() == [other, second, ended]
    assert store.promotions("m") == [second, ended]
    assert store.promotions("m", only_pending=True) == [second]
    assert store.promotions(only_pending=True) == [other, second]


def test_a_request_without_a_record_is_not_kept(store: Store) -> None:
    with pytest.raises(RuntimeError, match="without an audit record"), store.write() as tx:
        tx.add_promotion(make_promotion())

    assert store.promotions() == []


def test_a_key_remembers_its_owner(store: Store) -> None:
    keys = [make_key("a", owner="ann"), make_key("b")]
    with store.write() as tx:
        for key in keys:
            tx.add_key(key)
        tx.append(make_record())

    assert store.api_keys() == keys


def test_a_claim_is_the_first_ones_and_shows_what_came_of_it(store: Store) -> None:
    assert store.claim(CLAIM, START, START - DAY) is None
    assert store.claim(replace(CLAIM, request="other"), START, START - DAY) == CLAIM
    store.keep_answer(CLAIM, ANSWER)

    assert store.claim(CLAIM, START, START - DAY) == replace(CLAIM, answer=ANSWER)
    assert store.claim(replace(CLAIM, principal="key-2"), START, START - DAY) is None
    assert store.claim(replace(CLAIM, key="b"), START, START - DAY) is None


def test_a_claim_that_was_released_or_is_old_stands_for_nothing(store: Store) -> None:
    store.claim(CLAIM, START, START - DAY)
    store.release(CLAIM)
    assert store.claim(CLAIM, START, START - DAY) is None
    store.keep_answer(CLAIM, ANSWER)

    at = START + DAY
    assert store.claim(CLAIM, at, at - DAY) is not None
    later = at + timedelta(microseconds=1)
    assert store.claim(CLAIM, later, later - DAY) is None


def test_of_claims_that_race_one_is_granted(store: Store) -> None:
    claims = [replace(CLAIM, request=str(number)) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: store.claim(one, START, START - DAY), claims))

    assert found.count(None) == 1
    assert len({one.request for one in found if one is not None}) == 1
