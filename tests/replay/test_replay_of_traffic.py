"""Everything that was answered can be answered again, bit for bit.

Eight kinds of model are asked through a real gateway by many callers at once, in JSON and in
binary, so that requests run together; then every record is replayed.
"""

import http.client
import threading
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest

from gateway.protocol.response import json_tensor
from gateway.replay.asking import Asking
from gateway.replay.engines import Sessions
from gateway.replay.summary import Summary, summarise
from gateway.replay.what_if import as_body
from registry.audit.query import AuditTrail
from registry.records import RecordFilter
from registry.registry import Registry
from tests.builders import Gateway, add_key, publish, serving
from tests.replay.kinds import Kind, make_kinds

CALLERS = 32
MOST_ROWS = 64


def test_every_bit_of_400_mixed_answers_is_computed_again(
    tmp_path: Path, registry: Registry
) -> None:
    replay_traffic(tmp_path, registry, requests=400)


@pytest.mark.torture
def test_every_bit_of_10_000_mixed_answers_is_computed_again(
    tmp_path: Path, registry: Registry
) -> None:
    replay_traffic(tmp_path, registry, requests=10_000)


def replay_traffic(data_dir: Path, registry: Registry, *, requests: int) -> None:
    kinds = make_kinds()
    for name, kind in kinds.items():
        publish(registry, name, kind.artifact)
    token = add_key(registry)
    with serving(data_dir, "--queue-limit", "30") as gateway:
        ask_all(gateway, token, kinds, requests)

    trail = AuditTrail(registry.store, data_dir / "journal")
    engine = Sessions(registry.artifacts, 10)
    asking = Asking(registry, trail, engine)
    summaries: dict[str, Summary] = {
        name: summarise(asking.ask_all(RecordFilter(model=name), limit=None)) for name in kinds
    }
    engine.close()

    each = {"identical": requests // len(kinds)}
    for name, summary in summaries.items():
        assert (name, summary.worst, summary.results) == (name, (), each)
    assert ran_together(trail) > requests // 20


def ask_all(gateway: Gateway, token: str, kinds: dict[str, Kind], requests: int) -> None:
    """Ask each kind as often as the others, by many callers at once; fail unless all answer 200."""
    names = list(kinds)
    bodies = [make_body(kinds[names[i % len(names)]], seed=i) for i in range(requests)]
    statuses: list[int] = []

    def call(first: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=60)
        for number in range(first, requests, CALLERS):
            body, head = bodies[number]
            headers = {"authorization": f"Bearer {token}"}
            if head is not None:
                headers["inference-header-content-length"] = str(head)
            path = f"/v2/models/{names[number % len(names)]}/infer"
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()

    callers = [threading.Thread(target=call, args=(first,)) for first in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert statuses == [200] * requests


def make_body(kind: Kind, seed: int) -> tuple[bytes, int | None]:
    """Write one request, JSON or binary; some ask for one output alone."""
    random = np.random.default_rng(seed)
    rows = int(random.choice([1, 1, 1, 2, 5, 17, MOST_ROWS]))
    inputs = kind.inputs(random, rows)
    body, length = as_body(inputs)
    if random.random() < 0.5:
        body = msgspec.json.encode({"inputs": [json_tensor(n, t) for n, t in inputs.items()]})
        length = len(body)
        is_json = True
    else:
        is_json = False
    if random.random() < 0.2:
        wanted = msgspec.json.encode([{"name": kind.outputs[-1]}])
        head = body[: length - 1] + b',"outputs":' + wanted + b"}"
        body, length = head + body[length:], len(head)
    return body, None if is_json else length


def ran_together(trail: AuditTrail) -> int:
    """Count the records of requests that ran in a batch with others."""
    count, cursor = 0, None
    while True:
        page = trail.find(RecordFilter(), limit=1000, cursor=cursor)
        count += sum((f.record.batch or 0) > (f.record.rows or 0) for f in page.records)
        cursor = page.cursor
        if cursor is None:
            return count
