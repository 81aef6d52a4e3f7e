import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from gateway.logs import Logger, LogSettings, apply_log_settings, logger
from registry.times import now


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    apply_log_settings(LogSettings())


def test_an_event_is_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = Logger()
    log.name("a test")
    log.info("two\nlines", model="m", seen={"x": 1.5}, what=LogSettings)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    line = json.loads(written)
    since = now() - datetime.fromisoformat(line.pop("timestamp"))
    assert timedelta(0) <= since < timedelta(minutes=1)
    assert line == {
        "model": "m", "seen": {"x": 1.5}, "what": repr(LogSettings),
        "event": "two\nlines", "level": "info", "process": "a test",
    }  # fmt: skip


def test_a_fault_is_written_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        logger.error("failed", exc_info=error)
    line = json.loads(capsys.readouterr().err)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: no")
    assert "exc_info" not in line


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (LogSettings(), "info warning error critical"),
        (LogSettings(log_verbose_level=1, log_info=False), "debug warning error critical"),
        (LogSettings(log_info=False, log_warning=False, log_error=False), "critical"),
    ],
)
def test_what_is_not_wanted_is_not_written(
    capsys: pytest.CaptureFixture[str], settings: LogSettings, wanted: str
) -> None:
    apply_log_settings(settings)
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, level)("event")
    lines = capsys.readouterr().err.splitlines()
    assert " ".join(json.loads(line)["level"] for line in lines) == wanted


def test_logfmt_leaves_no_doubt_where_a_value_ends(capsys: pytest.CaptureFixture[str]) -> None:
    log = Logger()
    log.obey(LogSettings(log_format="logfmt"))
    log.info("e", a="x", b="x y", c="k=v", d='say "no"', f="x\ny", g=None, h=True, i=3, j="a\\")
    line = capsys.readouterr().err
    assert line.startswith(
        r'a=x b="x y" c="k=v" d="say \"no\"" f="x\ny" g= h=true i=3 j="a\\" event=e process= level='
    )
    assert line.count("\n") == 1
