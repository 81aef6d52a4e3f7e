"""What becomes of a caller's key where a request fails."""

from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.testing import TestClient

from gateway.http.once import SHOWS_SECRET, Once
from gateway.http.problems import answer_error
from gateway.security import Role, make_key
from registry.errors import StoreUnavailable
from registry.registry import Registry
from registry.times import now

KEY, _ = make_key(name="k", roles=[Role.ADMIN], author="a test", created=now())
HEADERS = {"idempotency-key": "one"}


class Calls:
    """Counts how often something was done, and fails as it is told."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    def do(self) -> dict[str, int]:
        self.count += 1
        if self.error is not None:
            raise self.error
        return {"count": self.count}


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def client(registry: Registry, calls: Calls) -> Iterator[TestClient[Any]]:
    @post("/admin/do", sync_to_thread=False)
    def do() -> dict[str, int]:
        return calls.do()

    @post("/admin/show", sync_to_thread=False, opt=SHOWS_SECRET)
    def show() -> dict[str, int]:
        return calls.do()

    @post("/v2/do", sync_to_thread=False)
    def elsewhere() -> dict[str, int]:
        return calls.do()

    def let_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        connection.state.key = KEY

    once = Once(registry.store)
    app = Litestar(
        [do, show, elsewhere],
        guards=[let_in],
        before_request=once.begin,
        exception_handlers={Exception: answer_error},
        openapi_config=None,
        logging_config=None,
    )
    with TestClient(once.over(app)) as client:  # type: ignore[type-var]
        yield client


def test_what_is_not_there_now_may_be_asked_for_again(
    client: TestClient[Any], calls: Calls
) -> None:
    calls.error = StoreUnavailable("busy")
    assert client.post("/admin/do", headers=HEADERS).status_code == 503
    calls.error = None

    assert client.post("/admin/do", headers=HEADERS).json() == {"count": 2}
    assert client.post("/admin/do", headers=HEADERS).json() == {"count": 2}
    assert calls.count == 2


def test_what_nobody_knows_the_end_of_is_not_done_again(
    client: TestClient[Any], calls: Calls
) -> None:
    calls.error = RuntimeError("who knows")
    assert client.post("/admin/do", headers=HEADERS).status_code == 500
    calls.error = None

    again = client.post("/admin/do", headers=HEADERS)

    assert (again.status_code, again.json()["code"]) == (409, "idempotency-key-busy")
    assert calls.count == 1


def test_a_secret_is_shown_once_and_not_kept(client: TestClient[Any], calls: Calls) -> None:
    assert client.post("/admin/show", headers=HEADERS).json() == {"count": 1}

    again = client.post("/admin/show", headers=HEADERS)

    assert (again.status_code, calls.count) == (409, 1)


def test_a_key_says_nothing_outside_of_admin_and_none_is_needed(
    client: TestClient[Any], calls: Calls
) -> None:
    for path, headers in (("/v2/do", HEADERS), ("/admin/do", {})):
        client.post(path, headers=headers)
        client.post(path, headers=headers)

    assert calls.count == 4
