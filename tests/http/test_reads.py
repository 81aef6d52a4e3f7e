"""Whoever reads audit data leaves a record of it, and none is given before that record is safe."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from litestar import Litestar, get
from litestar.datastructures import State

from gateway.http.access import check_access, open_to
from gateway.http.problems import answer_error
from gateway.http.reads import answer_recorded
from gateway.journal import Journal
from gateway.roster import Roster
from gateway.security import Keyring, Role, make_key
from registry.audit.query import AuditTrail
from registry.audit.segment import Group, list_segments, read_groups
from registry.entry import decode_record
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.times import now
from tests.builders import infer_body
from tests.http.world import World, check_problem_body


def reads(world: World, since_id: str) -> list[AuditRecord]:
    """Return the records of reads after another, oldest first, from the files themselves."""
    trail = AuditTrail(world.registry.store, world.gateway.data_dir / "journal")
    page = trail.find(RecordFilter(kind=Kind.READ), limit=1000)
    return [one.record for one in reversed(page.records) if one.record.id > since_id]


def an_inference(client: httpx.Client) -> str:
    answer = client.post("/v2/models/linear/infer", json=infer_body([[1, 2, 3]]))
    return str(answer.json()["parameters"]["record_id"])


def test_each_read_says_who_read_what_by_which_route(world: World, client: httpx.Client) -> None:
    record_id = an_inference(client)
    asked = [
        ("/audit/records", f"?request_id={quote('a b')}&limit=3", 0),
        ("/audit/records", "?model=linear&limit=1", 1),
        ("/audit/records/{record_id}", "", 1),
        ("/audit/records/{record_id}/payload", "", 1),
    ]
    with world.client("auditor") as auditor:
        for route, query, _ in asked:
            answer = auditor.get(route.format(record_id=record_id) + query)
            assert answer.status_code == 200

    found = reads(world, record_id)
    [key] = [key for key in world.registry.store.api_keys() if key.roles == (Role.AUDITOR,)]
    assert [(one.action, one.subject, one.rows) for one in found] == [
        (f"GET {route}", route.format(record_id=record_id) + query, rows)
        for route, query, rows in asked
    ]
    assert {(one.principal, one.source, one.outcome) for one in found} == {
        (key.id, "127.0.0.1", Outcome.ANSWERED)
    }


def test_who_is_refused_or_reads_nothing_of_the_audit_leaves_no_read(
    world: World, client: httpx.Client
) -> None:
    record_id = an_inference(client)
    with world.client("viewer") as viewer, world.client("none") as stranger:
        for other in (viewer, stranger):
            assert other.get(f"/audit/records/{record_id}").status_code in (401, 403)
    assert client.get("/audit/records/nowhere").status_code == 404
    assert client.get("/audit/records?limit=0").status_code == 400
    assert client.get("/admin/keys").status_code == 200

    assert reads(world, record_id) == []


def test_the_longest_question_still_fits_into_a_leaf(world: World, client: httpx.Client) -> None:
    record_id = an_inference(client)
    assert client.get("/audit/records?request_id=" + "x" * 30_000).status_code == 200

    [read] = reads(world, record_id)
    assert read.subject is not None
    assert read.subject.startswith("/audit/records?request_id=xxx")
    assert len(read.subject) == 2_000


@get("/audit/secret", opt=open_to(Role.AUDITOR), sync_to_thread=False)
def secret() -> str:
    return "secret"


async def ask(journal: Journal) -> list[dict[str, Any]]:
    """Ask for the secret as an auditor, and return what is sent."""
    key, token = make_key(name="a", roles=(Role.AUDITOR,), author="tests", created=now())
    roster = Roster(generation=0, models={}, keyring=Keyring([key]), failures={})

    app = Litestar(
        [secret],
        guards=[check_access],
        exception_handlers={Exception: answer_error},
        state=State({"loader": SimpleNamespace(roster=roster)}),
        openapi_config=None,
    )
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/audit/secret", "raw_path": b"/audit/secret", "root_path": "",
        "query_string": b"", "headers": [(b"authorization", b"Bearer " + token.encode())],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        leaves = [
            entry.leaf
            for path in list_segments(journal._directory)
            for group in read_groups(path)
            if isinstance(group, Group)
            for entry in group.entries
        ]
        sent.append({**message, "on disk": [decode_record(leaf).action for leaf in leaves]})

    await answer_recorded(app, journal, scope, receive, send)
    return sent


def test_nothing_is_sent_before_the_record_is_on_disk(tmp_path: Path) -> None:
    async def go() -> list[dict[str, Any]]:
        journal = Journal(tmp_path, on_broken=pytest.fail)
        sent = await ask(journal)
        await journal.close()
        return sent

    sent = asyncio.run(go())

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["on disk"] == ["GET /audit/secret"]
    assert sent[1]["body"] == b"secret"


def test_what_cannot_be_recorded_is_not_given(tmp_path: Path) -> None:
    async def go() -> list[dict[str, Any]]:
        journal = Journal(tmp_path, on_broken=pytest.fail)
        await journal.close()
        return await ask(journal)

    start, body = asyncio.run(go())

    assert start["status"] == 503
    assert b"secret" not in msgspec.json.encode(body["body"].decode())
    headers = dict(start["headers"])
    check_problem_body(
        503,
        headers[b"content-type"].decode(),
        body["body"],
        "application/problem+json",
        "journal-unavailable",
    )
