"""Spans as a real collector gets them, and the caller's trace in the record."""

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.serve import serve
from gateway.settings import Settings
from registry.errors import InvalidRequest
from tests.builders import add_key, infer_body, linear_model, open_registry, publish, serving
from tests.http.world import World, check_problem

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(HTTPServer):
    """Takes what an OTLP exporter posts; `status` is what it answers."""

    def __init__(self, status: int = 200) -> None:
        self.posts: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self.status = status
        super().__init__(("127.0.0.1", 0), Receiver)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Any]:
        """Return all spans that have come so far."""
        found = []
        while not self.posts.empty():
            path, body = self.posts.get()
            assert path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                assert names["service.name"] == "governed-gateway"
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.put((self.path, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    with Collector(status) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def infer(client: httpx.Client, traceparent: str | None = None, model: str = "linear") -> Any:
    headers = {} if traceparent is None else {"traceparent": traceparent}
    return client.post(f"/v2/models/{model}/infer", json=infer_body([[1, 2, 3]]), headers=headers)


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_each_recorded_call_is_a_span_of_its_callers_trace(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "linear", linear_model())
    token = add_key(registry)
    with collecting() as collector:
        with serving(tmp_path, "--otlp-endpoint", collector.url) as gateway:
            with gateway.client(token) as client:
                answered = infer(client, f"00-{TRACE}-{PARENT}-01")
                infer(client, f"00-{TRACE}-{PARENT}-00")  # its caller does not keep it
                refused = infer(client, f"00-{TRACE}-{PARENT}-01", model="none")
                alone = infer(client, "malformed")
            with gateway.client() as stranger:
                infer(stranger)
            assert gateway.stop() == 0  # what waits is sent before a worker ends
        spans = {attributes(span)["gateway.record_id"]: span for span in collector.spans()}
    registry.store.close()

    assert set(spans) == {one.headers["x-record-id"] for one in (answered, refused, alone)}
    span = spans[answered.headers["x-record-id"]]
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("infer", TRACE, PARENT)
    told = attributes(span)
    assert (told["gateway.model"], told["gateway.version"], told["gateway.lane"]) == (
        "linear", 1, "champion",
    )  # fmt: skip
    elapsed_ns = span.end_time_unix_nano - span.start_time_unix_nano
    assert elapsed_ns > told["gateway.queue_ns"] + told["gateway.compute_ns"] > 0

    span = spans[refused.headers["x-record-id"]]
    assert (attributes(span)["error.type"], span.status.code) == ("not-found", 2)
    span = spans[alone.headers["x-record-id"]]
    assert span.parent_span_id == b""
    assert span.trace_id.hex() not in (TRACE, "0" * 32)


def test_a_collector_that_fails_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # ms until spans are sent, else 5000
    registry = open_registry(tmp_path)
    publish(registry, "linear", linear_model())
    token = add_key(registry)
    with collecting(400) as collector:
        options = ("--otlp-endpoint", collector.url)
        with serving(tmp_path, *options) as gateway, gateway.client(token) as client:
            assert infer(client).status_code == 200
            collector.posts.get(timeout=30)
            assert infer(client).status_code == 200
            check_problem(infer(client, model="none"), 404, "not-found")
    registry.store.close()


def test_spans_without_the_extra_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gateway.spans", None)
    with pytest.raises(InvalidRequest, match=r"governed-gateway\[otel\]"):
        serve(Settings(data_dir=tmp_path, otlp_endpoint="http://127.0.0.1:9"))


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    code = "import sys, gateway.worker, gateway.serve, gateway.cli; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not [name for name in modules if name.startswith(("opentelemetry", "gateway.spans"))]


@pytest.mark.parametrize(
    ("header", "trace"),
    [(f"00-{TRACE}-{PARENT}-00", TRACE), ("00-" + "x" * 52, None), (None, None)],
)
def test_a_record_has_the_trace_of_its_caller(
    world: World, client: httpx.Client, header: str | None, trace: str | None
) -> None:
    for model in ("linear", "none"):
        answer = infer(client, header, model)
        record = client.get(f"/audit/records/{answer.headers['x-record-id']}").json()["record"]
        assert record.get("trace") == trace
