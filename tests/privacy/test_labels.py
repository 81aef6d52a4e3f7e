"""Labels go with what they are of, out of every file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry import privacy, truth
from registry.registry import Registry
from registry.removal import Remover
from registry.retention import Retention
from registry.times import from_us
from registry.truth_policy import LabelKind, Slice, TruthPolicy
from registry.versions import Version
from tests.builders import AUTHOR, linear_model, publish
from tests.labelled import answer, keep, say, tell

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
POLICY = TruthPolicy(kind=LabelKind.CLASSES, slices=(Slice(name="ward"),))
NEEDLE = "the ward of Ann"


@pytest.fixture
def version(registry: Registry) -> Version:
    version = publish(registry, "sum", linear_model())
    truth.set_truth_policy(registry, "sum", POLICY, AUTHOR)
    return version


def holding_needle(data_dir: Path) -> list[str]:
    files = (path for path in data_dir.rglob("*") if path.is_file())
    return [path.name for path in files if NEEDLE.encode() in path.read_bytes()]


def kept(registry: Registry) -> int:
    return len(registry.store.labels("sum", since=from_us(0), until=from_us(2**52), limit=9_999))


def test_an_erasure_takes_the_labels_of_a_person_out_of_every_file(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    people = ["Ann" if number % 7 == 0 else "Ben" for number in range(700)]
    ids = keep(registry, [answer(version, say(0.5), NOON, subject=name) for name in people])
    tell(
        registry, tmp_path, "sum",
        *(
            (one, 1, 0, {"ward": NEEDLE if name == "Ann" else "another"})
            for one, name in zip(ids, people, strict=True)
        ),
    )  # fmt: skip
    assert holding_needle(tmp_path)

    privacy.erase(registry, "Ann", "she asked for it", AUTHOR)
    assert registry.store.scrub()

    assert holding_needle(tmp_path) == []
    assert kept(registry) == 600


@pytest.mark.parametrize("record_days", [None, 10])
def test_labels_are_kept_for_as_long_as_the_payloads_that_they_are_of(
    registry: Registry, version: Version, tmp_path: Path, record_days: int | None
) -> None:
    old = keep(registry, [answer(version, say(0.5), NOON) for _ in range(300)])
    young = keep(registry, [answer(version, say(0.5), NOON + timedelta(days=9))])
    tell(registry, tmp_path, "sum", *((one, 1, 0, {"ward": NEEDLE}) for one in old))
    tell(registry, tmp_path, "sum", (young[0], 1))
    retention = Retention(payload_days=10, record_days=record_days)
    privacy.set_retention(registry, "sum", retention, AUTHOR)

    remover = Remover(registry.store, lambda: NOON + timedelta(days=11))
    while remover.remove_piece():
        pass
    assert registry.store.scrub()

    assert holding_needle(tmp_path) == []
    assert kept(registry) == 1
