import pytest
import structlog

from gateway.tracing import Times, Tracer, Tracers, TraceSettings, effective, trace_models

ON = '{"trace_level": ["TIMESTAMPS"], "trace_rate": "2"}'


def times(number: int, model: str = "a", error: str | None = None) -> Times:
    return Times(
        record_id=str(number), model=model, version=1, lane="champion", error=error, trace=None,
        queue_ns=1, compute_ns=2, encode_ns=3, total_ns=9,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "count", "frequency", "wanted"),
    [
        (1, -1, 0, [1, 2, 3, 4, 5, 6, 7]),
        (3, -1, 0, [3, 6]),
        (2, 2, 0, [2, 4]),
        (1, 0, 0, []),
        (1, -1, 3, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_requests_asked_for_are_written(
    rate: int, count: int, frequency: int, wanted: list[int]
) -> None:
    settings = TraceSettings(
        trace_level=("TIMESTAMPS",), trace_rate=rate, trace_count=count, log_frequency=frequency
    )
    tracer = Tracer(settings)
    with structlog.testing.capture_logs() as logs:
        for number in range(1, 8):
            tracer.note(times(number))
    assert [int(line["record_id"]) for line in logs] == wanted


def test_nothing_is_made_while_no_model_is_traced() -> None:
    assert trace_models(["a", "b"], {}, None) is None
    assert trace_models(["a", "b"], {"c": ON, "a": '{"trace_rate": 1}'}, None) is None


def test_a_model_counts_on_until_its_settings_change() -> None:
    first = trace_models(["a", "b"], {None: ON}, None)
    assert isinstance(first, Tracers)
    second = trace_models(["a", "b"], {None: ON, "b": '{"trace_count": 3}'}, first)
    assert isinstance(second, Tracers)
    settings = effective(ON)
    assert second.find("a", settings) is first.find("a", settings) is not None
    assert second.find("b", settings) is None


def test_a_request_that_was_refused_or_whose_model_is_not_traced_leaves_nothing() -> None:
    tracers = trace_models(["a"], {None: '{"trace_level": ["TIMESTAMPS"], "trace_rate": 1}'}, None)
    assert tracers is not None
    with structlog.testing.capture_logs() as logs:
        tracers.note(times(1, "b"))
        tracers.note(times(2, "a", "range"))
        tracers.note(times(3, "a"))
    assert [line["record_id"] for line in logs] == ["3"]


class BrokenLog:
    def info(self, *_: object, **__: object) -> None:
        raise BrokenPipeError


def test_a_log_that_cannot_be_written_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tracing.logger", BrokenLog())
    tracer = Tracer(TraceSettings(trace_level=("TIMESTAMPS",), trace_rate=1, trace_count=1))
    tracer.note(times(1))
    monkeypatch.undo()
    with structlog.testing.capture_logs() as logs:
        tracer.note(times(2))
    assert logs == []  # the one that could not be written was the one
