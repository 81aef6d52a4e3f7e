"""A key that hides what would be accepted, over HTTP: in refusals, and in what is served."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.builders import PATIENCE_S, infer_body
from tests.http.world import World

BAD = infer_body([[99, 2, 3]])


@pytest.fixture
def hidden(world: World, client: httpx.Client) -> Iterator[httpx.Client]:
    """A client whose key hides what would be accepted, once every worker knows it."""
    key = {"name": "partner", "roles": ["invoker"], "hide_expected": True}
    made = client.post("/admin/keys", json=key).raise_for_status().json()
    assert made["key"]["hide_expected"] is True
    deadline = time.monotonic() + PATIENCE_S
    with world.gateway.client(made["token"]) as hidden:
        while hidden.get("/v2/models").status_code == 401 and time.monotonic() < deadline:
            time.sleep(0.02)
        yield hidden


def test_a_refusal_and_the_configuration_do_not_tell_it(
    hidden: httpx.Client, client: httpx.Client
) -> None:
    refused = hidden.post("/v2/models/guarded/infer", json=BAD)
    told = client.post("/v2/models/guarded/infer", json=BAD)

    assert (refused.status_code, told.status_code) == (400, 400)
    [violation] = refused.json()["violations"]
    assert violation == {"input": "x", "rule": "range", "row": 0, "column": 0}
    assert "expected" not in refused.text
    assert "expected between 0 and 10" in told.json()["detail"]
    assert hidden.get("/v2/models/guarded/config").json()["contract"] is None
    assert client.get("/v2/models/guarded/config").json()["contract"]["rules"]
