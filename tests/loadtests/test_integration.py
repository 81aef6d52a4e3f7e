"""The measurement of integration sees every record covered, and says how late."""

import time
from pathlib import Path

import pytest

from loadtests import integration, machine
from loadtests.errors import LoadTestError
from loadtests.integration import Lag, run_all, write_table
from registry.tlog.note import Checkpoint
from tests.builders import PATIENCE_S


def test_a_real_controller_covers_every_record_that_was_written(tmp_path: Path) -> None:
    [phase] = run_all(tmp_path, machine.two_cores()[0], (200,), 1.0)
    assert phase.written == 200
    assert 0 < phase.lag_p50 <= phase.lag_p99 <= phase.lag_most
    assert phase.backlog_most <= 200
    assert write_table([phase]).row_count == 1


def test_the_lag_of_a_group_ends_with_the_checkpoint_that_covers_it(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_text(Checkpoint("log", 10, bytes(32)).write())
    lag = Lag(path)
    lag.durable(5)
    lag.durable(5)
    path.write_text(Checkpoint("log", 15, bytes(32)).write())
    started = time.monotonic()
    while not lag.lags:
        assert time.monotonic() - started < PATIENCE_S
    path.write_text(Checkpoint("log", 20, bytes(32)).write())
    lag.finish()
    assert lag.counts == [5, 5]
    assert lag.lags[0] <= lag.lags[1]


def test_records_that_are_never_published_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integration, "_PATIENCE_S", 0.1)
    path = tmp_path / "checkpoint"
    path.write_text(Checkpoint("log", 10, bytes(32)).write())
    lag = Lag(path)
    lag.durable(5)
    with pytest.raises(LoadTestError, match="5 records"):
        lag.finish()
