"""After an erasure nothing of a person is left in any file, and everything else is."""

import asyncio
import random
from pathlib import Path

import pytest

from gateway.erasing import erase
from registry.audit.query import AuditTrail
from registry.errors import PayloadErased
from tests.builders import AUTHOR, linear_model, open_registry, publish
from tests.privacy.people import NOBODY, Kept, add_people, found, needles


@pytest.mark.parametrize(
    ("people", "gone"),
    [(400, 40), pytest.param(10_000, 1_000, marks=pytest.mark.torture)],
)
def test_nothing_is_left_of_the_erased_and_everything_of_the_others(
    tmp_path: Path, people: int, gone: int
) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "linear", linear_model())
    names = [f"person {number:05d}" for number in range(people)]
    kept = add_people(registry, tmp_path / "journal", names, records=3, seed=1)
    erased = random.Random(2).sample(names, gone)
    wanted = needles(registry, tmp_path, {name: kept[name] for name in erased})
    before = found(tmp_path, wanted)
    assert before["wrapped key"] >= gone  # a search that finds nothing would prove nothing
    assert before["ciphertext"] >= gone * 3

    for name in erased:
        done = asyncio.run(
            erase(registry, tmp_path / "journal", subject=name, reason="asked", author=AUTHOR)
        )
        assert done.payloads == 3
        assert done.is_scrubbed

    assert found(tmp_path, wanted) == dict.fromkeys(wanted, 0)
    trail = AuditTrail(registry.store, tmp_path / "journal")
    for name in erased:
        for one in kept[name]:
            with pytest.raises(PayloadErased):
                trail.payload(one.record_id)
    left = [one for name in kept if name not in set(erased) for one in kept[name]]
    assert len(left) == (people - gone) * 3 + people // 4
    for one in left:
        check_kept(trail, one)
    registry.store.close()


def check_kept(trail: AuditTrail, one: Kept) -> None:
    payload = trail.payload(one.record_id)
    assert (payload.salt, payload.input) == (one.salt, one.input)
    assert trail.record(one.record_id).record.input is not None


def test_a_search_finds_what_is_in_clear(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "linear", linear_model())
    kept = add_people(registry, tmp_path / "journal", ["Ann"], records=2, seed=1)
    kept |= add_people(registry, tmp_path / "journal", [], records=0, seed=1)

    assert found(tmp_path, {"plaintext": [one.input[-24:] for one in kept["Ann"]]}) == {
        "plaintext": 0
    }
    (tmp_path / "copy").write_bytes(b"..." + kept["Ann"][0].input)
    assert found(tmp_path, {"plaintext": [kept["Ann"][0].input[-24:]]}) == {"plaintext": 1}
    assert NOBODY not in kept
    registry.store.close()
