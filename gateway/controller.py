"""The one process that works for all workers: it brings their journals into the store."""

import os
import select
import signal
import sys
import threading
import time

from gateway.logs import configure_logs, logger
from gateway.settings import Settings, read_settings
from registry.audit.log import integrate
from registry.errors import RegistryError
from registry.removal import Remover
from registry.store import Store, open_store

_BACKOFF_S = 1.0
_REMOVAL_S = 0.02  # integration can wait this long
# Workers answer callers; the controller can wait.
_NICENESS = 10


def run_controller(settings: Settings, stop: threading.Event) -> None:
    """Integrate until told to stop, then once more; a full disk or busy store is waited out."""
    store = open_store(settings.data_dir, settings.payload_key)
    remover = Remover(store)
    logger.info("controller_ready")
    try:
        while not stop.is_set():
            stop.wait(_round(store, settings, remover))
        _round(store, settings, remover)
    finally:
        store.close()


def _round(store: Store, settings: Settings, remover: Remover) -> float:
    """Integrate once and return how many seconds to wait before the next time."""
    started = time.monotonic()
    try:
        result = integrate(store, settings.journal_dir)
    except (RegistryError, OSError) as error:
        logger.error("integration_failed", error=type(error).__name__, detail=str(error))
        return _BACKOFF_S
    _remove(remover)
    for segment in result.damaged:
        logger.critical("journal_damaged", segment=segment)
    return max(0.0, settings.poll_s - (time.monotonic() - started))


def _remove(remover: Remover) -> None:
    try:
        remover.run(_REMOVAL_S)
    except RegistryError as error:
        logger.error("removal_failed", error=type(error).__name__, detail=str(error))


def main() -> None:
    """Run the controller from its command line: settings and pipe as the supervisor gives."""
    settings = read_settings(sys.argv[1])
    configure_logs("controller")
    os.nice(_NICENESS)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # A terminal's interrupt reaches the whole group; the supervisor says when the workers are done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_stop_with_parent, args=(int(sys.argv[2]), stop), daemon=True).start()
    run_controller(settings, stop)


def _stop_with_parent(parent: int, stop: threading.Event) -> None:
    # Not a read: the workers' event loops make this pipe non-blocking for all who hold it.
    select.select([parent], [], [])  # returns when the other end closes
    stop.set()


if __name__ == "__main__":
    main()
