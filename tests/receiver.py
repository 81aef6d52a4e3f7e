"""Somebody who is told: a real HTTP server that takes messages, or fails in every way there is."""

import threading
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct

from tests.builders import PATIENCE_S


class Received(Struct, frozen=True):
    """One message as it came."""

    path: str
    headers: Message
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Reply(Struct, frozen=True):
    """What to answer; `before` is called first."""

    status: int = 204
    headers: Mapping[str, str] = {}
    before: Callable[[], None] = lambda: None


HANG = Reply(status=0)  # keeps the connection and says nothing
CLOSE = Reply(status=-1)  # closes the connection instead


class Receiver:
    """Takes all messages; `replies` are given first, one after the other."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: list[Reply] = []
        self._changed = threading.Condition()
        self._closed = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = receiver._take(Received(self.path, self.headers, body))
                reply.before()
                if reply == HANG:
                    receiver._closed.wait()
                if reply in (HANG, CLOSE):
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def wait_for(self, count: int) -> list[Received]:
        """Return all that came when it is so many; fail if late."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, PATIENCE_S)
            return list(self.received)

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, message: Received) -> Reply:
        with self._changed:
            self.received.append(message)
            self._changed.notify_all()
            return self.replies.pop(0) if self.replies else Reply()
