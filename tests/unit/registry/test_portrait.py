"""A person sees at a glance where values lie, in true words and bars of the right shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from registry.distribution import Feature, Numeric
from registry.portrait import bars, in_words, joint_in_words, kind_of, share, sparkline
from registry.reference import derive_reference
from registry.tensors import Tensor

RANDOM = np.random.default_rng(20)


def feature(tensor: Tensor) -> Feature:
    (found,) = derive_reference({"x": tensor}).features
    return found


def line(tensor: Tensor) -> str:
    return sparkline(bars(feature(tensor).distribution))


def texts(*values: str) -> Tensor:
    return np.array(values, object)


@pytest.mark.parametrize(
    ("tensor", "kind", "words"),
    [
        (np.linspace(0.5, 7.5, 50), "numeric", "0.5 to 7.5, mean 4, std 2.062"),
        (np.arange(1900, 2000), "integer", "1900 to 1999, mean 1950, std 28.87"),
        (np.full(50, 0.1), "numeric", "always 0.1"),
        (
            np.append(np.zeros(300), np.linspace(0.5, 1, 100)),
            "numeric",
            "0 to 1, mean 0.1875, std 0.3328; often 0 (75.0 %)",
        ),
        (np.arange(100) < 2, "discrete", "0 (98.0 %), 1 (2.0 %)"),
        (
            np.repeat(np.arange(5, 24), np.arange(5, 24)),
            "discrete",
            "5 to 23; often 23 (8.6 %), 22 (8.3 %), 21 (7.9 %), 20 (7.5 %) and 15 more",
        ),
        (
            texts(*["b"] * 30, *["a"] * 69, "c"),
            "categorical",
            "a (69.0 %), b (30.0 %); 1.0 % rare values",
        ),
        (texts(*["a"] * 30), "categorical", "a (100 %)"),
        (texts(*(f"u{i}" for i in range(300))), "high-cardinality", "300 values; mostly new ones"),
        (
            texts(*(f"u{i % 400}" for i in range(1200)), *["top"] * 100),
            "high-cardinality",
            "401 values; top (7.7 %); 0 % new",
        ),
        (
            texts(*(f"{'ä' * (i % 7)} one two three four {i}" for i in range(210))),
            "text",
            "mostly 22 to 29 characters; 15.7 % rare words; 85.7 % beyond ASCII",
        ),
        (np.ones((5, 100)), "embedding", "100 columns; length mostly up to 10.05"),
        (np.full(5, np.nan), "absent", "no value"),
    ],
)  # fmt: skip
def test_each_kind_is_told_in_words(tensor: Tensor, kind: str, words: str) -> None:
    found = feature(tensor)
    assert kind_of(found.distribution) == kind
    assert in_words(found) == words


def test_bars_have_the_shape_of_the_values_and_not_of_their_quantiles() -> None:
    normal = bars(feature(RANDOM.normal(size=50_000)).distribution)
    assert len(normal) == 16
    assert max(normal) == max(normal[7:9])
    assert normal[0] < normal[4] < normal[7]
    assert normal[8] > normal[11] > normal[15]
    uniform = bars(feature(RANDOM.uniform(size=50_000)).distribution)
    assert min(uniform) > 0.9 * max(uniform)


def test_two_hills_are_seen_as_two() -> None:
    hills = bars(
        feature(np.concatenate([RANDOM.normal(c, 1, 20_000) for c in (-4, 4)])).distribution
    )
    valley = min(hills[6:10])
    assert max(hills[:6]) > 5 * valley
    assert max(hills[10:]) > 5 * valley


def test_a_spike_is_seen_where_it_stands() -> None:
    low = np.append(np.zeros(9000), RANDOM.exponential(size=1000))
    assert line(low) == " █▁▁▁▁▁▁▁▁▁▁▁▁▁▁"
    assert line(10 - low)[-2] == "█"
    middle = bars(feature(np.append(np.full(500, 0.5), RANDOM.uniform(size=500))).distribution)
    assert middle.index(max(middle)) in (7, 8)


def test_a_constant_is_one_bar() -> None:
    assert line(np.full(100, 0.1)) == line(np.zeros(100)) == "█"


def test_whole_numbers_stand_in_their_order_with_gaps() -> None:
    assert line(np.repeat([1, 2, 5], [10, 40, 80])) == "▁▄  █"
    assert line(np.repeat([1, 2, 500], [10, 40, 80])) == "▁▄█"
    assert len(line(np.repeat(np.arange(32), 10))) == 16


def test_names_stand_with_the_most_frequent_first() -> None:
    assert line(texts(*["a"] * 20, *["b"] * 80)) == "█▂"


def test_lengths_of_texts_and_vectors_are_drawn_as_numbers_are() -> None:
    notes = texts(*(" ".join(["word"] * int(n)) for n in RANDOM.normal(50, 8, 2000)))
    for heights in (
        bars(feature(notes).distribution),
        bars(feature(RANDOM.normal(size=(2000, 70))).distribution),
    ):
        assert max(heights) == max(heights[5:11])


@settings(derandomize=True)
@given(
    arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(allow_infinity=False)),
)
def test_every_distribution_of_numbers_can_be_drawn_and_told(values: Tensor) -> None:
    found = feature(values)
    heights = bars(found.distribution)
    assert len(sparkline(heights)) == len(heights) <= 24
    assert all(0 <= height < np.inf for height in heights)
    assert in_words(found)


def test_a_distribution_without_edges_can_be_drawn() -> None:
    bare = Numeric(minimum=0, maximum=1, mean=0.5, std=0.1, edges=(), bin_counts=(5,))
    assert sparkline(bars(bare)) == "█"


def test_what_is_little_is_seen_and_what_is_nothing_is_blank() -> None:
    assert sparkline([0, 1, 10_000]) == " ▁█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""
    assert sparkline(range(9), is_ascii=True) == " .:-=+*#@"


def test_a_share_is_never_rounded_to_none_or_all() -> None:
    assert share(1, 10**6) == "< 0.1 %"
    assert share(999_999, 10**6) == "> 99.9 %"
    assert (share(0, 5), share(5, 5), share(0, 0)) == ("0 %", "100 %", "0 %")


def test_the_joint_distance_is_told_by_its_quantiles() -> None:
    joint = derive_reference({"x": RANDOM.normal(size=(2000, 3))}).joint
    assert joint is not None
    said = joint_in_words(joint)
    assert said.startswith(f"distance squared, over 3 features: 50 % within {joint.edges[0]:.4g}, ")
    assert said.endswith(f"99.99 % within {joint.edges[-1]:.4g}")
