import os
import subprocess
import sys
import threading
from pathlib import Path

from gateway.controller import Controller
from gateway.settings import Settings
from registry.registry import Registry
from registry.workers import WorkerStatus


def test_a_worker_whose_process_has_ended_is_forgotten(tmp_path: Path, registry: Registry) -> None:
    store = registry.store
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for worker, pid in (("ended", ended.pid), ("runs", os.getpid())):
        store.report_worker(WorkerStatus(worker=worker, pid=pid, generation=0, failures={}))
    settings = Settings(data_dir=tmp_path)
    settings.journal_dir.mkdir(exist_ok=True)

    stop = threading.Event()
    stop.set()
    Controller(settings, store).run(stop)

    assert [status.worker for status in store.workers()] == ["runs"]
