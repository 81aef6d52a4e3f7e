"""Asks witnesses to cosign checkpoints (C2SP tlog-witness): that the log only grew, by their eyes.

Each has a thread of its own, so that one that is slow or gone delays nothing. What one says is
believed only as far as its signature goes.
"""

import threading

import httpx

from gateway.logs import logger
from gateway.settings import WitnessAddress
from registry.audit.publisher import Publisher
from registry.errors import RegistryError
from registry.records import SignedCheckpoint
from registry.store import Store
from registry.tlog.note import BadNote, Verifier, signature_of, split_note, write_hashes
from registry.tlog.signing import accepts
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import consistency_proof

_DEADLINE_S = 10.0
_RETRY_S = 5.0
_LONGEST_ANSWER = 64 << 10  # bytes


class WitnessRefused(Exception):
    """A witness did not cosign a checkpoint."""


class Witness:
    """One witness, told of every checkpoint; of those that come while it answers, the last."""

    def __init__(self, address: WitnessAddress, store: Store, publisher: Publisher) -> None:
        self._url = address.url.rstrip("/") + "/add-checkpoint"
        self._verifier = Verifier.read(address.vkey)
        self._store = store
        self._publisher = publisher
        self._known = 0  # how many records the witness has seen, as far as we know
        self._latest: SignedCheckpoint | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def offer(self, signed: SignedCheckpoint) -> None:
        """Ask for a cosignature soon."""
        with self._changed:
            self._latest = signed
            self._changed.notify()

    def close(self) -> None:
        """Ask no more; an answer under way is waited for."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_DEADLINE_S)

    def _run(self) -> None:
        with httpx.Client(timeout=_DEADLINE_S, trust_env=False) as client:
            while (signed := self._next()) is not None:
                try:
                    self._ask(client, signed)
                except (httpx.HTTPError, WitnessRefused, BadNote, RegistryError) as error:
                    detail = str(error) or type(error).__name__
                    logger.error("witness_failed", witness=self._verifier.name, detail=detail)
                    self._wait_before_asking_again(signed)

    def _next(self) -> SignedCheckpoint | None:
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not None or self._is_closed)
            signed, self._latest = self._latest, None
            return None if self._is_closed else signed

    def _wait_before_asking_again(self, signed: SignedCheckpoint) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, timeout=_RETRY_S)
            self._latest = self._latest or signed

    def _ask(self, client: httpx.Client, signed: SignedCheckpoint) -> None:
        status, text = self._post(client, signed)
        if status == 409:
            # It has seen another tree than we know of: at our start, and after a lost answer.
            self._known = _size(text, signed)
            status, text = self._post(client, signed)
        if status != 200:
            raise WitnessRefused(f"it answered {status}")
        self._known = signed.size
        self._publisher.add_signature(signed.size, self._cosignature(signed, text))

    def _post(self, client: httpx.Client, signed: SignedCheckpoint) -> tuple[int, str]:
        proof = consistency_proof(self._known, signed.size, TileNodes(self._store.tile))
        body = f"old {self._known}\n{write_hashes(proof)}\n{signed.note}"
        answer = b""
        with client.stream("POST", self._url, content=body.encode()) as response:
            for chunk in response.iter_bytes():
                answer += chunk
                if len(answer) > _LONGEST_ANSWER:
                    raise WitnessRefused("its answer is too long")
        return response.status_code, answer.decode(errors="replace")

    def _cosignature(self, signed: SignedCheckpoint, answer: str) -> str:
        """Return the line of its answer that is by the witness. Raises WitnessRefused."""
        text, _ = split_note(signed.note)
        for line in answer.splitlines(keepends=True):
            signature = signature_of(line, self._verifier)
            if signature is not None and accepts(self._verifier, text, signature):
                return line
        raise WitnessRefused("its cosignature is missing or false")


def open_witnesses(
    addresses: tuple[WitnessAddress, ...], store: Store, publisher: Publisher
) -> list[Witness]:
    """Make ready to ask each of the witnesses."""
    return [Witness(address, store, publisher) for address in addresses]


def _size(text: str, signed: SignedCheckpoint) -> int:
    size = int(text) if text.strip().isdecimal() and len(text) < 20 else -1
    if not 0 <= size <= signed.size:
        raise WitnessRefused(f"it has seen a tree that is not ours of {signed.size} records")
    return size
