"""The one process that works for all workers: it integrates their journals, signs the log, and
watches what they count, and tells people what they are to know.
"""

import importlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.drift.acting import CONTROLLER
from gateway.drift.watch import Watch
from gateway.logs import configure_logs, logger
from gateway.metrics.slots import Slots
from gateway.notifications.dispatch import Dispatcher
from gateway.notifications.failures import FailedLoads
from gateway.notifications.secrets import Secrets
from gateway.notifications.suspensions import Name, Share, Suspensions
from gateway.processes import is_running
from gateway.rollout.steering import Steering
from gateway.settings import Settings, read_settings
from gateway.shadow.tending import ShadowTender
from gateway.summaries import Summaries
from gateway.truth.apart import TruthApart
from gateway.truth.deferred import DeferredTruth
from gateway.truth.known import KnownTruth, Stage
from registry.artifacts import Artifacts
from registry.audit.keyfile import KeyFile
from registry.audit.log import drop_segments, integrate
from registry.audit.origins import open_log
from registry.audit.publisher import Publisher
from registry.errors import RegistryError
from registry.promoting import expire_due
from registry.records import SignedCheckpoint
from registry.registry import Registry
from registry.removal import Remover
from registry.rollouts import TruthEvidence
from registry.store import Store, open_store
from registry.times import now

if TYPE_CHECKING:
    from gateway.witness import Witness

_BACKOFF_S = 1.0
_REMOVAL_S = 0.02  # integration can wait this long
_SECOND_S = 1.0
# Workers answer callers; the controller can wait.
_NICENESS = 10


class Controller:
    """Brings records into the store and publishes checkpoints, until told to stop.

    Neither waits for the other to succeed: a full disk or busy store is waited out, and what
    cannot be signed is integrated all the same.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._journal_dir = settings.journal_dir
        self._poll_s = settings.poll_s
        keys = KeyFile(settings.log_key_path)
        open_log(store, keys, settings.checkpoint_path, name=settings.log_name, at=now())
        self._publisher = Publisher(
            store, keys, settings.checkpoint_path, on_published=self._tell_witnesses
        )
        self._remover = Remover(store)
        registry = Registry(store, Artifacts(settings.artifacts_dir))
        self._watch = Watch(registry, Summaries(settings.summaries_dir))
        self._known_truth = KnownTruth(settings.metrics_dir)
        source = TruthApart(settings.data_dir, settings.payload_key)
        truth = DeferredTruth(source, self._show_truth)
        self._steering = Steering(
            registry, CONTROLLER, truth, scores=truth.scores, is_read=truth.is_read
        )
        self._dispatcher = Dispatcher(store, Secrets(settings.destinations_dir))
        self._failed_loads = FailedLoads(store)
        self._slots = Slots(settings.metrics_dir)
        self._suspensions = Suspensions(registry, CONTROLLER)
        self._registry = registry
        self._second_begins = 0.0
        self._publish_again = 0.0
        self._witnesses = _open_witnesses(settings, store, self._publisher)
        self._shadow = ShadowTender(settings, store)
        self._publish()  # what a kill may have left signed and unseen

    def run(self, stop: threading.Event) -> None:
        """Work in rounds; the last begins after the stop, and leaves no record unpublished."""
        while not stop.is_set():
            self._shadow.look()
            stop.wait(self._round())
        self._shadow.close()
        self._round(is_last=True)
        self._dispatcher.close()
        for witness in self._witnesses:
            witness.close()

    def _round(self, *, is_last: bool = False) -> float:
        """Do what there is to do, and return how many seconds to wait before the next time."""
        started = time.monotonic()
        self._dispatcher.look()
        try:
            result = integrate(self._store, self._journal_dir, after_batch=self._between_batches)
            reached = self._store.tree_size()
            self._publish(at_once=is_last)
            # A segment outlives its records' way to where anybody can check them.
            if self._publisher.size >= reached:
                drop_segments(self._store, self._journal_dir, result.done)
        except (RegistryError, OSError) as error:
            logger.error("integration_failed", error=type(error).__name__, detail=str(error))
            return _BACKOFF_S
        for segment in result.damaged:
            logger.critical("journal_damaged", segment=segment)
        self._look_at_workers(is_last=is_last)
        self._remove()
        self._watch_values(is_last=is_last)
        if not is_last:
            self._steer()
        if started >= self._second_begins:
            self._second_begins = started + _SECOND_S
            self._tell_suspensions()
            self._expire_promotions()
        return max(0.0, self._poll_s - (time.monotonic() - started))

    def _between_batches(self) -> None:
        self._publish()
        self._look_at_workers()
        self._dispatcher.look()

    def _publish(self, *, at_once: bool = False) -> None:
        if time.monotonic() < self._publish_again and not at_once:
            return
        try:
            if at_once:
                self._publisher.publish()
            else:
                self._publisher.publish_if_due()
        except (RegistryError, OSError) as error:
            logger.critical("checkpoint_failed", error=type(error).__name__, detail=str(error))
            self._publish_again = time.monotonic() + _BACKOFF_S

    def _look_at_workers(self, *, is_last: bool = False) -> None:
        """Forget the workers that have ended, so that nobody waits for what they will never say,
        and tell of what the others cannot load.

        One that is still to be forgotten has crashed: challengers that answer callers are rolled
        back for it. Not at the end, when workers that take too long are killed.
        """
        try:
            workers = self._store.workers()
            ended = [status for status in workers if not is_running(status.pid)]
            if ended and not is_last:
                self._steering.trip_canaries(status.worker for status in ended)
            for status in ended:
                self._store.forget_worker(status.pid)
            self._failed_loads.look(workers)
        except RegistryError as error:
            logger.warning("workers_not_looked_at", detail=str(error))

    def _remove(self) -> None:
        try:
            self._remover.run(_REMOVAL_S)
        except RegistryError as error:
            logger.error("removal_failed", error=type(error).__name__, detail=str(error))

    def _watch_values(self, *, is_last: bool) -> None:
        try:
            self._watch.run(is_last=is_last)
        except (RegistryError, OSError) as error:
            logger.error("watch_failed", error=type(error).__name__, detail=str(error))
        except Exception as error:  # noqa: BLE001 - records are integrated whatever is wrong here
            logger.error("watch_failed", exc_info=error)

    def _steer(self) -> None:
        try:
            self._steering.run()
        except (RegistryError, OSError) as error:
            logger.error("rollouts_not_steered", error=type(error).__name__, detail=str(error))

    def _show_truth(self, known: Mapping[Stage, Mapping[int, TruthEvidence]]) -> None:
        try:
            self._known_truth.write(known)
        except OSError as error:
            logger.warning("ground_truth_not_shown", detail=str(error.strerror))

    def _tell_suspensions(self) -> None:
        """Tell of rules that workers have suspended, as of what they wrote down a second ago."""
        try:
            self._suspensions.look(_suspended(self._slots))
        except (RegistryError, OSError) as error:
            logger.error("suspensions_not_told", error=type(error).__name__, detail=str(error))

    def _expire_promotions(self) -> None:
        try:
            expire_due(self._registry, CONTROLLER)
        except RegistryError as error:
            logger.error("promotions_not_expired", error=type(error).__name__, detail=str(error))

    def _tell_witnesses(self, signed: SignedCheckpoint) -> None:
        for witness in self._witnesses:
            witness.offer(signed)


def run_controller(settings: Settings, stop: threading.Event) -> None:
    """Work for a data directory until told to stop."""
    store = open_store(settings.data_dir, settings.payload_key)
    try:
        controller = Controller(settings, store)
        logger.info("controller_ready")
        controller.run(stop)
    finally:
        store.close()


def _suspended(slots: Slots) -> dict[Name, Share]:
    """Add up what the workers that run have suspended."""
    found: dict[Name, Share] = {}
    for snapshot in slots.read_all():
        if is_running(snapshot.vitals.pid):
            for one in snapshot.vitals.suspensions:
                name = (one.model, one.version)
                before = found.get(name, Share(0, 0))
                found[name] = Share(before.refused + one.refused, before.requests + one.requests)
    return found


def _open_witnesses(settings: Settings, store: Store, publisher: Publisher) -> "list[Witness]":
    """Import what asks witnesses only where there are some: an HTTP client is not small."""
    if not settings.witnesses:
        return []
    witnesses: list[Witness] = importlib.import_module("gateway.witness").open_witnesses(
        settings.witnesses, store, publisher
    )
    return witnesses


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
