"""Callers that remember every answer they got, and look for each of them in the audit trail."""

import http.client
import itertools
import json
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Self
from urllib.parse import urlsplit

from registry.audit.query import AuditTrail
from registry.entry import commit
from registry.errors import NotFound
from registry.records import RecordFilter
from tests.builders import PATIENCE_S, infer_body

CALLERS = 8
_COUNTER = itertools.count()


class Callers:
    """Threads that ask without a pause; `acknowledged` maps record ids to request ids.

    `answered_after_refusal` counts answers over a connection on which a request had been refused
    before: they come from one worker that refused for want of a record, and answered again.
    """

    def __init__(self, url: str, token: str, model: str, threads: int = CALLERS) -> None:
        self.acknowledged: dict[str, str] = {}
        self.unexpected: list[tuple[int, bytes]] = []
        self.refused = 0
        self.answered_after_refusal = 0
        self._address = urlsplit(url).netloc
        self._path = f"/v2/models/{model}/infer"
        self._headers = {"authorization": f"Bearer {token}"}
        self._stopped = threading.Event()
        self._replied = threading.Condition()
        self._threads = [threading.Thread(target=self._call) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, count: int) -> None:
        """Return when this many more requests were acknowledged; fail if they are not in time."""
        wanted = len(self.acknowledged) + count
        self._wait_until(lambda: len(self.acknowledged) >= wanted)

    def wait_for_refusals(self, count: int) -> None:
        """Return when this many more requests were refused with 503; fail if late."""
        wanted = self.refused + count
        self._wait_until(lambda: self.refused >= wanted)

    def _wait_until(self, claim: Callable[[], bool]) -> None:
        with self._replied:
            assert self._replied.wait_for(claim, PATIENCE_S)

    def _call(self) -> None:
        while not self._stopped.is_set():
            with closing(
                http.client.HTTPConnection(self._address, timeout=PATIENCE_S)
            ) as connection:
                try:
                    self._ask_until_stopped(connection)
                except (OSError, http.client.HTTPException):
                    continue  # the process at the other end was killed: nothing was acknowledged

    def _ask_until_stopped(self, connection: http.client.HTTPConnection) -> None:
        is_refused = False
        while not self._stopped.is_set():
            request_id = f"request-{next(_COUNTER)}"
            body = json.dumps({"id": request_id, **infer_body([[1.0, 2.0, 3.0]])})
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            answer = response.read()
            with self._replied:
                if response.status == 200:
                    self.acknowledged[response.headers["x-record-id"]] = request_id
                    self.answered_after_refusal += is_refused
                elif response.status == 503:
                    self.refused += 1
                    is_refused = True
                else:
                    self.unexpected.append((response.status, answer))
                self._replied.notify_all()


def lost_records(trail: AuditTrail, acknowledged: dict[str, str]) -> list[str]:
    """Return the acknowledged records that the audit trail does not hold as they were answered."""
    held: dict[str, str | None] = {}
    cursor = None
    while True:
        page = trail.find(RecordFilter(), limit=1000, cursor=cursor)
        held.update((found.record.id, found.record.request_id) for found in page.records)
        if page.cursor is None:
            break
        cursor = page.cursor
    return [record for record, request in acknowledged.items() if held.get(record) != request]


def missing_records(trail: AuditTrail, acknowledged: dict[str, str]) -> list[str]:
    """Return the acknowledged records that are not found by their ids, with their payloads."""
    return [one for one, request in acknowledged.items() if not _is_held(trail, one, request)]


def _is_held(trail: AuditTrail, record_id: str, request_id: str) -> bool:
    try:
        record = trail.record(record_id).record
        payload = trail.payload(record_id)
    except NotFound:
        return False
    return (
        record.request_id == request_id
        and record.input == commit(payload.salt, payload.input)
        and record.output == commit(payload.salt, payload.output)
    )
