"""A witness is believed as far as its signature goes, asked again, and never waited for."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import witness as witness_module
from gateway.settings import WitnessAddress
from gateway.witness import Witness
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.audit.published import read_published
from registry.audit.publisher import Publisher
from registry.entry import Entry, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Outcome
from registry.store import open_store
from registry.times import now
from registry.tlog.note import WITNESS_KEY, Checkpoint, Verifier, split_note
from registry.tlog.signing import open_note
from tests.builders import PATIENCE_S
from tests.witness import WitnessServer


class Log:
    """A log that grows, is published, and tells a witness of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoint"
        self.store = open_store(folder)
        keys = KeyFile(folder / "log.key")
        self.origin = open_log(self.store, keys, self.path, name="log", at=now())
        self.publisher = Publisher(self.store, keys, self.path, on_published=self._offer)
        self.witnesses: list[Witness] = []
        self._segments = 0

    def ask(self, url: str, verifier: Verifier) -> Witness:
        address = WitnessAddress(url=url, vkey=verifier.write())
        self.witnesses = [Witness(address, self.store, self.publisher)]
        return self.witnesses[0]

    def grow(self, count: int = 1) -> None:
        self._segments += 1
        records = [
            AuditRecord(
                id=new_record_id(n), time=str(n), kind=Kind.INFERENCE, outcome=Outcome.ANSWERED
            )
            for n in range(count)
        ]
        entries = [Entry(encode_record(record), None) for record in records]
        self.store.integrate(f"{self._segments}", 0, 9, entries)
        self.publisher.publish()

    def wait_for_signatures(self, count: int) -> None:
        """Return when the published checkpoint has so many; a file tells nobody of its change."""
        deadline = time.monotonic() + PATIENCE_S
        while len(split_note(self.note())[1]) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def note(self) -> str:
        note = read_published(self.path)
        assert note is not None
        return note

    def _offer(self, signed: object) -> None:
        for one in self.witnesses:
            one.offer(signed)  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setattr(witness_module, "_RETRY_S", 0.05)
    log = Log(tmp_path)
    yield log
    for one in log.witnesses:
        one.close()
    log.store.close()


@pytest.fixture
def server(log: Log) -> Iterator[WitnessServer]:
    server = WitnessServer(log.origin.vkey)
    yield server
    server.close()


def test_each_checkpoint_is_cosigned_and_shown_so(log: Log, server: WitnessServer) -> None:
    log.ask(server.url, server.verifier)
    for count in (1, 300, 1):
        log.grow(count)
        log.wait_for_signatures(2)
        assert open_note(log.note(), server.verifier) == open_note(
            log.note(), Verifier.read(log.origin.vkey)
        )
        kept = log.store.checkpoint()
        assert kept is not None
        assert kept.note == log.note()
    assert server.statuses == [200] * 3


def test_a_witness_that_has_seen_more_than_we_remember_is_asked_from_there(
    log: Log, server: WitnessServer
) -> None:
    log.ask(server.url, server.verifier)
    log.grow(5)
    log.wait_for_signatures(2)
    log.witnesses[0].close()
    log.ask(server.url, server.verifier)
    log.grow(5)
    log.wait_for_signatures(2)
    assert server.statuses == [200, 409, 200]


def test_a_witness_of_another_history_cosigns_nothing(log: Log, server: WitnessServer) -> None:
    log.grow(3)
    server.seen = Checkpoint("log", 3, bytes(32))
    log.ask(server.url, server.verifier)
    log.grow(3)
    server.wait_for(422)
    assert len(split_note(log.note())[1]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        (403, ""),
        (404, ""),
        (422, ""),
        (409, "not a number\n"),
        (409, "999999\n"),
        (200, ""),
        (200, "— witness.example/w AAAAAAAA\n"),
        (200, "x" * 100_000),
        (500, "\0"),
    ],
)
def test_a_witness_that_does_not_cosign_is_asked_again(
    log: Log, server: WitnessServer, fault: tuple[int, str]
) -> None:
    server.faults = [fault] * 3
    log.ask(server.url, server.verifier)
    log.grow()
    assert log.publisher.size == 1  # published before anybody was asked
    log.wait_for_signatures(2)
    assert server.statuses[:3] == [fault[0]] * 3
    assert len(split_note(log.note())[1]) == 2


def test_a_cosignature_that_comes_late_takes_nothing_newer_away(
    log: Log, server: WitnessServer
) -> None:
    log.grow(2)
    early = log.note()
    log.grow(2)
    _, cosignature = server.answer(f"old 0\n\n{early}")
    log.publisher.add_signature(2, cosignature)
    assert log.publisher.size == 4
    assert len(split_note(log.note())[1]) == 1


def test_a_witness_that_is_gone_delays_nothing(log: Log) -> None:
    verifier = Verifier("witness.example/w", WITNESS_KEY, bytes(32))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        log.ask(f"http://127.0.0.1:{nobody.getsockname()[1]}", verifier)
        for size in range(1, 20):
            log.grow()
            assert log.publisher.size == size
        log.witnesses[0].close()
