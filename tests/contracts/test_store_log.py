"""Segments come in once, and make a tree that checkpoints are kept of."""

from contextlib import suppress

import msgspec
import pytest

from registry.errors import Conflict
from registry.records import Origin, RecordFilter
from registry.store import Store
from registry.tlog.tiles import Frontier
from registry.tlog.tree import leaf_hash
from tests.contracts.stored import START, everything, make_checkpoint, make_entries, make_record


def test_a_segment_is_integrated_exactly_once(store: Store) -> None:
    first, second = make_entries(1, 2), make_entries(3)
    store.integrate("one", 0, 100, first)
    before = everything(store)
    for start in (0, 99, 101):
        with pytest.raises(Conflict):
            store.integrate("one", start, 150, second)
    assert everything(store) == before
    store.integrate("one", 100, 150, second)
    assert store.positions() == {"one": 150}
    indexes = [index for index, _ in store.records(RecordFilter(), before=None, limit=9)]
    assert sorted(indexes) == [0, 1, 2]


def test_the_tree_grows_with_the_records_whichever_way_they_come(store: Store) -> None:
    first = make_entries(*range(300))
    store.integrate("one", 0, 9, first)
    with store.write() as tx:
        tx.append(make_record(400))
        assert tx.tree_size() == 301
    store.integrate("two", 0, 9, make_entries(*range(500, 800)))

    leaves = store.leaves(0, 700)
    assert leaves[:300] == [entry.leaf for entry in first]
    assert len(leaves) == store.tree_size() == 601
    assert store.leaves(599, 700) == leaves[599:]
    frontier, tiles = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    for tile in tiles:
        assert store.tile(tile.level, tile.number) == tile.hashes
    assert store.tile(0, 2) == frontier.tile(0, 2)
    assert store.tile(1, 0) == frontier.tile(1, 0)
    assert store.tile(0, 3) == store.tile(2, 0) == b""


def test_a_record_that_is_undone_leaves_the_tree_as_it_was(store: Store) -> None:
    store.integrate("one", 0, 9, make_entries(*range(255)))
    before = store.tree_size(), store.tile(0, 0)
    with suppress(ZeroDivisionError), store.write() as tx:
        tx.append(make_record(300))
        assert tx.tree_size() == 256
        raise ZeroDivisionError
    with suppress(Conflict):
        store.integrate("one", 0, 9, make_entries(400, 401))
    assert (store.tree_size(), store.tile(0, 0)) == before


def test_only_a_checkpoint_of_the_tree_is_kept(store: Store) -> None:
    store.integrate("one", 0, 9, make_entries(*range(10)))
    assert store.checkpoint() is None
    with store.write() as tx:
        tx.add_checkpoint(make_checkpoint(tx))
    kept = store.checkpoint()
    assert kept is not None
    assert kept.size == 10

    store.integrate("two", 0, 9, make_entries(20))
    with store.write() as tx:
        of_tree = make_checkpoint(tx)
    for false in ({"size": 10}, {"size": 12}, {"root": bytes(32)}):
        with pytest.raises(Conflict), store.write() as tx:
            tx.add_checkpoint(msgspec.structs.replace(of_tree, **false))
    assert store.checkpoint() == kept
    with store.write() as tx:
        tx.add_checkpoint(of_tree)
        tx.amend_checkpoint(11, "another note")
    assert store.checkpoint() == msgspec.structs.replace(of_tree, note="another note")


def test_of_old_checkpoints_the_last_of_each_hour_and_the_first_of_each_key_stay(
    store: Store,
) -> None:
    for number in range(50):
        store.integrate(f"{number}", 0, 9, make_entries(number))
        with store.write() as tx:
            if number == 5:
                tx.add_origin(Origin(name="log", vkey="key", since=3, at=START))
            tx.add_checkpoint(make_checkpoint(tx, minutes=10 * number))
    kept = [signed.size for signed in store.checkpoints()]
    # One of each hour, the one behind leaf 3, and all of the last hour.
    assert kept == [4, 6, 12, 18, 24, 30, 36, 42, 43, 44, 45, 46, 47, 48, 49, 50]


def test_the_log_has_the_names_and_keys_that_were_added(store: Store) -> None:
    assert store.origins() == []
    added = [Origin(name="log", vkey=f"key {n}", since=n, at=START) for n in range(3)]
    with store.write() as tx:
        for origin in added:
            tx.add_origin(origin)
    assert store.origins() == added


def test_a_segment_never_seen_begins_at_zero(store: Store) -> None:
    with pytest.raises(Conflict):
        store.integrate("one", 5, 10, make_entries(1))
    assert store.positions() == {}


def test_a_forgotten_segment_leaves_its_records(store: Store) -> None:
    store.integrate("one", 0, 100, make_entries(1))
    store.integrate("two", 0, 50, make_entries(2))
    store.forget_segment("one")
    store.forget_segment("never seen")
    assert store.positions() == {"two": 50}
    assert len(store.records(RecordFilter(), before=None, limit=9)) == 2
