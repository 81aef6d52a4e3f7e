"""The protocol's most used client against a real gateway: every call it has besides inference."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.http.health import EXTENSIONS
from registry.records import Kind, RecordFilter
from registry.reference import derive_reference
from registry.registry import Registry
from tests.builders import (
    Gateway,
    add_key,
    identity_model,
    infer_body,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.http.triton import FLAVOURS, InferenceServerException, Server, open_server
from tests.http.world import GUARDED


class Scene:
    """A gateway of its own, since these calls change what the whole gateway does."""

    def __init__(self, gateway: Gateway, registry: Registry, token: str, server: Server) -> None:
        self.gateway, self.registry, self.server = gateway, registry, server
        self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, call: str, *args: Any, **fields: Any) -> Any:
        return getattr(self.server, call)(*args, **fields)

    def infer(self, model: str = "linear", times: int = 1) -> None:
        with self.gateway.client() as client:
            for _ in range(times):
                answer = client.post(
                    f"/v2/models/{model}/infer",
                    json=infer_body([[1, 2, 3]]),
                    headers=self.headers,
                )
                assert answer.status_code == 200

    def refuses(self, call: str, *args: Any, match: str, **fields: Any) -> None:
        with pytest.raises(InferenceServerException, match=match):
            self.ask(call, *args, **fields)

    def reason(self) -> tuple[str | None, str | None]:
        from registry.entry import decode_record

        wanted = RecordFilter(kind=Kind.ADMIN)
        # The last by its index: ids of one millisecond are in no order.
        _, leaf = max(self.registry.store.records(wanted, before=None, limit=1000))
        record = decode_record(leaf)
        return record.action, record.reason


@pytest.fixture(scope="module", params=FLAVOURS)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    data_dir: Path = tmp_path_factory.mktemp("triton")
    registry = open_registry(data_dir)
    publish(registry, "linear", linear_model())
    publish(registry, "linear", linear_model(2.0))
    rows = np.array([[1, 2, np.nan], [3, 4, 5]], np.float32)
    reference = derive_reference({"x": rows}, outputs={"y": rows[:, :1]})
    guarded = replace(GUARDED, reference=reference)
    publish(registry, "guarded", identity_model("FP32", ("n", 3)), guarded)
    publish(registry, "fixed", identity_model("BYTES", (2, 3)))
    token = add_key(registry)
    with serving(data_dir) as gateway, open_server(request.param, gateway.url, token) as server:
        yield Scene(gateway, registry, token, server)
    registry.store.close()


def test_it_finds_the_server_and_its_models(scene: Scene) -> None:
    assert scene.ask("is_server_live")
    assert scene.ask("is_server_ready")
    assert scene.ask("is_model_ready", "linear", "2")
    assert not scene.ask("is_model_ready", "linear", "7")
    metadata = scene.ask("get_server_metadata")
    assert metadata["extensions"] == list(EXTENSIONS)
    assert scene.ask("get_model_metadata", "linear", "1")["versions"] == ["1", "2"]


def test_it_reads_the_index(scene: Scene) -> None:
    listed = {(one["name"], one["version"], one["state"])
              for one in scene.ask("get_model_repository_index")}  # fmt: skip
    assert listed == {
        ("fixed", "1", "READY"), ("guarded", "1", "READY"),
        ("linear", "1", "READY"), ("linear", "2", "READY"),
    }  # fmt: skip


def test_it_loads_and_unloads(scene: Scene) -> None:
    scene.ask("unload_model", "linear", unload_dependents=True)
    assert not scene.ask("is_model_ready", "linear")
    scene.ask("load_model", "linear")
    assert scene.ask("is_model_ready", "linear")
    scene.refuses("load_model", "linear", config="{}", match="publish the file")
    scene.refuses("load_model", "linear", config="{}", files={"file:1/m": b"x"}, match="publish")
    scene.refuses("unload_model", "none", match="no model")


def test_it_reads_statistics(scene: Scene) -> None:
    scene.infer("guarded", times=3)
    [found] = scene.ask("get_inference_statistics", "guarded", "1")["model_stats"]
    assert (found["inference_count"], found["execution_count"]) == (3, 3)
    assert found["inference_stats"]["success"]["count"] == 3
    everything = scene.ask("get_inference_statistics")["model_stats"]
    assert {one["name"] for one in everything} == {"linear", "guarded", "fixed"}


def test_it_reads_the_configuration(scene: Scene) -> None:
    found = scene.ask("get_model_config", "guarded")
    assert found["max_batch_size"] > 0
    assert found["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]
    assert len(found["contract"]["rules"]) == 3
    seen = found["reference"]
    assert (seen["rows"], seen["output_rows"]) == (2, 2)
    assert [(one["column"], one["missing"]) for one in seen["features"]] == [(0, 0), (1, 0), (2, 1)]
    [output] = seen["outputs"]
    assert output == {"input": "y", "column": None, "kind": "integer", "count": 2, "missing": 0}
    assert found["digests"]["artifact"].startswith("sha256:")

    fixed = scene.ask("get_model_config", "fixed", "1")
    assert fixed["max_batch_size"] == 0
    assert fixed["reference"] is None
    assert fixed["output"] == [{"name": "y", "data_type": "TYPE_STRING", "dims": [2, 3]}]
    scene.refuses("get_model_config", "linear", "9", match="No linear version 9")


DEFAULT_LOGS = {
    "log_file": "", "log_info": True, "log_warning": True, "log_error": True,
    "log_verbose_level": 0, "log_format": "json",
}  # fmt: skip


def rosters(scene: Scene) -> list[Any]:
    return [line for line in scene.gateway.log if "roster_loaded" in line["event"]]


def test_it_changes_what_is_logged_in_effect(scene: Scene) -> None:
    assert scene.ask("get_log_settings") == DEFAULT_LOGS
    assert rosters(scene) == []

    changed = scene.ask("update_log_settings", {"log_verbose_level": 1, "log_info": False})
    assert changed == {**DEFAULT_LOGS, "log_verbose_level": 1, "log_info": False}
    assert scene.ask("get_log_settings") == changed
    assert scene.reason()[0] == "logging.set"
    assert scene.gateway.wait_for("roster_loaded")["level"] == "debug"

    scene.ask("update_log_settings", {"log_format": "logfmt"})
    scene.ask("update_log_settings", {"log_format": "json"})
    scene.ask("update_log_settings", {"log_verbose_level": 0, "log_info": True})
    assert scene.ask("get_log_settings") == DEFAULT_LOGS
    assert any("event=roster_loaded" in line["event"] for line in scene.gateway.log)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"log_file": "/tmp/x"}, "standard error"),
        ({"log_info": "perhaps"}, "log_info"),
        ({"log_verbose_level": -1}, "log_verbose_level"),
        ({"log_format": "xml"}, "log_format"),
        ({"unknown": 1}, "can be set"),
    ],
)
def test_a_log_setting_that_is_none_is_refused(
    scene: Scene, change: dict[str, Any], match: str
) -> None:
    scene.refuses("update_log_settings", change, match=match)
    assert scene.ask("get_log_settings") == DEFAULT_LOGS


DEFAULT_TRACES = {
    "trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0",
}  # fmt: skip


def test_traced_requests_leave_their_times_in_the_log(scene: Scene) -> None:
    assert scene.ask("get_trace_settings") == DEFAULT_TRACES
    own = {"trace_level": ["TIMESTAMPS"], "trace_rate": "3", "trace_count": "2"}
    changed = scene.ask("update_trace_settings", "linear", settings=own)
    assert changed == {**DEFAULT_TRACES, **own}
    assert scene.ask("get_trace_settings") == DEFAULT_TRACES
    assert scene.reason()[0] == "trace.set"

    scene.infer("guarded", times=6)
    scene.infer("linear", times=12)
    # A last event that comes behind all that the requests left.
    scene.ask("update_trace_settings", "guarded", settings={**own, "trace_rate": "1"})
    scene.infer("guarded")
    events = [scene.gateway.wait_for("trace") for _ in range(3)]

    assert [event["model"] for event in events] == ["linear", "linear", "guarded"]
    for event in events[:2]:
        parts = event["queue_ns"] + event["compute_ns"] + event["encode_ns"]
        assert event["total_ns"] > parts > 0
        assert event["version"] == 2
        with scene.gateway.client() as client:
            path = f"/audit/records/{event['record_id']}"
            assert client.get(path, headers=scene.headers).status_code == 200

    for model in ("linear", "guarded"):
        nothing = dict.fromkeys(own)
        assert scene.ask("update_trace_settings", model, settings=nothing) == DEFAULT_TRACES
    assert scene.registry.store.settings() == [] or all(
        setting.name != "trace" for setting in scene.registry.store.settings()
    )


def test_a_model_goes_by_the_settings_for_all_where_it_has_none(scene: Scene) -> None:
    scene.ask("update_trace_settings", settings={"trace_rate": 7})
    scene.ask("update_trace_settings", "linear", settings={"trace_count": 5})
    found = scene.ask("get_trace_settings", "linear")
    assert (found["trace_rate"], found["trace_count"]) == ("7", "5")
    scene.ask("update_trace_settings", settings={"trace_rate": None})
    scene.ask("update_trace_settings", "linear", settings={"trace_count": None})
    assert scene.ask("get_trace_settings", "linear") == DEFAULT_TRACES


@pytest.mark.parametrize(
    "change",
    [{"trace_level": ["TENSORS"]}, {"trace_rate": "0"}, {"trace_count": -2}, {"trace_mode": "x"},
     {"log_frequency": "often"}],
)  # fmt: skip
def test_a_trace_setting_that_is_none_is_refused(scene: Scene, change: dict[str, Any]) -> None:
    scene.refuses("update_trace_settings", settings=change, match="can be set")
    scene.refuses("update_trace_settings", "linear", settings=change, match="can be set")
    assert scene.ask("get_trace_settings") == DEFAULT_TRACES


def test_an_unknown_model_has_no_trace_settings(scene: Scene) -> None:
    scene.refuses("get_trace_settings", "none", match="no model")
    scene.refuses("update_trace_settings", "none", settings={"trace_rate": 2}, match="no model")
