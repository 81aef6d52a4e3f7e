"""One inference request of a connection and its answer, beside the cycles of uvicorn."""

from typing import Protocol

from gateway.cases import Answer, Denial
from gateway.errors import BodyTooLarge, GatewayError
from gateway.http.head import Head, is_plain, reply_of
from gateway.http.problems import Reply
from gateway.pipeline import Pipeline

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Protocol):
    """What an exchange asks of the connection it belongs to."""

    inference: Pipeline
    source: str | None
    body_limit: int

    def write(self, data: bytes) -> None:
        """Send bytes, if the caller is still there."""
        ...

    def write_json(self, record_id: str, body: bytes) -> None:
        """Send a plain answer, and keep the connection alive."""
        ...

    def write_reply(self, reply: Reply, *, keep_alive: bool) -> None:
        """Send a whole answer, and close the connection unless it is kept alive."""
        ...

    def on_response_complete(self) -> None:
        """Go on with the request after this one."""
        ...


class _NobodyWaits:
    """Takes the place of the event that tells an ASGI application of its body."""

    def set(self) -> None: ...


class Exchange:
    """A request that is read, submitted and answered, in the shape of uvicorn's own cycle.

    Nothing is sent before `begin`: until then, requests before this one are not answered.
    """

    __slots__ = (
        "_connection",
        "_fault",
        "_head",
        "_is_first",
        "_is_whole",
        "body",
        "disconnected",
        "expects_continue",
        "keep_alive",
        "response_complete",
    )
    message_event = _NobodyWaits()

    def __init__(self, connection: Connection, head: Head, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.expects_continue = False
        self.response_complete = False
        self.disconnected = False
        self._connection = connection
        self._head = head
        self._fault = head.fault
        self._is_first = False
        self._is_whole = False

    def begin(self) -> None:
        """Go on where the request before this one has been answered."""
        self._is_first = True
        if self._fault is not None:
            self._answer(self._fault)
        elif self._is_whole:
            self.submit(bytes(self.body))
        elif self.expects_continue:
            self._connection.write(_CONTINUE)

    def extend(self, part: bytes) -> None:
        """Take a part of the body; what is too much is not kept."""
        if self._fault is None:
            self.body += part
            if len(self.body) > self._connection.body_limit:
                self.refuse(BodyTooLarge(self._connection.body_limit))

    def end(self) -> None:
        """Take note that the whole request is there."""
        self._is_whole = True
        if self._is_first and self._fault is None:
            self.submit(bytes(self.body))

    def refuse(self, fault: GatewayError) -> None:
        """Answer with a fault when it is this request's turn, whatever else comes of it."""
        if self._fault is None:
            self._fault = fault
            self.body.clear()
            if self._is_first:
                self._answer(fault)

    def submit(self, body: bytes) -> None:
        """Hand a whole body over; the answer comes back by itself."""
        self._is_first = True
        connection = self._connection
        connection.inference.submit(self._head.call(body, connection.source), self._answer)

    def _answer(self, result: Answer | Denial | Exception) -> None:
        if self.response_complete or self.disconnected:
            return
        self.response_complete = True
        if self.keep_alive and isinstance(result, Answer) and is_plain(result, self._head):
            self._connection.write_json(result.record_id, result.encoded.body)
        else:
            reply = reply_of(result, self._head)
            self._connection.write_reply(reply, keep_alive=self.keep_alive)
        self._connection.on_response_complete()
