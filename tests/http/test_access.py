"""Who may use which route: the whole table, held against the code and against a real gateway."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from gateway.app import HANDLERS
from gateway.http.access import check_access, roles_of
from gateway.http.docs import Documentation
from gateway.http.problems import answer_error
from gateway.loader import Loader
from gateway.roster import Roster
from gateway.runtime import Watchdog
from gateway.security import Keyring, Role, make_key
from registry.registry import Registry
from registry.times import now
from tests.http.world import World, check_problem

OPEN = None
READERS = {Role.INVOKER, Role.VIEWER}
FOLLOWERS = {Role.VIEWER, Role.DEPLOYER, Role.APPROVER, Role.AUDITOR, Role.ADMIN}
# The table of the design: method, route, and the roles that may use it; None needs no key.
TABLE: dict[tuple[str, str], set[Role] | None] = {
    ("GET", "/v2"): OPEN,
    ("GET", "/v2/health/live"): OPEN,
    ("GET", "/v2/health/ready"): OPEN,
    ("GET", "/v2/models"): READERS,
    ("GET", "/v2/models/{model}"): READERS,
    ("GET", "/v2/models/{model}/ready"): READERS,
    ("GET", "/v2/models/{model}/versions/{version}"): READERS,
    ("GET", "/v2/models/{model}/versions/{version}/ready"): READERS,
    ("POST", "/v2/models/{model}/infer"): {Role.INVOKER},
    ("POST", "/v2/models/{model}/versions/{version}/infer"): {Role.INVOKER},
    ("POST", "/admin/models/{model}/versions"): {Role.PUBLISHER},
    ("GET", "/admin/models"): {Role.VIEWER},
    ("GET", "/admin/models/{model}"): {Role.VIEWER},
    ("GET", "/admin/models/{model}/versions/{version}"): {Role.VIEWER},
    ("GET", "/admin/models/{model}/history"): {Role.VIEWER},
    ("POST", "/admin/models/{model}/promotions"): {Role.DEPLOYER},
    ("POST", "/admin/models/{model}/rollback"): {Role.DEPLOYER},
    ("PUT", "/admin/models/{model}/aliases/{alias}"): {Role.DEPLOYER},
    ("POST", "/admin/models/{model}/aliases/{alias}/remove"): {Role.DEPLOYER},
    ("POST", "/admin/models/{model}/versions/{version}/retire"): {Role.DEPLOYER},
    ("GET", "/admin/promotions"): FOLLOWERS,
    ("GET", "/admin/promotions/{promotion}"): FOLLOWERS,
    ("POST", "/admin/promotions/{promotion}/approve"): {Role.APPROVER},
    ("POST", "/admin/promotions/{promotion}/reject"): {Role.APPROVER},
    ("GET", "/admin/models/{model}/promotion-policy"): FOLLOWERS,
    ("PUT", "/admin/models/{model}/promotion-policy"): {Role.ADMIN},
    ("POST", "/admin/keys"): {Role.ADMIN},
    ("GET", "/admin/keys"): {Role.ADMIN},
    ("DELETE", "/admin/keys/{key_id}"): {Role.ADMIN},
    ("GET", "/admin/destinations"): {Role.VIEWER, Role.ADMIN},
    ("POST", "/admin/destinations"): {Role.ADMIN},
    ("DELETE", "/admin/destinations/{name}"): {Role.ADMIN},
    ("POST", "/admin/destinations/{name}/resume"): {Role.ADMIN},
    ("GET", "/admin/deliveries"): {Role.VIEWER, Role.ADMIN},
    ("POST", "/admin/deliveries/{number}/retry"): {Role.ADMIN},
    ("GET", "/audit/records"): {Role.AUDITOR},
    ("GET", "/audit/records/{record_id}"): {Role.AUDITOR},
    ("GET", "/audit/records/{record_id}/payload"): {Role.AUDITOR},
    ("POST", "/audit/erasures"): {Role.ADMIN},
    ("GET", "/admin/models/{model}/payload-policy"): {Role.VIEWER, Role.AUDITOR, Role.ADMIN},
    ("PUT", "/admin/models/{model}/payload-policy"): {Role.ADMIN},
    ("GET", "/admin/models/{model}/retention"): {Role.VIEWER, Role.AUDITOR, Role.ADMIN},
    ("PUT", "/admin/models/{model}/retention"): {Role.ADMIN},
    ("POST", "/admin/models/{model}/hold"): {Role.ADMIN},
    ("POST", "/admin/models/{model}/hold/lift"): {Role.ADMIN},
    ("GET", "/admin/models/{model}/drift"): FOLLOWERS,
    ("GET", "/admin/models/{model}/drift-policy"): FOLLOWERS,
    ("PUT", "/admin/models/{model}/drift-policy"): {Role.ADMIN},
    ("GET", "/admin/models/{model}/findings"): FOLLOWERS,
    ("POST", "/admin/models/{model}/findings/{finding}/close"): {Role.DEPLOYER},
    ("POST", "/v2/models/{model}/feedback"): {Role.INVOKER},
    ("GET", "/admin/models/{model}/truth"): FOLLOWERS,
    ("GET", "/admin/models/{model}/truth-policy"): FOLLOWERS,
    ("PUT", "/admin/models/{model}/truth-policy"): {Role.ADMIN},
    ("GET", "/audit/records/{record_id}/labels"): {Role.AUDITOR},
    ("POST", "/admin/models/{model}/rollouts"): {Role.DEPLOYER},
    ("GET", "/admin/models/{model}/rollouts"): FOLLOWERS,
    ("GET", "/admin/rollouts/{rollout}"): FOLLOWERS,
    ("GET", "/admin/rollouts/{rollout}/shadow"): FOLLOWERS,
    ("POST", "/admin/rollouts/{rollout}/pause"): {Role.DEPLOYER},
    ("POST", "/admin/rollouts/{rollout}/resume"): {Role.DEPLOYER},
    ("POST", "/admin/rollouts/{rollout}/abort"): {Role.DEPLOYER},
    ("GET", "/audit/summary"): {Role.AUDITOR},
    ("GET", "/audit/export"): {Role.AUDITOR},
    ("GET", "/audit/records/{record_id}/proof"): {Role.AUDITOR},
    ("GET", "/audit/checkpoint"): OPEN,
    ("GET", "/audit/vkey"): OPEN,
    ("GET", "/audit/vkeys"): OPEN,
    ("GET", "/audit/tile/{level}/{tile}"): OPEN,
    ("GET", "/audit/tile/entries/{tile}"): {Role.AUDITOR},
    ("GET", "/audit/consistency"): OPEN,
    ("POST", "/audit/records/{record_id}/replay"): {Role.AUDITOR},
    ("GET", "/audit/records/{record_id}/dossier"): {Role.AUDITOR},
    ("GET", "/metrics"): {Role.VIEWER},
    ("GET", "/v2/models/stats"): READERS,
    ("GET", "/v2/models/{model}/stats"): READERS,
    ("GET", "/v2/models/{model}/versions/{version}/stats"): READERS,
    ("GET", "/v2/models/{model}/config"): READERS,
    ("GET", "/v2/models/{model}/versions/{version}/config"): READERS,
    ("GET", "/v2/logging"): {Role.VIEWER, Role.ADMIN},
    ("POST", "/v2/logging"): {Role.ADMIN},
    ("GET", "/v2/trace/setting"): {Role.VIEWER, Role.ADMIN},
    ("POST", "/v2/trace/setting"): {Role.ADMIN},
    ("GET", "/v2/models/{model}/trace/setting"): {Role.VIEWER, Role.ADMIN},
    ("POST", "/v2/models/{model}/trace/setting"): {Role.ADMIN},
    ("GET", "/v2/docs"): OPEN,
    ("GET", "/v2/docs/dataplane.json"): OPEN,
    ("GET", "/v2/models/{model}/docs"): READERS,
    ("GET", "/v2/models/{model}/docs/dataplane.json"): READERS,
    ("GET", "/v2/models/{model}/versions/{version}/docs"): READERS,
    ("GET", "/v2/models/{model}/versions/{version}/docs/dataplane.json"): READERS,
    ("POST", "/v2/repository/index"): {Role.VIEWER, Role.DEPLOYER},
    # In this order, so that the model is in service again when its routes have been called.
    ("POST", "/v2/repository/models/{model}/unload"): {Role.DEPLOYER},
    ("POST", "/v2/repository/models/{model}/load"): {Role.DEPLOYER},
    ("GET", "/docs"): OPEN,
    ("GET", "/openapi.json"): OPEN,
}
INFERENCE = {route for route in TABLE if route[1].endswith("/infer")}
PLACES = {
    "{model}": "linear", "{version}": "1", "{key_id}": "key-none", "{record_id}": "none",
    "{finding}": "none", "{level}": "0", "{tile}": "000.p/1", "{name}": "none", "{number}": "1",
    "{rollout}": "none", "{promotion}": "none", "{alias}": "next",
}  # fmt: skip


def routes() -> Iterator[tuple[str, str, frozenset[Role] | None]]:
    """Walk what the framework serves: method, path and declared roles."""
    parts = (
        "settings", "registry", "loader", "log", "trail", "meter", "drift_gauges", "journal",
        "replay_desk", "rollout_gauges", "shadow_files", "shadow_gauges", "truth_desk",
    )  # fmt: skip
    provided = {part: Provide(lambda: None, sync_to_thread=False) for part in parts}
    handlers = [*HANDLERS, Documentation]
    for route in Litestar(handlers, dependencies=provided, openapi_config=None).routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in set(handler.http_methods) - {"OPTIONS"}:
                yield method, route.path_format, roles_of(handler)


def call(client: httpx.Client, method: str, path: str) -> httpx.Response:
    for place, value in PLACES.items():
        path = path.replace(place, value)
    return client.request(method, path)


def test_every_route_declares_the_roles_of_the_table() -> None:
    declared = {(method, path): roles for method, path, roles in routes()}

    assert declared == {route: TABLE[route] for route in TABLE.keys() - INFERENCE}


def test_the_running_gateway_describes_no_other_route(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    described = {
        (method.upper(), path)
        for path, operations in paths.items()
        for method in operations.keys() - {"parameters"}
    }

    assert described == TABLE.keys() - {("GET", "/docs"), ("GET", "/openapi.json")}


@pytest.mark.parametrize("role", list(Role))
def test_a_role_opens_its_routes_and_no_others(world: World, role: Role) -> None:
    with world.client(role.value) as client:
        for (method, path), roles in TABLE.items():
            answer = call(client, method, path)
            if roles is None or role in roles:
                assert answer.status_code not in (401, 403), (method, path)
            else:
                check_problem(answer, 403, "forbidden")


@pytest.mark.parametrize("key", ["none", "bad", "revoked", "expired"])
def test_without_a_valid_key_only_open_routes_answer(world: World, key: str) -> None:
    with world.client(key) as client:
        for (method, path), roles in TABLE.items():
            answer = call(client, method, path)
            if roles is None:
                assert answer.status_code == 200, (method, path)
            else:
                check_problem(answer, 401, "unauthenticated")
                assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "authorization",
    [b"", b"Bearer", b"Basic dTpw", b"bearer \xff\xfe", b"Bearer " + b"x" * 8000],
)
def test_a_malformed_authorization_is_no_key(client: httpx.Client, authorization: bytes) -> None:
    for method, path in (("GET", "/admin/models"), ("POST", "/v2/models/linear/infer")):
        answer = client.request(method, path, headers={b"authorization": authorization})
        check_problem(answer, 401, "unauthenticated")


def test_options_tells_a_stranger_nothing_but_methods(world: World) -> None:
    with world.client("none") as client:
        for path in sorted({path for _, path in TABLE}):
            answer = call(client, "OPTIONS", path)
            if answer.status_code == 204:
                assert answer.content == b""
            else:
                check_problem(answer, 405 if path.endswith("/infer") else 401)


def test_a_route_that_declares_no_roles_is_closed(registry: Registry, tmp_path: Path) -> None:
    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return "secret"

    key, token = make_key(name="all", roles=list(Role), author="tests", created=now())
    watchdog = Watchdog(1)
    loader = Loader(worker="w", registry=registry, watchdog=watchdog, poll_s=1)
    loader.roster = Roster(generation=0, models={}, keyring=Keyring([key]), failures={})
    app = Litestar(
        [forgotten],
        guards=[check_access],
        exception_handlers={Exception: answer_error},
        state=State({"loader": loader}),
        openapi_config=None,
    )
    with TestClient(app) as client:
        check_problem(client.get("/forgotten"), 401, "unauthenticated")
        answer = client.get("/forgotten", headers={"authorization": f"Bearer {token}"})
        check_problem(answer, 403, "forbidden")
    watchdog.close()
