"""Opens a data directory, its log and the port, and hands them to the supervisor."""

import fcntl
import importlib
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.logs import logger
from gateway.metrics import Slots
from gateway.settings import Settings
from gateway.summaries import Summaries
from gateway.supervisor import STOP_SIGNALS, become_supervisor
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.errors import Conflict, InvalidRequest, StoreUnavailable
from registry.files import sync_folder
from registry.store import Store, open_store
from registry.times import now
from registry.tlog.note import BadNote

_BACKLOG = 2048
_RETRY_S = 0.1
# The module that workers run.
WORKER = "gateway.worker"


def serve(settings: Settings) -> None:
    """Serve a data directory until told to stop; this process becomes the supervisor.

    Raises Conflict where it is served already, StoreUnavailable where the port is taken,
    InvalidRequest where spans are wanted without what it takes to send them or the log cannot have
    its name, and LogKeyMissing where nobody could sign the log.
    """
    if settings.otlp_endpoint is not None:
        _check_spans()
    store = open_store(settings.data_dir)
    settings.journal_dir.mkdir(mode=0o700, exist_ok=True)
    sync_folder(settings.data_dir)  # a journal whose folder is gone would be gone with it
    with sole_server(settings.data_dir) as lock:
        store.clear_workers()
        Slots(settings.metrics_dir).clear()
        Summaries(settings.summaries_dir).prepare()
        _open_log(settings, store)
        store.close()
        with _listen(settings) as listener:
            # Whoever waits for this line may tell the gateway to stop when it is there.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            logger.info("serving", url=f"http://{settings.host}:{listener.getsockname()[1]}")
            become_supervisor(settings, WORKER, listener=listener.fileno(), lock=lock)


def _open_log(settings: Settings, store: Store) -> None:
    """Say under which name and key the log goes on, for whoever wants to check it later."""
    keys = KeyFile(settings.log_key_path)
    try:
        origin = open_log(store, keys, settings.checkpoint_path, name=settings.log_name, at=now())
    except BadNote as error:
        raise InvalidRequest("log_name", str(error)) from error
    except OSError as error:
        raise InvalidRequest("log_key", f"The key of the log: {error.strerror}.") from error
    logger.info("log_opened", origin=origin.name, vkey=origin.vkey)
    print(origin.vkey, flush=True)


def _check_spans() -> None:
    try:
        importlib.import_module("gateway.spans")
    except ModuleNotFoundError as error:
        message = "Spans need more than is installed: pip install 'governed-gateway[otel]'."
        raise InvalidRequest("otlp_endpoint", message) from error


@contextmanager
def sole_server(data_dir: Path) -> Iterator[int]:
    """Hold the data directory's lock, an open file: the kernel frees it however this process ends.

    Raises Conflict where another process holds it.
    """
    with (data_dir / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{data_dir} is served by another process.") from None
        yield lock.fileno()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    deadline = time.monotonic() + settings.drain_s
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.host, settings.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            # Workers of a supervisor that was killed may hold the port while they finish.
            if time.monotonic() > deadline:
                address = f"{settings.host}:{settings.port}"
                raise StoreUnavailable(f"nothing can listen on {address}") from error
            time.sleep(_RETRY_S)
        else:
            return listener
