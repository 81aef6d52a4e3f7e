"""Every error has one shape and a row in the one table; every route is described."""

import re
from collections.abc import Iterator

import httpx
import pytest

from gateway.app import HANDLERS
from gateway.errors import BodyTimeout, GatewayError, MethodNotAllowed, Overloaded
from gateway.http.problems import STATUSES, reply_to, reply_to_error
from gateway.protocol.refusal import SENTENCES, WITHHELD, Refusal
from registry.errors import RegistryError
from tests.http.test_access import TABLE, call
from tests.http.world import PROBLEM_TYPE, PROTOCOL_TYPE, World, check_problem, check_problem_body

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")


def slugs(root: type[Exception]) -> Iterator[str]:
    yield root.slug  # type: ignore[attr-defined]
    for child in root.__subclasses__():
        yield from slugs(child)


def test_the_table_has_every_fault_and_nothing_else() -> None:
    known = {*slugs(RegistryError), *slugs(GatewayError), *SENTENCES, WITHHELD, "internal-error"}

    assert set(STATUSES) == known


@pytest.mark.parametrize("code", sorted(STATUSES))
@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v2", PROTOCOL_TYPE),
        ("/v2/models/x", PROTOCOL_TYPE),
        ("/v20", PROBLEM_TYPE),
        ("/admin/keys", PROBLEM_TYPE),
    ],
)
def test_every_fault_has_every_member(code: str, path: str, content_type: str) -> None:
    reply = reply_to(Refusal(code, "What happened."), path)

    problem = check_problem_body(
        reply.status, reply.headers["content-type"], reply.body, content_type, code
    )
    assert problem["title"]


def test_an_unforeseen_exception_tells_nothing() -> None:
    reply = reply_to_error(RuntimeError("secret at /home/x/key.py"), "/v2/models/x/infer")

    check_problem_body(500, reply.headers["content-type"], reply.body, PROTOCOL_TYPE)
    assert b"secret" not in reply.body


def test_statuses_bring_the_headers_they_ask_for() -> None:
    assert reply_to_error(Overloaded(5), "/v2").headers["retry-after"] == "1"
    assert reply_to_error(MethodNotAllowed("POST"), "/v2").headers["allow"] == "POST"
    assert reply_to_error(BodyTimeout(1), "/v2").headers["connection"] == "close"


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/v2/nothing", "/v20", "/admin", "/audit", "/v2/models/a/b/c", "/%2e%2e/x"],
)
def test_an_unknown_route_is_not_found(client: httpx.Client, path: str) -> None:
    check_problem(client.get(path), 404, "not-found")


def test_a_method_that_a_route_lacks_is_answered_with_those_it_has(client: httpx.Client) -> None:
    for path in {path for _, path in TABLE}:
        taken = {method for method, other in TABLE if other == path}
        for method in set(METHODS) - taken:
            answer = call(client, method, path)
            check_problem(answer, 405, "method-not-allowed")
            allowed = set(answer.headers["allow"].replace(" ", "").split(","))
            assert taken <= allowed <= taken | {"OPTIONS"}, (method, path)


def test_head_has_no_body(client: httpx.Client) -> None:
    answer = client.head("/v2/models/linear/infer")

    assert (answer.status_code, answer.content) == (405, b"")


def test_a_trailing_slash_changes_nothing(client: httpx.Client) -> None:
    assert client.get("/v2/").json() == client.get("/v2").json()


def test_the_description_covers_every_route(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    for handler in HANDLERS:
        (path,) = handler.paths
        operations = document["paths"][re.sub(r":(str|int|path)}", "}", path)]
        (method,) = handler.http_methods
        function = getattr(handler.fn, "func", handler.fn)  # below the wrapper for threads
        first_line = (function.__doc__ or "").splitlines()[0]
        assert first_line
        assert operations[method.lower()]["description"].startswith(first_line)


def test_the_description_tells_the_errors_of_this_gateway(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    for path, operations in document["paths"].items():
        for operation in (o for o in operations.values() if isinstance(o, dict)):
            assert all(int(status) < 400 for status in operation["responses"].keys() - {"default"})
            ((content_type, content),) = operation["responses"]["default"]["content"].items()
            assert content_type == (PROTOCOL_TYPE if path.startswith("/v2") else PROBLEM_TYPE)
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_reference_of_the_description_leads_somewhere(client: httpx.Client) -> None:
    answer = client.get("/openapi.json")
    schemas = answer.json()["components"]["schemas"]

    references = set(re.findall(r'"\$ref":"([^"]+)"', answer.text))

    assert references == {f"#/components/schemas/{name}" for name in schemas}


def test_the_page_for_people_leads_to_the_description(world: World) -> None:
    with world.client("none") as stranger:
        answer = stranger.get("/docs")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in answer.text


def test_no_answer_names_a_secret(client: httpx.Client, world: World) -> None:
    for path in ("/admin/keys", "/admin/models", "/audit/records?limit=1000"):
        body = client.get(path).text
        assert not any(token in body for token in world.tokens.values())
    for key in client.get("/admin/keys").json():
        assert "digest" not in key
