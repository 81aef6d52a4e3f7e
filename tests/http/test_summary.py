"""Summaries over HTTP: what was just asked is counted, by whole hours or days."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.builders import PATIENCE_S, infer_body
from tests.http.world import World, check_problem


def lines(client: httpx.Client, **asked: str) -> list[dict[str, Any]]:
    answer = client.get("/audit/summary", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["lines"]
    return found


def counted(client: httpx.Client, **asked: str) -> dict[str, int]:
    """Sum what is counted of the model `guarded` by outcome, error, and rule."""
    counts: dict[str, int] = {}
    for line in lines(client, model="guarded", **asked):
        assert line["model"] == "guarded"
        found = {line["outcome"]: line["records"]}
        for aspect in ("errors", "violations", "flags", "observed"):
            found |= {f"{aspect} {name}": count for name, count in line[aspect].items()}
        for name, count in found.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def test_answers_and_refusals_are_counted_with_their_rules(
    world: World, client: httpx.Client
) -> None:
    before = counted(client)
    rows = [[1, 2, 3]] * 5
    for data in (rows, [[1, 99, 3], [1, 98, 3]], [[-1, 2, 3], [99, 2, 3]]):
        client.post("/v2/models/guarded/infer", json=infer_body(data))
    expected = {"answered": 2, "refused": 1, "errors range": 1, "violations range x": 1,
                "flags range x": 1}  # fmt: skip

    deadline = time.monotonic() + PATIENCE_S
    while True:
        after = counted(client)
        grown = {name: after[name] - before.get(name, 0) for name in after}
        if sum(grown.values()) >= sum(expected.values()) or time.monotonic() > deadline:
            break

    assert {name: count for name, count in grown.items() if count} == expected
    assert counted(client, by="hour") == after


def test_a_time_without_records_has_no_lines(client: httpx.Client) -> None:
    later = datetime.now(UTC) + timedelta(days=2)
    assert lines(client, **{"from": later.isoformat(), "to": later.isoformat()}) == []
    assert lines(client, to="0001-01-01T00:00:00Z") == []
    assert lines(client, model="nobody") == []


def test_a_summary_of_too_many_periods_is_refused(client: httpx.Client) -> None:
    asked = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T00:00:00Z"}
    for by in ("hour", "day"):
        check_problem(client.get("/audit/summary", params={**asked, "by": by}), 400)
    check_problem(client.get("/audit/summary", params={"by": "week"}), 400, "bad-request")
