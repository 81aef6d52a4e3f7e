"""Whatever a caller sends, it is refused in the one shape, and nothing else happens.

The table names 38 kinds of bad input. Each has its cases, and each case is followed by a look
whether the gateway lives, on the same connection and on another.
"""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.http.hostile import BODIES, Hostile
from tests.http.hostile_forms import FORMS
from tests.http.hostile_framing import FRAMING, HEADS, SILENT, SLOW_BODIES, SLOW_HEADS
from tests.http.test_inference import newest_record
from tests.http.wire import Wire
from tests.http.world import PROTOCOL_TYPE, World, check_problem_body, unforeseen

ROWS = {
    1: "JSON that is cut off, or is no request",
    2: "no body",
    3: "NaN and Infinity, which JSON does not have",
    4: "a number too large for its datatype",
    5: "an integer of thousands of digits",
    6: "a value of another kind than the datatype",
    7: "a hundred thousand levels of nesting, and 65",
    8: "bytes that are no UTF-8",
    9: "a lone surrogate; a byte order mark",
    10: "a key twice",
    11: "a member that the protocol does not name: passed over",
    12: "two inputs of one name",
    13: "a shape whose elements overflow 64 bits",
    14: "a shape whose bytes overflow 64 bits",
    15: "a shape that is none",
    16: "data of another shape than given",
    17: "a shape that is not the model's",
    18: "a datatype that does not exist, or is not the model's",
    19: "an input missing, or one too many; members of the wrong type",
    20: "a model's name that climbs out of its folder",
    21: "a model's name with control characters",
    22: "a model's name that is no text, or looks like another",
    23: "a name of 8,000 characters; a version that is no number",
    24: "a version that exists and is not served, or does not exist",
    25: "outputs twice, unknown, or a hundred thousand",
    26: "texts whose lengths lie",
    27: "texts for numbers; ten million texts",
    28: "a length of the JSON part that lies",
    29: "a size of an input's bytes that lies",
    30: "a length and chunks together",
    31: "two lengths, a length that is none, an unknown coding, no HTTP at all",
    32: "a malformed chunk",
    33: "a million chunks; chunks without end",
    34: "a length over the limit, and no body",
    35: "a body that unpacks to far more; an unknown encoding",
    36: "a type that is neither JSON nor bytes",
    37: "a head too large; no host, or two",
    38: "a head, a body or a connection that makes others wait",
}
EVERYWHERE = [*BODIES, *FORMS, *FRAMING, *SLOW_BODIES]
# Held by `test_wire_limits.py`.
BY_PROTOCOL_CLASS = [*HEADS, *SLOW_HEADS, *SILENT]
CHEAP = [hostile for hostile in EVERYWHERE if hostile.is_cheap]
COSTLY = [hostile for hostile in EVERYWHERE if not hostile.is_cheap]
ROUNDS = 100
COSTLY_ROUNDS = 2
WARM_ROUNDS = 2  # until the allocator holds what one round needs at its height
CONNECTIONS = 8
MOST_GROWTH_BYTES = 8 << 20


def play(world: World, hostile: Hostile) -> None:
    """Send one request on a connection of its own, and hold what becomes of it to its row."""
    with Wire(world) as wire:
        answer = wire.play(hostile)
        if answer is not None:
            assert answer.status == hostile.status, answer
        if answer is not None and hostile.code is not None:
            check_problem_body(
                hostile.status, answer.content_type, answer.body, PROTOCOL_TYPE, hostile.code
            )
        if hostile.ends:
            assert wire.is_closed()
        elif hostile.ends is not None:
            wire.check_alive()


def name_of(hostile: Hostile) -> str:
    return f"{hostile.row}: {hostile.name[:40]}"


def test_every_row_of_the_table_has_cases() -> None:
    assert {hostile.row for hostile in [*EVERYWHERE, *BY_PROTOCOL_CLASS]} == set(ROWS)
    assert list(ROWS) == list(range(1, 39))


@pytest.mark.parametrize("hostile", EVERYWHERE, ids=name_of)
def test_a_hostile_request_gets_its_refusal_and_harms_nobody(
    world: World, client: httpx.Client, hostile: Hostile
) -> None:
    play(world, hostile)

    if hostile.is_recorded:
        record = newest_record(client, kind="inference")
        assert (record["outcome"], record["error"]) == ("refused", hostile.code)
    with Wire(world) as wire:
        wire.check_alive()
    assert unforeseen(world.gateway) == []


@pytest.mark.parametrize(
    "costly_rounds", [COSTLY_ROUNDS, pytest.param(ROUNDS, marks=pytest.mark.torture)]
)
def test_a_hundred_rounds_leave_no_memory_behind(world: World, costly_rounds: int) -> None:
    play_rounds(world, WARM_ROUNDS, WARM_ROUNDS)
    before = world.memory_bytes()

    play_rounds(world, ROUNDS, costly_rounds)

    assert world.memory_bytes() - before <= MOST_GROWTH_BYTES
    assert unforeseen(world.gateway) == []


def play_rounds(world: World, cheap: int, costly: int) -> None:
    for _ in range(costly):
        play_all(world, COSTLY)
    for _ in range(cheap):
        play_all(world, CHEAP)


def play_all(world: World, hostiles: list[Hostile]) -> None:
    """Send requests one behind the other where they leave the connection open, else alone.

    Those whose bodies are waited for are sent together.

    On several connections at a time, their records are on disk sooner.
    """
    lasting = [hostile for hostile in hostiles if hostile.ends is False]
    shares = [(Wire(world), lasting[n::CONNECTIONS]) for n in range(CONNECTIONS)]
    for wire, share in shares:
        wire.send(b"".join(hostile.to_bytes(wire.token) for hostile in share))
    for wire, share in shares:
        assert [wire.read().status for _ in share] == [hostile.status for hostile in share]
        wire.close()
    alone = [hostile for hostile in hostiles if hostile.ends is not False]
    with ThreadPoolExecutor(len(SLOW_BODIES)) as pool:
        waiting = [pool.submit(play_alone, world, one) for one in alone if one in SLOW_BODIES]
        for hostile in alone:
            if hostile not in SLOW_BODIES:
                play_alone(world, hostile)
        for one in waiting:
            one.result()


def play_alone(world: World, hostile: Hostile) -> None:
    with Wire(world) as wire:
        answer = wire.play(hostile)
        assert answer is not None
        assert answer.status == hostile.status
