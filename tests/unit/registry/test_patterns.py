"""Patterns of contracts: the language that Python gives them, in time linear in the text."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.patterns import BadPattern, Pattern

LETTERS = "ab1 é\n"
ATOMS = st.sampled_from(
    ["a", "b", "1", "é", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", "[ab]", "[^a1]", r"[\d\s]",
     "[^\\d]", "[a-c1-9]", r"\x61"]
)  # fmt: skip
REPEATS = st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,3}", "{2,}", "*?", "+?"])


def sequences(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    item = st.tuples(ATOMS | inner.map("({})".format) | inner.map("(?:{})".format), REPEATS)
    sequence = st.lists(item.map("".join), max_size=4).map("".join)
    return st.lists(sequence, min_size=1, max_size=3).map("|".join)


PATTERNS = st.recursive(st.just("a"), sequences, max_leaves=6)


@given(PATTERNS, st.lists(st.text(LETTERS, max_size=6), min_size=1, max_size=30))
def test_a_text_fits_where_python_finds_that_it_does(pattern: str, texts: list[str]) -> None:
    ours = Pattern(pattern)
    for text in texts:
        assert ours.fits(text) == (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a|a)*b", "a*a*a*a*a*b", "(.*)(.*)(.*)(.*)x", "(a?){200}a{200}", "(a|b|ab)*c"],
)
def test_no_text_keeps_a_pattern_busy(pattern: str) -> None:
    ours = Pattern(pattern)
    started = time.process_time()

    ours.fits("ab" * 50_000)
    ours.fits("a" * 100_000)

    assert time.process_time() - started < 10


def test_what_is_kept_of_a_pattern_has_an_end() -> None:
    ours = Pattern("(.|x)*y?")
    for start in range(0, 60_000, 1000):
        assert ours.fits("".join(map(chr, range(0x10000 + start, 0x10000 + start + 1000))))
        assert ours._kept <= 10_000
        assert sum(map(len, ours._states.values())) <= 10_000


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("[", "no regular expression"),
        ("(?i)a", "flags"),
        ("(?i:a)", "flags"),
        ("^a$", "anchors"),
        (r"\bfoo", "anchors"),
        ("a(?=b)", "looking around"),
        ("(?<!a)b", "looking around"),
        (r"(a)\1", "references"),
        ("a++", "possessive"),
        ("(?>a)", "possessive"),
        ("a{501}", "beyond 500"),
        ("a{2,999}", "beyond 500"),
        ("(a{100}){9}", "more than 500 characters"),
        ("((){400}){400}", "within repeats"),
        ("a" * 1001, "more than 1,000"),
        ("(" * 500 + ")" * 500, "no regular expression"),
    ],
)
def test_what_goes_beyond_the_subset_is_refused(pattern: str, says: str) -> None:
    with pytest.raises(BadPattern, match=says):
        Pattern(pattern)
