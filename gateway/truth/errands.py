"""Work that a thread does while whoever asked for it goes on, and takes what it brought later."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

# How long it rests after each piece, in times that it took: it works a quarter of the time at most.
_RESTS = 3

Work = Callable[[], Any]
# Whose work it is, by the id of that, and which.
Key = tuple[str, str]


class Errand:
    """One piece of work, begun at once. The thread ends with its process, whatever it is at then.

    `ended` is None until it is over; `error` is what the work raised, where it brought no `result`.
    """

    def __init__(self, work: Work, timer: Callable[[], float]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self.began = timer()
        self.ended: float | None = None
        self._work = work
        self._timer = timer
        threading.Thread(target=self._run, name="errand", daemon=True).start()

    def age_s(self, at: float) -> float:
        """Say how long it has been over; nothing while it goes on."""
        return 0.0 if self.ended is None else at - self.ended

    def take(self) -> Any:
        """Return what the work brought, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.result

    def _run(self) -> None:
        try:
            self.result = self._work()
        except Exception as error:  # noqa: BLE001 - told to whoever asked, when that comes back
            self.error = error
        self.ended = self._timer()


class Errands:
    """Has one piece of work done after the other, the first that was asked for first.

    Called by one thread, which never waits.
    """

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._wanted: dict[Key, Work] = {}
        self._under_way: tuple[Key, Errand] | None = None
        self._over: dict[Key, Errand] = {}
        self._rests_until = 0.0

    def ask(self, key: Key, work: Work) -> Errand | None:
        """Return the errand once it is over; until then have it done, and return None.

        Of work that waits for its turn the last is done that was asked for. What was returned is
        forgotten here: who asks again has it done again.
        """
        self._settle()
        found = self._over.pop(key, None)
        if found is None and (self._under_way is None or self._under_way[0] != key):
            self._wanted[key] = work
        self._begin()
        return found

    def keep_only(self, owners: Collection[str]) -> None:
        """Forget the work of all others; what is under way is finished, and its result let go."""
        self._settle()
        self._wanted = {key: one for key, one in self._wanted.items() if key[0] in owners}
        self._over = {key: one for key, one in self._over.items() if key[0] in owners}

    def _settle(self) -> None:
        """Note that what was under way is over."""
        if self._under_way is None:
            return
        key, errand = self._under_way
        if errand.ended is not None:
            self._under_way, self._over[key] = None, errand
            self._rests_until = errand.ended + _RESTS * (errand.ended - errand.began)

    def _begin(self) -> None:
        if self._wanted and self._under_way is None and self._timer() >= self._rests_until:
            key = next(iter(self._wanted))
            self._under_way = key, Errand(self._wanted.pop(key), self._timer)
