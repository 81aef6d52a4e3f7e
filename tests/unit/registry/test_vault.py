"""Sealed payloads: by whom they can be read, and what a wrong or missing key comes to."""

import stat
from pathlib import Path

import pytest

from registry.entry import Entry, Payload, encode_record, new_record_id
from registry.errors import PayloadDamaged, PayloadKeyMissing
from registry.records import AuditRecord, Kind, Outcome
from registry.store import open_store
from registry.vault import Vault, new_key, seal, unseal

PAYLOAD = Payload(b"s" * 32, b"in", b"out")
RECORD = b"r" * 16


def make_entry(number: int, subject: str) -> Entry:
    record = AuditRecord(
        id=new_record_id(number),
        kind=Kind.INFERENCE,
        time=str(number),
        outcome=Outcome.ANSWERED,
        model="m",
    )
    return Entry(encode_record(record), Payload(b"s" * 32, b"in", b"out", subject))


def record_id(entry: Entry) -> str:
    return entry.leaf.split(b'"id":"')[1][:36].decode()


def test_what_was_sealed_is_read_with_its_key_and_record_alone() -> None:
    key = new_key()
    sealed = seal(key, RECORD, PAYLOAD)

    assert unseal(key, RECORD, sealed) == PAYLOAD
    assert seal(key, RECORD, PAYLOAD) != sealed
    for wrong in (
        (new_key(), RECORD, sealed),
        (key, b"q" * 16, sealed),
        (key, RECORD, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (key, RECORD, sealed[:5]),
    ):
        with pytest.raises(PayloadDamaged):
            unseal(*wrong)


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "payload.key")
    with pytest.raises(PayloadKeyMissing):
        vault.fingerprint()
    vault.make_key()
    first = vault.fingerprint()
    vault.make_key()

    assert Vault(tmp_path / "payload.key").fingerprint() == first
    assert stat.S_IMODE((tmp_path / "payload.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [None, b"k" * 32, b"short"])
def test_without_the_key_in_use_nothing_of_a_person_is_read_sealed_or_found(
    tmp_path: Path, content: bytes | None
) -> None:
    entry = make_entry(1, "Ann")
    store = open_store(tmp_path)
    store.integrate("one", 0, 1, [entry])
    store.close()
    (tmp_path / "payload.key").unlink()
    if content is not None:
        (tmp_path / "payload.key").write_bytes(content)

    store = open_store(tmp_path)
    with pytest.raises((PayloadKeyMissing, PayloadDamaged)):
        store.payload(record_id(entry))
    with pytest.raises(PayloadKeyMissing):
        store.integrate("two", 0, 1, [make_entry(2, "Ann")])
    with pytest.raises(PayloadKeyMissing), store.write() as tx:
        tx.find_subject("Ann")
    assert store.tree_size() == 1
    store.integrate("three", 0, 1, [Entry(make_entry(3, "").leaf, PAYLOAD)])
    assert store.tree_size() == 2
    store.close()


def test_a_key_of_another_place_opens_the_same_store(tmp_path: Path) -> None:
    entry = make_entry(1, "Ann")
    store = open_store(tmp_path / "data", tmp_path / "elsewhere.key")
    store.integrate("one", 0, 1, [entry])

    assert store.payload(record_id(entry)) == PAYLOAD
    assert not (tmp_path / "data" / "payload.key").exists()
    store.close()


def test_what_is_destroyed_without_a_record_is_kept(tmp_path: Path) -> None:
    entry = make_entry(1, "Ann")
    store = open_store(tmp_path)
    store.integrate("one", 0, 1, [entry])
    with pytest.raises(RuntimeError), store.write() as tx:
        found = tx.find_subject("Ann")
        assert found is not None
        tx.erase(found)
    with pytest.raises(RuntimeError), store.write() as tx:
        tx.expire([0])
    with pytest.raises(RuntimeError), store.write() as tx:
        tx.remove([0])

    assert store.payload(record_id(entry)) == PAYLOAD
    store.close()
