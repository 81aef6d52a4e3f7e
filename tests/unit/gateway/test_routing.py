"""Which callers meet a challenger: exact shares, and nobody moves back."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from gateway.routing import choose, point
from registry.rollouts import POINTS

KEYS = [f"caller-{number}" for number in range(100_000)]
SALT = "salt-0"


class Part(Struct, frozen=True):
    base: int
    points: int


def points_of(salt: str = SALT) -> list[int]:
    return [point(salt, key) for key in KEYS]


@pytest.fixture(scope="module")
def found() -> list[int]:
    return points_of()


def test_points_are_those_of_the_specification() -> None:
    # BLAKE2b of eight bytes, keyed, as any other implementation computes it.
    assert [point(SALT, key) for key in ("", "caller-1", "\u00e9\u20ac")] == [1287, 5183, 7077]
    assert all(0 <= one < POINTS for one in points_of("other")[:1000])


@pytest.mark.parametrize("share", [10, 100, 500, 1_000, 2_500, 5_000, 9_000])
def test_shares_are_exact_to_a_fifth_of_a_percent(found: list[int], share: int) -> None:
    for base in (0, 777):
        part = [Part(base, share)]
        chosen = sum(choose(part, one) is not None for one in found)
        wanted = min(share, POINTS - base) / POINTS
        assert chosen / len(found) == pytest.approx(wanted, abs=0.002)


@pytest.mark.parametrize("salt", ["a", "b", "c"])
def test_points_are_as_even_as_chance_makes_them(salt: str) -> None:
    counts = [0] * 100
    for one in points_of(salt):
        counts[one * 100 // POINTS] += 1
    expected = len(KEYS) / 100
    # Chi-squared of 99 degrees of freedom: above 148.2 once in a thousand times.
    assert sum((count - expected) ** 2 / expected for count in counts) < 148.2


def test_a_share_that_is_raised_moves_callers_one_way_only(found: list[int]) -> None:
    before: set[int] = set()
    for share in (1, 100, 500, 2_500, 5_000, 9_999):
        part = [Part(0, share)]
        now = {number for number, one in enumerate(found) if choose(part, one) is not None}
        assert before < now
        before = now


def test_another_salt_chooses_other_callers(found: list[int]) -> None:
    others = points_of("another salt")
    both = sum(one < 1_000 and other < 1_000 for one, other in zip(found, others, strict=True))
    assert both / len(KEYS) == pytest.approx(0.01, abs=0.002)


@given(st.lists(st.integers(0, 3_000), max_size=5), st.randoms(use_true_random=False))
def test_rollouts_at_once_share_no_caller(shares: list[int], random: Random) -> None:
    parts: list[Part] = []
    base = 0
    for share in shares:
        if base + share <= POINTS:
            parts.append(Part(base, share))
            base += share
    random.shuffle(parts)
    for one in (0, base - 1, base, POINTS - 1, random.randrange(POINTS)):
        having = [part for part in parts if part.base <= one < part.base + part.points]
        assert len(having) <= 1
        assert choose(parts, one) is (having[0] if having else None)


@given(st.text(st.characters(), max_size=300))
def test_every_text_has_a_point(key: str) -> None:
    assert point(SALT, key) == point(SALT, key)
    assert 0 <= point(SALT, key + "\ud800") < POINTS
