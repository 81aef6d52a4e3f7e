"""One name is one tree that only grows: through kills, restored backups and changes of the key."""

import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log, replace_lost_key, rotate_key
from registry.audit.published import PublishedLog, read_published
from registry.audit.publisher import Publisher
from registry.entry import Entry, decode_record, encode_record, new_record_id
from registry.errors import Conflict, InvalidRequest, LogKeyMissing, NotPublished
from registry.records import AuditRecord, Kind, Origin, Outcome, RecordFilter
from registry.store import Store, open_store
from registry.tlog.note import BadNote, Checkpoint, Verifier, split_note
from registry.tlog.signing import open_note
from registry.tlog.tiles import TileName, TileNodes, names_of
from registry.tlog.tree import fold, leaf_hash, root_hash

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "gateway.example/log"


class World:
    """A data directory with a log, as a gateway that starts finds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = KeyFile(folder / "log.key")
        self.path = folder / "checkpoint"
        self.store: Store = open_store(folder)
        self._segments = 0

    def open(self, name: str | None = NAME) -> Origin:
        return open_log(self.store, self.keys, self.path, name=name, at=START)

    def publisher(self) -> Publisher:
        return Publisher(self.store, self.keys, self.path)

    def add(self, count: int) -> None:
        self._segments += 1
        self.store.integrate(f"{self.folder.name}-{self._segments}", 0, 9, make_entries(count))

    def published(self) -> Checkpoint:
        """The published checkpoint, having checked that its signature is of the present key."""
        note = read_published(self.path)
        assert note is not None
        return Checkpoint.read(open_note(note, Verifier.read(self.store.origins()[-1].vkey)))

    def restore(self, backup: Path) -> None:
        """Put the store of a backup in place, and nothing else."""
        self.store.close()
        for file in self.folder.glob("store.sqlite3*"):
            file.unlink()
        for file in backup.glob("store.sqlite3*"):
            shutil.copy(file, self.folder)
        self.store = open_store(self.folder)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "data").mkdir()
    return World(tmp_path / "data")


def make_entries(count: int) -> list[Entry]:
    return [
        Entry(
            encode_record(
                AuditRecord(
                    id=new_record_id(number),
                    time=str(number),
                    kind=Kind.INFERENCE,
                    outcome=Outcome.ANSWERED,
                )
            ),
            None,
        )
        for number in range(count)
    ]


def backup_of(world: World, to: Path) -> Path:
    world.store.close()
    shutil.copytree(world.folder, to)
    world.store = open_store(world.folder)
    return to


def found(store: Store, kind: Kind) -> list[AuditRecord]:
    rows = sorted(store.records(RecordFilter(kind=kind), before=None, limit=10), reverse=True)
    return [decode_record(leaf) for _, leaf in rows]


def test_the_first_start_makes_a_key_that_its_owner_alone_can_read(world: World) -> None:
    world.add(3)
    origin = world.open()
    assert stat.S_IMODE((world.folder / "log.key").stat().st_mode) == 0o600
    assert (origin.name, origin.since) == (NAME, 0)
    assert world.open() == origin
    assert world.open("another.example/name") == origin  # a log keeps the name that it has
    assert found(world.store, Kind.ORIGIN) == []


def test_a_log_without_a_name_gets_one_that_no_other_has(tmp_path: Path) -> None:
    names = set()
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        names.add(World(tmp_path / folder).open(None).name)
    assert len(names) == 3
    assert all(name.startswith("gateway/") for name in names)


def test_a_name_that_no_note_can_hold_is_refused(world: World) -> None:
    with pytest.raises(BadNote):
        world.open("two words")


def test_the_published_checkpoint_is_that_of_the_tree(world: World) -> None:
    world.open()
    publisher = world.publisher()
    publisher.publish()
    assert world.published().size == 0
    world.add(300)
    publisher.publish()

    hashes = [leaf_hash(leaf) for leaf in world.store.leaves(0, 300)]
    assert world.published().size == publisher.size == 300
    assert world.published().root == root_hash(300, lambda k, i: _node(hashes, k, i))


def _node(hashes: list[bytes], level: int, index: int) -> bytes:
    return fold(b"".join(hashes[index << level : (index + 1) << level]))


def test_a_checkpoint_is_due_when_many_records_wait_or_the_last_is_old(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("registry.audit.publisher.time.monotonic", lambda: clock[0])
    world.open()
    publisher = world.publisher()
    publisher.publish_if_due()
    world.add(999)
    publisher.publish_if_due()
    assert publisher.size == 0
    clock[0] += 0.25
    publisher.publish_if_due()
    assert publisher.size == 0
    world.add(1)
    publisher.publish_if_due()
    assert publisher.size == 1000
    world.add(1000)
    publisher.publish_if_due()
    assert publisher.size == 1000  # many wait, and still the disk is not synced all the time
    clock[0] += 0.25
    publisher.publish_if_due()
    world.add(1)
    clock[0] += 0.75
    publisher.publish_if_due()
    assert publisher.size == 2000
    clock[0] += 0.25
    publisher.publish_if_due()
    assert publisher.size == 2001
    clock[0] += 10
    publisher.publish_if_due()
    assert len(world.store.checkpoints()) == 4  # nothing is signed where nothing is new


def test_a_kill_between_keeping_and_publishing_is_no_restore(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = world.open()
    publisher = world.publisher()
    world.add(3)
    publisher.publish()
    world.add(3)
    with monkeypatch.context() as patch:
        patch.setattr("registry.audit.publisher.put_whole", _killed)
        with pytest.raises(KeyboardInterrupt):
            publisher.publish()
    kept = world.store.checkpoint()
    assert kept is not None
    assert (world.published().size, kept.size) == (3, 6)

    assert world.open() == origin
    world.publisher().publish_if_due()

    assert read_published(world.path) == kept.note  # what was signed, not another signature
    assert world.published().size == 6


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("added", [0, 1, 2, 50])
def test_a_restored_store_goes_on_under_another_name(
    world: World, tmp_path: Path, added: int
) -> None:
    first = world.open()
    world.add(5)
    world.publisher().publish()
    backup = backup_of(world, tmp_path / "backup")
    world.add(2)
    world.publisher().publish()
    lost = world.published()

    world.restore(backup)
    world.folder = tmp_path / f"restored-{added}"  # of another past, so other records
    if added:
        world.add(added)
    world.folder = tmp_path / "data"
    second = world.open()

    assert second.name.startswith(f"{NAME}/")
    [record] = found(world.store, Kind.ORIGIN)
    assert record.subject == second.name
    assert record.vkeys == (first.vkey, second.vkey)
    assert str(lost.size) in str(record.reason)
    # It is not taken for a restore again, whether or not it was published before a kill.
    assert world.open() == second
    world.publisher().publish()
    assert world.open() == second
    assert world.published().origin == second.name
    # A second restore of the same backup cannot know the name, and takes a third.
    world.restore(backup)
    assert world.open().name not in {first.name, second.name}


def test_a_store_that_is_gone_does_not_begin_the_same_log_anew(
    world: World, tmp_path: Path
) -> None:
    world.open()
    world.add(2)
    world.publisher().publish()
    (tmp_path / "nothing").mkdir()
    world.restore(tmp_path / "nothing")
    assert world.open().name.startswith(f"{NAME}/")
    assert len(found(world.store, Kind.ORIGIN)) == 1


@pytest.mark.parametrize("count", [5, 300])
def test_a_tree_that_is_not_what_was_signed_is_never_signed(world: World, count: int) -> None:
    world.open()
    publisher = world.publisher()
    world.add(count)
    publisher.publish()
    before = read_published(world.path)
    with apsw.Connection(str(world.folder / "store.sqlite3")) as connection:
        for table, column in (("tree", "frontier"), ("tile", "hashes")):
            changed = f"CAST(zeroblob(32) || substr({column}, 33) AS BLOB)"
            connection.execute(f"UPDATE {table} SET {column} = {changed}")
    world.add(1)

    with pytest.raises(Conflict, match="does not extend"):
        publisher.publish()

    assert read_published(world.path) == before
    kept = world.store.checkpoint()
    assert kept is not None
    assert kept.size == count


def test_a_key_is_changed_under_the_signatures_of_both(world: World) -> None:
    first = world.open()
    publisher = world.publisher()
    world.add(2)
    publisher.publish()
    world.add(2)
    old, new = rotate_key(world.store, world.keys, principal="local:me", reason="a drill", at=START)
    publisher.publish()

    assert old == first
    assert (new.name, new.since) == (NAME, 4)
    [record] = found(world.store, Kind.ROTATION)
    assert record.vkeys == (old.vkey, new.vkey)
    note = read_published(world.path)
    assert note is not None
    for origin in (old, new):
        assert Checkpoint.read(open_note(note, Verifier.read(origin.vkey))).size == 5
    # The old key signs nothing more, and is no longer there.
    with pytest.raises(LogKeyMissing):
        world.keys.signer(old)
    world.add(1)
    publisher.publish()
    with pytest.raises(BadNote, match="not signed"):
        open_note(read_published(world.path) or "", Verifier.read(old.vkey))
    assert world.published().size == 6
    assert world.store.origins() == [old, new]
    assert world.open() == new


def test_a_kill_in_a_rotation_loses_neither_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.open()
    world.add(1)
    world.publisher().publish()
    with monkeypatch.context() as patch:
        patch.setattr("registry.audit.origins.AuditRecord", _killed)
        with pytest.raises(KeyboardInterrupt):
            rotate_key(world.store, world.keys, principal="me", reason="r", at=START)
    assert world.open() == first
    world.add(1)
    world.publisher().publish()
    assert world.published().size == 2

    _, new = rotate_key(world.store, world.keys, principal="me", reason="r", at=START)
    with monkeypatch.context() as patch:
        patch.setattr("registry.audit.publisher.put_whole", _killed)
        with pytest.raises(KeyboardInterrupt):
            world.publisher().publish()
    assert world.open() == new
    world.publisher().publish()
    _, lines = split_note(read_published(world.path) or "")
    assert len(lines) == 2
    with pytest.raises(LogKeyMissing):
        world.keys.signer(first)


def test_two_rotations_at_once_are_signed_by_all_three(world: World) -> None:
    world.open()
    for _ in range(2):
        rotate_key(world.store, world.keys, principal="me", reason="r", at=START)
    world.publisher().publish()
    _, lines = split_note(read_published(world.path) or "")
    assert len(lines) == 3


@pytest.mark.parametrize(
    "content",
    ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
)
def test_a_file_that_holds_no_key_is_no_key(world: World, content: str) -> None:
    (world.folder / "log.key").write_text(content)
    with pytest.raises(LogKeyMissing):
        world.open()
    assert world.store.origins() == []
    assert (world.folder / "log.key").read_text() == content


def test_a_lost_key_is_missed_and_replaced_under_another_name(world: World) -> None:
    first = world.open()
    world.add(1)
    world.publisher().publish()
    (world.folder / "log.key").unlink()
    with pytest.raises(LogKeyMissing):
        world.open()
    with pytest.raises(LogKeyMissing):
        rotate_key(world.store, world.keys, principal="me", reason="r", at=START)

    _, second = replace_lost_key(world.store, world.keys, principal="me", reason="r", at=START)

    assert second.name != first.name
    assert world.open() == second
    world.publisher().publish()
    assert world.published().origin == second.name
    assert found(world.store, Kind.ORIGIN)[0].vkeys == (first.vkey, second.vkey)


def test_proofs_are_given_under_the_published_checkpoint(world: World) -> None:
    log = PublishedLog(world.store, world.path)
    world.open()
    with pytest.raises(NotPublished):
        log.note()
    world.add(700)
    world.publisher().publish()
    world.add(10)

    assert log.proof(699, "a record").startswith("c2sp.org/tlog-proof@v1\nindex 699\n")
    with pytest.raises(NotPublished, match="a record"):
        log.proof(700, "a record")
    assert log.consistency(700, None) == (700, [])
    assert log.consistency(0, 300) == (300, [])
    assert len(log.consistency(3, 300)[1]) > 2
    with pytest.raises(NotPublished):
        log.consistency(3, 701)
    for old in (-1, 301):
        with pytest.raises(InvalidRequest):
            log.consistency(old, 300)


def test_tiles_and_bundles_read_back_are_the_tree(world: World) -> None:
    log = PublishedLog(world.store, world.path)
    world.open()
    world.add(700)
    world.publisher().publish()
    leaves: list[bytes] = []
    for name in names_of(700):
        bundle, hashes = log.bundle(name), log.tile(0, name)
        own = []
        while bundle:
            size = int.from_bytes(bundle[:2], "big")
            own.append(bundle[2 : 2 + size])
            bundle = bundle[2 + size :]
        assert b"".join(map(leaf_hash, own)) == hashes
        leaves += own
    assert leaves == world.store.leaves(0, 700)
    nodes = TileNodes(lambda level, n: log.tile(level, _name(700, level, n)))
    assert root_hash(700, nodes) == world.published().root


def _name(size: int, level: int, number: int) -> TileName:
    return names_of(size, level)[number]


def test_each_checkpoint_says_when_it_was_signed(world: World) -> None:
    world.open()
    times = [START + timedelta(minutes=minute) for minute in range(2)]
    publisher = Publisher(world.store, world.keys, world.path, clock=iter(times).__next__)
    for _ in times:
        world.add(1)
        publisher.publish()
    assert [one.signed for one in world.store.checkpoints()] == times
