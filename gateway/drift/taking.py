"""Takes what workers counted into the store, each row once, whatever ends in between.

The order is what makes it so: counts are taken, in the transaction that keeps how far; only then
does the file of a worker that is over go; and only when no power failure can bring it back is it
forgotten how far it was taken. Stopped anywhere, the same steps done again add nothing twice.
"""

from gateway.logs import logger
from gateway.summaries import Found, Summaries
from registry.store import Store


class Taker:
    """Takes what is new in the files of all workers."""

    def __init__(self, store: Store, summaries: Summaries) -> None:
        self._store = store
        self._summaries = summaries
        # When each worker had counted what was last taken here: the same is not looked at again.
        self._seen: dict[str, int] = {}
        self._is_first = True

    def take(self) -> None:
        """Take what is new, and remove what will never change again.

        Raises OSError and RegistryError; done again it goes on from where it stopped.
        """
        found = self._summaries.read()
        new = [one for one in found if self._is_new(one)]
        if new:
            self._store.take([one.counts for one in new if one.counts is not None])
        over = [one.id for one in found if one.is_over]
        self._summaries.remove(over)
        if over or self._is_first:
            living = {one.id for one in found if not one.is_over}
            for worker in self._store.taken():
                if worker not in living:
                    self._store.forget_taken(worker)
        self._seen = {
            one.id: one.counts.at_us for one in found if one.counts is not None and not one.is_over
        }
        self._is_first = False

    def _is_new(self, one: Found) -> bool:
        if one.counts is None:
            if one.is_over:
                logger.warning("summary_unreadable", worker=one.id)
            return False
        return self._seen.get(one.id) != one.counts.at_us
