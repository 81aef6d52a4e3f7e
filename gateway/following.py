"""Whether every worker obeys what the store says."""

import asyncio

from gateway.errors import NotFollowed
from registry.store import Store

FOLLOW_S = 15.0  # a worker that loads a large model may take a while
_LOOK_S = 0.02


async def followed(store: Store, *, deadline_s: float = FOLLOW_S) -> dict[str, str]:
    """Return when every live worker obeys the store as it is now; tell what they cannot load.

    A worker that ends meanwhile is not waited for: its successor begins with the store's present
    state. Raises NotFollowed after the deadline.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    wanted = await asyncio.to_thread(store.generation)
    while True:
        workers = await asyncio.to_thread(store.workers)
        late = [status for status in workers if status.generation < wanted]
        if not late:
            return {name: why for status in workers for name, why in status.failures.items()}
        if loop.time() > deadline:
            raise NotFollowed(len(late), deadline_s)
        await asyncio.sleep(_LOOK_S)
