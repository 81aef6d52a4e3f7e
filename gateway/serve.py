"""The supervisor: opens the port, starts workers and the controller, and starts them anew."""

import asyncio
import fcntl
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.logs import logger
from gateway.metrics import Slots
from gateway.settings import Settings, write_settings
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.errors import Conflict, InvalidRequest, StoreUnavailable
from registry.files import sync_folder
from registry.store import Store, open_store
from registry.times import now
from registry.tlog.note import BadNote

_BACKLOG = 2048
_RESTART_S = 0.1
_LONGEST_RESTART_S = 5.0
# A process that lived this long did not fail at its start.
_SETTLED_S = 10.0


class Supervisor:
    """Keeps one controller and N workers running until told to stop.

    The listener stays open here, so that connections made while a worker starts anew wait for it,
    and is closed first of all at the end, so that nobody waits for an answer that will not come.
    """

    def __init__(self, settings: Settings, store: Store, listener: socket.socket) -> None:
        self._settings = settings
        self._store = store
        self._listener = listener
        self._stopping = asyncio.Event()
        self._children: dict[str, asyncio.subprocess.Process] = {}
        # Children end when the other end of this pipe closes, as it does if this process dies.
        self._pipe, self._own_end = os.pipe()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; workers finish their answers before the controller ends."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        listener, pipe = self._listener.fileno(), self._pipe
        controller = asyncio.create_task(self._keep("controller", "gateway.controller", pipe))
        workers = [
            asyncio.create_task(self._keep(f"worker {n}", "gateway.worker", listener, pipe, slot=n))
            for n in range(self._settings.workers)
        ]
        await self._stopping.wait()
        self._listener.close()
        await self._end("worker", workers)
        await self._end("controller", [controller])

    async def _keep(
        self, name: str, module: str, *descriptors: int, slot: int | None = None
    ) -> None:
        delay_s = _RESTART_S
        while not self._stopping.is_set():
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                write_settings(self._settings),
                *map(str, descriptors),
                *([] if slot is None else [str(slot)]),
                pass_fds=descriptors,
            )
            self._children[name] = process
            status = await process.wait()
            await self._forget(process.pid)
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _SETTLED_S:
                delay_s = _RESTART_S
            logger.error("process_ended", name=name, status=status, restart_s=delay_s)
            await asyncio.wait([asyncio.create_task(self._stopping.wait())], timeout=delay_s)
            delay_s = min(delay_s * 2, _LONGEST_RESTART_S)

    async def _forget(self, pid: int) -> None:
        try:
            await asyncio.to_thread(self._store.forget_worker, pid)
        except StoreUnavailable as error:
            logger.warning("worker_not_forgotten", pid=pid, detail=str(error))

    async def _end(self, kind: str, keepers: list[asyncio.Task[None]]) -> None:
        processes = [p for name, p in self._children.items() if name.startswith(kind)]
        for process in processes:
            if process.returncode is None:
                process.terminate()
        # Uvicorn closes what is idle at once and waits for answers under way up to the drain time.
        _, late = await asyncio.wait(keepers, timeout=self._settings.drain_s + 5)
        for process in processes if late else ():
            if process.returncode is None:
                logger.error("process_killed", pid=process.pid)
                process.kill()
        await asyncio.gather(*keepers)


def serve(settings: Settings) -> None:
    """Serve a data directory until told to stop.

    Raises Conflict where it is served already, StoreUnavailable where the port is taken,
    InvalidRequest where spans are wanted without what it takes to send them or the log cannot have
    its name, and LogKeyMissing where nobody could sign the log.
    """
    if settings.otlp_endpoint is not None:
        _check_spans()
    store = open_store(settings.data_dir)
    settings.journal_dir.mkdir(mode=0o700, exist_ok=True)
    sync_folder(settings.data_dir)  # a journal whose folder is gone would be gone with it
    with sole_server(settings.data_dir):
        store.clear_workers()
        Slots(settings.metrics_dir).clear()
        _open_log(settings, store)
        with _listen(settings) as listener:
            logger.info("serving", url=f"http://{settings.host}:{listener.getsockname()[1]}")
            asyncio.run(Supervisor(settings, store, listener).run())
        store.close()


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
def sole_server(data_dir: Path) -> Iterator[None]:
    """Hold the data directory's lock, which the kernel frees however this process ends.

    Raises Conflict where another process holds it.
    """
    with (data_dir / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{data_dir} is served by another process.") from None
        yield


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
            time.sleep(_RESTART_S)
        else:
            return listener
