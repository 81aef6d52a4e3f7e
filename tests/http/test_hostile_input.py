"""Whatever body or name a caller sends, it is refused in the one shape and nothing else happens."""

import zlib

import httpx
import pytest

from tests.http.hostile import BODIES, CHEAP, FINE, Hostile
from tests.http.test_inference import newest_record
from tests.http.wire import Wire
from tests.http.world import (
    BODY_LIMIT,
    PROTOCOL_TYPE,
    World,
    check_alive,
    check_problem,
    check_problem_body,
    unforeseen,
)

ROUNDS = 30
MOST_GROWTH_BYTES = 8 << 20
HOSTILE_NAMES = [
    b"../../etc/passwd",
    b"..%2f..%2fetc%2fpasswd",
    b"%2e%2e%2f",
    b"%2e%2e",
    b"..%5c..%5c",
    b"%2fetc%2fpasswd",
    b"%00",
    b"linear%00",
    b"linear%0a",
    b"linear%20",
    b"%ff",
    b"%ed%a0%80",
    b"%e2%80%aeraenil",
    b"%",
    b"%zz",
    b"stats",
    b"LINEAR",
    b"l%D1%96near",
    b"'%20or%201=1--",
    b"x" * 8000,
]
HOSTILE_VERSIONS = ["01", "-1", "0", "9e9", "1.0", "+1", "1%20", "%EF%BC%91", "x", "9" * 30]


def post(client: httpx.Client, hostile: Hostile) -> httpx.Response:
    return client.post(f"/v2/models/{hostile.model}/infer", content=hostile.body)


@pytest.mark.parametrize("hostile", BODIES, ids=lambda hostile: hostile.name[:40])
def test_a_hostile_body_is_refused_and_recorded(client: httpx.Client, hostile: Hostile) -> None:
    answer = post(client, hostile)

    problem = check_problem(answer, 400, hostile.code)
    record = newest_record(client)
    assert record["id"] == problem["record_id"]
    assert (record["outcome"], record["error"]) == ("refused", hostile.code)
    check_alive(client)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: name[:20].decode())
def test_a_hostile_model_name_is_not_found(world: World, name: bytes) -> None:
    for route in (b"/v2/models/%s/infer", b"/v2/models/%s/versions/1/infer"):
        with Wire(world) as wire:
            wire.post(route % name, FINE)
            answer = wire.read()
            check_problem_body(404, answer.content_type, answer.body, PROTOCOL_TYPE, "not-found")
            wire.check_alive()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"caf\xc3\xa9"])
def test_bytes_that_no_address_has_are_refused_by_the_server(world: World, name: bytes) -> None:
    with Wire(world) as wire:
        wire.post(b"/v2/models/%s/infer" % name, FINE)
        assert wire.read().status in (400, 404)
    with Wire(world) as wire:
        wire.check_alive()


@pytest.mark.parametrize("version", HOSTILE_VERSIONS)
def test_a_hostile_version_is_not_found(client: httpx.Client, version: str) -> None:
    path = f"/v2/models/linear/versions/{version}"

    check_problem(client.post(f"{path}/infer", content=FINE), 404, "not-found")
    check_problem(client.get(path), 404, "not-found")


def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(world: World) -> None:
    with world.client() as client:
        answer = client.post("/v2/models/linear/infer", content=b" " * (BODY_LIMIT + 1))
        check_problem(answer, 413, "body-too-large")
        check_alive(client)
        # A body of exactly the limit is looked at.
        answer = client.post("/v2/models/linear/infer", content=b" " * BODY_LIMIT)
        check_problem(answer, 400, "empty-body")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-encoding": "gzip"}, 400, "malformed-encoding"),
        ({"content-encoding": "deflate"}, 400, "malformed-encoding"),
        ({"content-encoding": "deflate, gzip"}, 415, "unsupported-encoding"),
        ({"content-encoding": "br"}, 415, "unsupported-encoding"),
        ({"content-encoding": ""}, 415, "unsupported-encoding"),
        ({"inference-header-content-length": "99999999999"}, 400, "bad-binary-header"),
        ({"inference-header-content-length": "-1"}, 400, "bad-binary-header"),
        ({"inference-header-content-length": "abc"}, 400, "bad-binary-header"),
        ({"inference-header-content-length": ""}, 400, "bad-binary-header"),
        ({"inference-header-content-length": "9" * 5000}, 400, "bad-binary-header"),
        ({"inference-header-content-length": str(len(FINE) + 1)}, 400, "bad-binary-header"),
        ({"inference-header-content-length": str(len(FINE) - 1)}, 400, "malformed-json"),
        ({"inference-header-content-length": "0"}, 400, "bad-binary-size"),
    ],
)
def test_a_header_that_the_body_does_not_keep_is_refused(
    client: httpx.Client, headers: dict[str, str], status: int, code: str
) -> None:
    answer = client.post("/v2/models/linear/infer", content=FINE, headers=headers)

    check_problem(answer, status, code)
    check_alive(client)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_unpacks_beyond_the_limit_costs_no_more_than_the_limit(
    world: World, client: httpx.Client, encoding: str
) -> None:
    packing = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packing.compress(bytes(1 << 24)) for _ in range(64)) + packing.flush()
    headers = {"content-encoding": encoding}
    assert len(bomb) < 2 * BODY_LIMIT
    bomb = bomb[:BODY_LIMIT]  # cut off, which nobody gets to see
    check_problem(
        client.post("/v2/models/linear/infer", content=bomb, headers=headers), 413, "body-too-large"
    )
    before = world.memory_bytes()

    for _ in range(20):
        answer = client.post("/v2/models/linear/infer", content=bomb, headers=headers)
        check_problem(answer, 413, "body-too-large")

    assert world.memory_bytes() - before < MOST_GROWTH_BYTES
    check_alive(client)


def test_the_identity_encoding_is_no_encoding(client: httpx.Client) -> None:
    headers = {"content-encoding": "Identity"}

    answer = client.post("/v2/models/linear/infer", content=FINE, headers=headers)

    assert answer.status_code == 200


def test_hostile_bodies_leave_no_memory_behind(world: World, client: httpx.Client) -> None:
    for hostile in BODIES:
        post(client, hostile)
    before = world.memory_bytes()

    for _ in range(ROUNDS):
        for hostile in CHEAP:
            assert post(client, hostile).status_code == 400

    assert world.memory_bytes() - before < MOST_GROWTH_BYTES


def test_nothing_that_was_sent_was_unforeseen(world: World, client: httpx.Client) -> None:
    check_alive(client)

    assert unforeseen(world.gateway) == []
