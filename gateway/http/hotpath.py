"""Answers inference in the connection itself, before ASGI; all else goes on to the application.

A connection answers its requests in their order, one after the other. A head whose exact bytes were
parsed before is recognised and not parsed again. Limits on heads and deadlines hold for every
request of a connection, whoever answers it.
"""

import asyncio
from collections import deque
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.errors import (
    BadHost,
    BodyTimeout,
    GatewayError,
    HeadTimeout,
    HeadTooLarge,
    MalformedRequest,
)
from gateway.http.deadlines import Limits, Phase
from gateway.http.exchange import Exchange
from gateway.http.head import Head, read_head
from gateway.http.problems import Reply, reply_to_error
from gateway.pipeline import Pipeline

_END_OF_HEAD = b"\r\n\r\n"
_PLAIN = (
    b"HTTP/1.1 200 OK\r\n%bcontent-type: application/json\r\nx-record-id: %b\r\n"
    b"content-length: %d\r\n\r\n%b"
)
_START = b"POST /v2/models/"
_MOST_FIELDS = 100
_MOST_HEAD_BYTES = 64 << 10
_MOST_KNOWN = 1024
_LONGEST_KNOWN = 2048


class HotPath(HttpToolsProtocol):
    """One connection. `known` is for all of them: what the exact bytes of a head say."""

    cycle: Any  # an `Exchange`, or uvicorn's own cycle for the application
    pipeline: deque[Any]

    def __init__(
        self,
        *,
        inference: Pipeline,
        limits: Limits,
        known: dict[bytes, Head],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.inference = inference
        self.limits = limits
        self.body_limit = limits.body_limit
        self.source: str | None = None
        self._known = known
        self._dated_by: object = None
        self._date_line = b""
        self._lesson: bytes | None = None  # bytes of a head that may become known
        self._phase = Phase.IDLE
        self._since = self.loop.time()
        self._is_in_message = False  # the parser has begun a request and not ended it
        self._head_bytes = 0
        self._is_stuck = False  # the last bytes did not end a field
        self._held_bytes = 0  # of the field that does not end
        self._missing = 0  # bytes of the body of a known head that are still to come
        self._fault: GatewayError | None = None  # why the connection ends after what is queued

    # What the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.source = self.client[0] if self.client else None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # An exchange knows its connection: the two would wait for the garbage collector.
        self.cycle = None
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._collect(data)
        elif self._is_in_message or self._is_answering:
            self._parse(data)
        else:
            end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
            given = data[:end]
            head = self._known.get(given)
            if head is not None:
                self._recognise(head, data, end)
                return
            if given.startswith(_START) and end <= _LONGEST_KNOWN:
                self._lesson = given
            self._parse(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Stay open for the answer under way; nothing more can be asked."""
        if self._is_answering and not self._is_in_message and not self._missing:
            self.cycle.keep_alive = False
            return True
        return False

    def pause_writing(self) -> None:
        """Take no request from a caller that does not read its answers."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._is_answering or self.pipeline:
            self._go_on()

    def check_deadline(self, now: float) -> None:
        """End the connection if what it waits for has not come in time."""
        waited_s = now - self._since
        if self.flow.read_paused:
            self._since = now  # it is we who hold it up
        elif self._phase is Phase.IDLE:
            if waited_s > self.limits.idle_deadline_s and not self._is_answering:
                self.transport.close()
        elif self._phase is Phase.HEAD:
            if waited_s > self.limits.header_deadline_s:
                self._give_up(HeadTimeout(self.limits.header_deadline_s))
        elif self._phase is Phase.BODY and waited_s > self.limits.body_deadline_s:
            if self.cycle.response_complete:
                self.transport.close()  # nobody needs the rest of a body that was refused
            else:
                self.cycle.refuse(BodyTimeout(self.limits.body_deadline_s))

    # A request with a known head

    def _recognise(self, head: Head, data: bytes, end: int) -> None:
        assert head.length is not None
        exchange = self.cycle = Exchange(self, head, keep_alive=True)
        rest = len(data) - end - head.length
        if rest < 0:
            exchange.begin()
            exchange.body += data[end:]
            self._missing = -rest
            self._phase, self._since = Phase.BODY, self.loop.time()
        elif rest == 0:
            exchange.submit(data[end:])
        else:
            exchange.submit(data[end:-rest])
            self._parse(data[-rest:])

    def _collect(self, data: bytes) -> None:
        exchange = self.cycle
        exchange.body += data[: self._missing]
        rest = data[self._missing :]
        self._missing = max(0, self._missing - len(data))
        if not self._missing:
            self._phase, self._since = Phase.IDLE, self.loop.time()
            exchange.submit(exchange.take_body())
            if rest:
                self._parse(rest)

    # Any other request

    def _parse(self, data: bytes) -> None:
        if self._fault is not None:
            return
        self._is_stuck = self._phase is Phase.HEAD
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        except httptools.HttpParserError as error:
            # What a callback raised is its context.
            cause = error.__context__
            self._give_up(cause if isinstance(cause, GatewayError) else MalformedRequest())
        else:
            # What the parser holds of a field that does not end, it tells nobody.
            self._held_bytes = self._held_bytes + len(data) if self._is_stuck else 0
            if self._head_bytes + self._held_bytes > _MOST_HEAD_BYTES:
                self._give_up(HeadTooLarge())
        self._lesson = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_message = True
        self._is_stuck = False
        self._head_bytes = 0
        self._phase, self._since = Phase.HEAD, self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._is_stuck = False
        lesson, self._lesson = self._lesson, None
        is_current = self.parser.get_http_version() == "1.1"
        if is_current and [name for name, _ in self.headers].count(b"host") != 1:
            raise BadHost
        head = self._inference_head()
        if head is None:
            self._phase = Phase.ELSEWHERE
            super().on_headers_complete()
            return
        is_waiting = self._is_answering
        keep_alive = is_current and self.parser.should_keep_alive()
        exchange = self.cycle = Exchange(self, head, keep_alive=keep_alive)
        exchange.expects_continue = self.expect_100_continue
        self._phase, self._since = Phase.BODY, self.loop.time()
        if lesson is not None and keep_alive and not exchange.expects_continue:
            self._learn(lesson, head)
        if is_waiting:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        else:
            exchange.begin()

    def on_body(self, body: bytes) -> None:
        if isinstance(self.cycle, Exchange):
            self.cycle.extend(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_message = False
        self._phase, self._since = Phase.IDLE, self.loop.time()
        if isinstance(self.cycle, Exchange):
            self.cycle.end()
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        if not self.transport.is_closing():
            self._go_on()

    def _go_on(self) -> None:
        """Answer the next request that is queued, or take a new one."""
        if self.flow.write_paused:
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            if isinstance(cycle, Exchange):
                cycle.begin()
            else:
                self._start_asgi_task(cycle, app)
        elif self._fault is not None:
            self._say_fault(self._fault)
        if not self.pipeline:
            self.flow.resume_reading()

    # Heads

    def _inference_head(self) -> Head | None:
        if self.parser.get_method() != b"POST" or self.parser.should_upgrade():
            return None
        path = unquote(httptools.parse_url(self.url).path.decode("ascii"))
        return read_head(path, self.headers, body_limit=self.limits.body_limit)

    def _learn(self, lesson: bytes, head: Head) -> None:
        """Keep what a head says, if its bytes are nothing but a plain request line and fields."""
        lines = len(self.headers) + 2
        is_plain = lesson.count(b"\r\n") == lesson.count(b"\n") == lines
        if is_plain and head.length is not None and head.fault is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[lesson] = head

    def _count(self, size: int) -> None:
        self._is_stuck = False
        self._head_bytes += size
        if self._head_bytes > _MOST_HEAD_BYTES or len(self.headers) > _MOST_FIELDS:
            raise HeadTooLarge

    # Faults

    def _give_up(self, fault: GatewayError) -> None:
        """Say why no further request can be read, after the answers that are due, and close."""
        # Its traceback holds this connection, and the two would wait for the garbage collector.
        self._fault = fault.with_traceback(None)
        self.flow.pause_reading()
        is_own = self._is_in_message and self._phase is not Phase.HEAD
        if is_own and isinstance(self.cycle, Exchange):
            self.cycle.keep_alive = False
            self.cycle.refuse(fault)
        elif is_own or not self._is_answering:
            self._say_fault(fault)

    def _say_fault(self, fault: GatewayError) -> None:
        self.write_reply(reply_to_error(fault, "/v2"), keep_alive=False)

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def write_json(self, record_id: str, body: bytes) -> None:
        self.write(_PLAIN % (self._date(), record_id.encode(), len(body), body))

    def write_reply(self, reply: Reply, *, keep_alive: bool) -> None:
        keep_alive = keep_alive and reply.headers.get("connection") != "close"
        lines = [STATUS_LINE[reply.status], self._date()]
        lines += [f"{name}: {value}\r\n".encode() for name, value in reply.headers.items()]
        if not keep_alive and "connection" not in reply.headers:
            lines.append(b"connection: close\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(reply.body))
        lines.append(reply.body)
        self.write(b"".join(lines))
        if not keep_alive:
            self.transport.close()

    def _date(self) -> bytes:
        fields = self.server_state.default_headers
        if fields is not self._dated_by:  # uvicorn makes them anew each second
            self._dated_by = fields
            self._date_line = b"".join(b"%b: %b\r\n" % field for field in fields)
        return self._date_line

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete
