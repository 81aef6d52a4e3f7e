"""A benchmark leaves no server out in silence, and says what it met."""

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from loadtests import subjects, workloads
from loadtests.bench import describe, takes_part
from loadtests.errors import LoadTestError
from loadtests.measure import Course, Material, Session, Trial
from loadtests.model import MODEL, train
from loadtests.rollouts import shadow_with_twin, share_with_twin
from loadtests.server import publish
from loadtests.subjects import (
    BUILT,
    FASTAPI,
    GATEWAY,
    ONNXRUNTIME_SERVER,
    OUR_CPP,
    UNGUARDED,
    Subject,
)
from loadtests.workloads import W1
from registry.store import open_store
from tests.loadtests.builders import open_result, session


def run(folder: Path, **subject: Any) -> Session:
    (folder / "published").mkdir()
    trial = Trial(
        course=Course(wrk="wrk", closed_s=1, opened_s=1, server_core=0, client_core=1),
        subject=Subject(name="peer", **subject),
        workload=W1,
        material=Material(
            trained=train(), model_file=folder / "m", data_dir=folder / "published", key="k"
        ),
        folder=folder,
        round=0,
    )
    return trial.run()


def test_a_peer_that_is_not_installed_says_so(tmp_path: Path) -> None:
    found = run(tmp_path, command=["none"], program=tmp_path / "none")
    assert found.fault.startswith("not installed")
    assert found.closed == []


def test_a_peer_that_does_not_start_says_its_last_words(tmp_path: Path) -> None:
    found = run(tmp_path, command=[sys.executable, "-c", "raise SystemExit('no such model')"])
    assert found.fault == "The server did not start. Its last words: no such model"


def test_a_subject_may_change_its_own_copy_of_what_it_serves(tmp_path: Path) -> None:
    found = run(tmp_path, command=["none"], prepare=lambda folder: (folder / "new").touch())
    assert found.fault
    assert (tmp_path / "data" / "new").exists()
    assert not (tmp_path / "published" / "new").exists()


def test_a_tenth_of_the_callers_meet_a_twin_of_the_version(tmp_path: Path) -> None:
    trained = train()
    publish(tmp_path, MODEL, [(trained.artifact, trained.draft)])

    share_with_twin(tmp_path)

    store = open_store(tmp_path)
    first, second = store.versions(MODEL)
    [rollout] = store.open_rollouts()
    store.close()
    assert first.artifact == second.artifact
    assert (rollout.plan.challenger, rollout.points, rollout.shadow_points) == (2, 1_000, 0)
    assert all(guard.judges(is_shadow=False) for guard in rollout.plan.guards)


def test_a_twin_of_the_version_runs_beside_a_tenth_of_the_answers(tmp_path: Path) -> None:
    trained = train()
    publish(tmp_path, MODEL, [(trained.artifact, trained.draft)])

    shadow_with_twin(tmp_path)

    store = open_store(tmp_path)
    [rollout] = store.open_rollouts()
    store.close()
    assert (rollout.plan.challenger, rollout.points, rollout.shadow_points) == (2, 0, 1_000)
    assert all(guard.judges(is_shadow=True) for guard in rollout.plan.guards)


def test_only_the_whole_gateway_is_measured_with_more_workers() -> None:
    [two] = workloads.choose(["2 workers"])
    names = [one.name for one in subjects.all_subjects() if takes_part(one, two, 0)]
    assert names == [GATEWAY]


def test_the_gateway_and_what_it_is_compared_with_have_every_round() -> None:
    names = {one.name for one in subjects.all_subjects() if takes_part(one, W1, 1)}
    assert {GATEWAY, UNGUARDED, FASTAPI, OUR_CPP, ONNXRUNTIME_SERVER} <= names
    assert "KServe" not in names


def test_a_server_without_a_form_for_large_batches_is_asked_for_none() -> None:
    asked = {
        workload.name: {one.name for one in subjects.all_subjects() if takes_part(one, workload, 0)}
        for workload in workloads.choose(["W1", "W2", "W3", "GB"])
    }
    assert {name for name, servers in asked.items() if ONNXRUNTIME_SERVER not in servers} == {"W3"}


@pytest.mark.parametrize("place", ["", "missing", "."])
def test_a_server_that_nobody_has_built_says_how_it_is_named(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUILT, place)
    [one] = subjects.choose([ONNXRUNTIME_SERVER])
    assert not one.is_installed
    assert BUILT in one.remedy


def test_a_server_that_was_built_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "onnxruntime_server"
    program.write_bytes(b"built")
    monkeypatch.setenv(BUILT, str(program))
    [one] = subjects.choose([ONNXRUNTIME_SERVER])
    assert one.is_installed
    assert one.versions() == {"build": sha256(b"built").hexdigest()[:12]}


def test_a_name_that_nobody_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(LoadTestError, match="KServe"):
        subjects.choose(["Kserve"])
    with pytest.raises(LoadTestError, match="W3"):
        workloads.choose(["W9"])


def test_a_rate_that_was_not_kept_is_told_at_once() -> None:
    opened = [open_result(p99_us=1500), open_result(p99_us=2500, unanswered=3)]
    told = describe(session(GATEWAY, 0, 8000, opened=opened))
    assert "1.5 ms p99 at 1,000/s," in told
    assert told.endswith("2.5 ms p99 at 1,000/s (rate not kept)")
