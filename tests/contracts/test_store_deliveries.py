"""Events are on their way until they are delivered or given up."""

from datetime import timedelta

from msgspec.structs import replace

from registry.events import Delivery, DeliveryState
from registry.store import Store
from tests.contracts.stored import START, make_destination, make_event, make_record


def add_events(store: Store, *seconds: float, told: tuple[str, ...] = ("d",)) -> list[Delivery]:
    """Add an event for each moment, and return the deliveries of them, oldest first."""
    with store.write() as tx:
        for name in set(told) - {one.name for one in tx.destinations()}:
            tx.add_destination(make_destination(name))
        for second in seconds:
            tx.add_event(make_event(second), told)
        tx.append(make_record())
    return store.deliveries(None, before=None, limit=100)[::-1]


def test_an_event_is_on_its_way_to_each_of_its_destinations(store: Store) -> None:
    event = make_event(3)
    with store.write() as tx:
        for name in ("a", "b", "c"):
            tx.add_destination(make_destination(name))
        tx.add_event(event, ["a", "c"])
        tx.append(make_record())

    first, second = store.deliveries(None, before=None, limit=9)[::-1]

    assert (first.destination, second.destination) == ("a", "c")
    assert first.event == second.event == event
    assert first.number < second.number
    for one in (first, second):
        assert (one.state, one.attempts, one.due) == (DeliveryState.PENDING, 0, event.time)
        assert one.attempted is one.status is one.error is None
        assert store.delivery(one.number) == one
    assert store.delivery(99) is None
    assert store.destinations() == [make_destination(name) for name in ("a", "b", "c")]


def test_the_oldest_delivery_that_is_due_is_next(store: Store) -> None:
    first, second, _ = add_events(store, 1, 2, 1)
    at = START + timedelta(seconds=1)
    assert store.next_delivery("d", START) is None
    assert store.waiting_destinations(START) == []
    assert store.next_delivery("d", at) == first
    assert store.waiting_destinations(at) == ["d"]

    store.settle(replace(first, due=START + timedelta(seconds=9), attempts=1))
    assert store.next_delivery("d", START + timedelta(seconds=2)) == second
    assert store.next_delivery("other", at) is None


def test_a_paused_destination_waits_until_it_is_resumed(store: Store) -> None:
    first, second = add_events(store, 1, 50)
    later = START + timedelta(seconds=5)
    with store.write() as tx:
        tx.pause_destination("d", START)
        tx.append(make_record())
    assert [one.paused for one in store.destinations()] == [START]
    assert store.next_delivery("d", START + timedelta(days=1)) is None
    assert store.waiting_destinations(START + timedelta(days=1)) == []

    with store.write() as tx:
        tx.resume_destination("d", later)
        tx.append(make_record())
    assert store.next_delivery("d", later) == first
    store.settle(replace(first, state=DeliveryState.DELIVERED, attempted=later))
    assert store.next_delivery("d", later) == replace(second, due=later)


def test_what_became_of_an_attempt_is_kept(store: Store) -> None:
    [one] = add_events(store, 1)
    tried = replace(
        one,
        attempts=3,
        due=START + timedelta(seconds=9),
        attempted=START + timedelta(seconds=2),
        status=503,
        error="it answered 503",
    )
    store.settle(tried)
    assert store.delivery(one.number) == tried
    with store.write() as tx:
        tx.remove_destination("d")
        tx.append(make_record())
    store.settle(tried)
    assert store.delivery(one.number) is None


def test_only_what_was_not_refused_is_hastened(store: Store) -> None:
    statuses = (None, 429, 500, 400, 302)
    later, at = START + timedelta(days=1), START + timedelta(hours=1)
    added = add_events(store, *range(5))
    for one, status in zip(added, statuses, strict=True):
        store.settle(replace(one, due=later, attempts=1, status=status))
    add_events(store, 6, told=("other",))

    store.hasten("d", at)

    due = [one.due for one in store.deliveries(None, before=None, limit=9)[::-1]]
    assert due == [at, at, at, later, later, START + timedelta(seconds=6)]


def test_deliveries_are_counted_and_listed_by_state(store: Store) -> None:
    added = add_events(store, *range(5))
    add_events(store, 9, told=("other",))
    for one in added[:2]:
        store.settle(replace(one, state=DeliveryState.DEAD))
    store.settle(replace(added[2], state=DeliveryState.DELIVERED))

    assert {(one.destination, one.state): one.count for one in store.delivery_counts()} == {
        ("d", "dead"): 2, ("d", "delivered"): 1, ("d", "pending"): 2, ("other", "pending"): 1,
    }  # fmt: skip
    numbers = [one.number for one in added]
    assert [
        one.number for one in store.deliveries(DeliveryState.DEAD, before=None, limit=9)
    ] == numbers[1::-1]
    assert [one.number for one in store.deliveries(None, before=numbers[3], limit=2)] == [
        numbers[2],
        numbers[1],
    ]


def test_no_number_of_a_delivery_is_used_again(store: Store) -> None:
    [one] = add_events(store, 1)
    with store.write() as tx:
        tx.remove_destination("d")
        tx.append(make_record())
    [other] = add_events(store, 2)
    assert other.number > one.number
