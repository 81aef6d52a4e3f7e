import random

import pytest

from gateway.trace_context import TraceContext, parse_traceparent

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FINE = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (FINE, True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-02", False),
        (f"00-{TRACE}-{PARENT}-ff", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-will-be", True),
    ],
)
def test_a_well_formed_header_names_trace_and_parent(header: str, is_sampled: bool) -> None:
    assert parse_traceparent(header) == TraceContext(TRACE, PARENT, is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "-", FINE + "-", FINE + "-x", FINE + " ", " " + FINE, FINE.upper(), FINE + "\n",
        f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{PARENT}-01", f"00-{TRACE}-{PARENT}0-01", f"00-{TRACE}-{PARENT}-1",
        f"cc-{TRACE}-{PARENT}-01.x", f"0-{TRACE}-{PARENT}-01", f"00_{TRACE}_{PARENT}_01",
        f"00-{TRACE}-{PARENT}-0g", f"00-{'٣' * 32}-{PARENT}-01", FINE + "," + FINE,
    ],
)  # fmt: skip
def test_a_malformed_header_is_none(header: str | None) -> None:
    assert parse_traceparent(header) is None


def test_no_change_of_one_character_is_misread() -> None:
    rng = random.Random(11)
    for _ in range(2000):
        at = rng.randrange(len(FINE))
        text = FINE[:at] + rng.choice("0123456789abcdefgXYZ- \x00é") + FINE[at + 1 :]
        found = parse_traceparent(text)
        assert found is None or (found.trace_id, found.parent_id) == (text[3:35], text[36:52])
