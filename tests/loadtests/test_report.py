"""What sessions say together: medians, ratios of neighbours, and gaps that stay in sight."""

import pytest

from loadtests.measure import Session
from loadtests.report import cells, summarise, tabulate
from loadtests.subjects import FASTAPI, GATEWAY
from tests.loadtests.builders import open_result, session


def test_a_line_takes_the_median_of_its_rounds() -> None:
    sessions = [session(GATEWAY, number, count) for number, count in enumerate((8000, 2000, 6000))]
    [line] = summarise(sessions)
    assert (line.slowest, line.per_second, line.fastest) == (1000, 3000, 4000)
    assert line.cpu_us == pytest.approx(50)
    assert line.memory_bytes == 100 << 20


def test_each_round_is_compared_with_the_peer_of_that_round() -> None:
    sessions = [
        session(GATEWAY, 0, 8000), session(FASTAPI, 0, 4000),
        session(GATEWAY, 1, 3000), session(FASTAPI, 1, 1000),
    ]  # fmt: skip
    own, peer = summarise(sessions)
    assert own.ratio == 2.5  # 2.0 in one round, 3.0 in the other
    assert peer.ratio == 1.0


def test_runs_are_compared_at_their_own_number_of_connections() -> None:
    lines = summarise([session(GATEWAY, 0, 8000, 300), session(FASTAPI, 0, 4000, 600)])
    assert [(one.subject, one.connections, one.ratio) for one in lines] == [
        (GATEWAY, 32, 2.0), (GATEWAY, 1, 0.5), (FASTAPI, 32, 1.0), (FASTAPI, 1, 1.0),
    ]  # fmt: skip


def test_no_ratio_is_given_where_the_peer_failed() -> None:
    failed = Session(subject=FASTAPI, workload="W1", round=0, form="V2 JSON", fault="no start")
    own, _ = summarise([session(GATEWAY, 0, 8000), failed])
    assert own.ratio is None


def test_a_server_that_was_not_measured_is_in_the_table_with_its_reason() -> None:
    absent = Session(
        subject="KServe", workload="W1", round=0, form="V2 JSON", fault="not installed: x"
    )
    lines = summarise([session(GATEWAY, 0, 8000), absent])
    assert "not installed: x" in cells(lines[1])
    assert tabulate(lines).row_count == 2


def test_every_row_of_the_table_has_every_column() -> None:
    absent = Session(subject="KServe", workload="W1", round=0, form="V2 JSON", fault="x")
    lines = summarise([session(GATEWAY, 0, 8000, 300), absent])
    assert {len(cells(line)) for line in lines} == {len(tabulate(lines).columns)}


def test_a_rate_that_was_not_kept_has_a_star() -> None:
    opened = [open_result(p99_us=1500), open_result(p99_us=2500, late_p99_us=9000)]
    [line] = summarise([session(GATEWAY, 0, 8000, opened=opened)])
    assert "1.5 / 2.5*" in cells(line)
