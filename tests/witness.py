"""A small witness, as a third party would run it: it trusts nothing but proofs."""

import base64
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.audit.verify.faults import Mismatch
from registry.audit.verify.proofs import EMPTY_ROOT, check_consistency
from registry.tlog.note import WITNESS_KEY, Checkpoint, Verifier
from registry.tlog.signing import open_note
from tests.builders import PATIENCE_S


class WitnessServer:
    """A witness (C2SP tlog-witness) of one log: it cosigns only what grew from what it saw.

    `faults` are answers that it gives instead, one after the other.
    """

    def __init__(self, vkey: str) -> None:
        self.log = Verifier.read(vkey)
        self.key = Ed25519PrivateKey.generate()
        self.verifier = Verifier(
            "witness.example/w", WITNESS_KEY, self.key.public_key().public_bytes_raw()
        )
        self.seen: Checkpoint | None = None
        self.statuses: list[int] = []
        self._answered = threading.Condition()
        self.faults: list[tuple[int, str]] = []
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status, answer = (
                    witness.answer(body) if self.path == "/add-checkpoint" else (404, "")
                )
                with witness._answered:
                    witness.statuses.append(status)
                    witness._answered.notify_all()
                self.send_response(status)
                self.send_header("content-length", str(len(answer.encode())))
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_for(self, status: int) -> None:
        """Return when it has answered so; fail if late."""
        with self._answered:
            assert self._answered.wait_for(lambda: status in self.statuses, PATIENCE_S)

    def answer(self, body: str) -> tuple[int, str]:
        if self.faults:
            return self.faults.pop(0)
        head, _, note = body.partition("\n\n")
        first, *lines = head.split("\n")
        old = int(re.fullmatch(r"old (0|[1-9]\d*)", first)[1])  # type: ignore[index]
        text = open_note(note, self.log)
        checkpoint = Checkpoint.read(text)
        known = 0 if self.seen is None else self.seen.size
        if old > checkpoint.size:
            return 400, ""
        if old != known:
            return 409, f"{known}\n"
        path = [base64.b64decode(line) for line in lines]
        old_root = EMPTY_ROOT if self.seen is None else self.seen.root
        try:
            check_consistency(old, checkpoint.size, path, old_root, checkpoint.root)
        except Mismatch:
            return 422, ""
        self.seen = checkpoint
        stamp = 1_800_000_000
        signature = self.key.sign(f"cosignature/v1\ntime {stamp}\n{text}".encode())
        line = base64.b64encode(self.verifier.id + stamp.to_bytes(8, "big") + signature).decode()
        return 200, f"— {self.verifier.name} {line}\n"
