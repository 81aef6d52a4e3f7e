"""How long a piece of work takes one thread, on a machine where others work too."""

import time
from collections.abc import Callable

_REPEATS = 40
_REPEAT_NS = 2_000_000

Work = Callable[[], object]


def least_us(work: Work) -> float:
    """Return the least time of one piece of work, in microseconds of the thread's own clock.

    It is the least of many repeats of a few milliseconds, which a busy machine disturbs little.
    """
    work()
    started = time.thread_time_ns()
    work()
    times = max(1, _REPEAT_NS // max(1, time.thread_time_ns() - started))
    least = float("inf")
    for _ in range(_REPEATS):
        started = time.thread_time_ns()
        for _ in range(times):
            work()
        least = min(least, (time.thread_time_ns() - started) / times / 1000)
    return least
