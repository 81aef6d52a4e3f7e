"""A supervisor that is killed leaves nothing behind: neither processes nor a taken port."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from registry.registry import Registry
from tests.builders import add_key, linear_model, publish, serving
from tests.crash.checker import check
from tests.crash.ledger import Callers
from tests.crash.processes import children, wait_for_end

ENDED_WITHIN_S = 5
ASKS = (
    "import sys; from registry.apart import run_apart;"
    " run_apart('tests.crash.idle', sys.argv[1].encode(), 600)"
)


def test_processes_end_with_their_supervisor_and_a_new_one_takes_over(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)

    with serving(tmp_path, workers=2) as gateway, Callers(gateway.url, token, "sum") as callers:
        processes = children(gateway, "gateway.")
        assert len(processes) == 3
        callers.wait_for_answers(100)
        gateway.process.kill()
        wait_for_end(processes, ENDED_WITHIN_S + gateway.started_s)
        port = int(gateway.url.rpartition(":")[2])
        with serving(tmp_path, workers=2, port=port):
            callers.wait_for_answers(100)

    assert callers.unexpected == []
    assert check(registry.store, tmp_path, callers.acknowledged).is_clean


def test_a_controller_that_was_started_anew_ends_with_its_supervisor(
    tmp_path: Path, registry: Registry
) -> None:
    with serving(tmp_path) as gateway:
        [controller] = children(gateway, "gateway.controller")
        os.kill(controller, signal.SIGKILL)
        gateway.wait_for("controller_ready")
        processes = children(gateway, "gateway.")
        assert controller not in processes

        gateway.process.kill()
        wait_for_end(processes, ENDED_WITHIN_S + gateway.started_s)

    assert not [line for line in gateway.log if "Traceback" in line["event"]]


def test_what_runs_apart_ends_with_whoever_asked_for_it(tmp_path: Path) -> None:
    said = tmp_path / "said"
    os.mkfifo(said)
    asker = subprocess.Popen([sys.executable, "-c", ASKS, str(said)])
    child = int(said.read_text())  # waits for it
    asker.kill()
    asker.wait()

    wait_for_end([child], ENDED_WITHIN_S)
