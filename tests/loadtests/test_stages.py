"""The stages of a request are those of a worker, each done on a request that would be answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.monitor.rows import MOST_ROWS
from gateway.observation import BLOCK_ROWS
from gateway.roster import ServedVersion
from gateway.runtime import Watchdog
from gateway.version_loading import load_version
from loadtests import stages, workloads
from loadtests.bench import prepare
from loadtests.errors import LoadTestError
from loadtests.model import MODEL
from loadtests.stages import Work
from registry.artifacts import Artifacts
from registry.registry import Registry
from registry.store import open_store

W2, W3 = workloads.choose(stages.NAMES)


@contextmanager
def loaded(folder: Path) -> Iterator[ServedVersion]:
    data_dir = prepare(W2, folder).data_dir
    store, watchdog = open_store(data_dir), Watchdog(5)
    registry = Registry(store, Artifacts(data_dir / "artifacts"))
    yield load_version(registry, registry.version(MODEL, 1), None, watchdog)
    watchdog.close()
    store.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedVersion]:
    with loaded(tmp_path_factory.mktemp("stages")) as served:
        yield served


def once_us(work: Work) -> float:
    work()
    return 2.0


@pytest.mark.parametrize("workload", [W2, W3], ids=lambda one: one.name)
def test_every_stage_is_done_and_timed_in_its_order(
    served: ServedVersion, workload: workloads.Workload
) -> None:
    found = stages.measure(stages.write(workload, served), once_us)

    assert [one.name for one in found] == [
        "decode", "rules on the input", "run of the model", "rules on the output, and encode",
        "record", "write for the journal", "count values",
    ]  # fmt: skip
    assert [one.us for one in found[:-1]] == [2.0] * 6
    assert found[-1].us == 2.0 * MOST_ROWS / BLOCK_ROWS  # requests that fill a block


def test_w3_is_asked_in_binary_and_w2_in_text(served: ServedVersion) -> None:
    text, binary = (stages.write(workload, served) for workload in (W2, W3))

    assert text.header_length is None
    assert binary.header_length is not None
    assert len(binary.body) - binary.header_length == 1_024 * 30 * 4


def test_what_would_not_be_answered_is_not_timed(served: ServedVersion) -> None:
    asked = stages.write(W3, served)

    with pytest.raises(LoadTestError, match="refuse the request"):
        stages.measure(replace(asked, body=asked.body[:-1]), once_us)


def test_the_table_adds_up(served: ServedVersion) -> None:
    asked = stages.write(W2, served)
    part = stages.Stage("a part", 1.0)
    table = stages.tabulate(
        W2, asked, [stages.Stage("one", 1.0), stages.Stage("other", 3.0, (part,))]
    )

    assert [list(column.cells) for column in table.columns] == [
        ["one", "other", "  a part", "all stages"],
        ["1.0", "3.0", "1.0", "4.0"],
        ["25%", "75%", "25%", "100%"],
    ]
