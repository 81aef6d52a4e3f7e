"""Erases a person from all that a data directory holds, while it is served or not.

What the journal holds in clear goes first: an erasure waits until every segment that held records
when it began has been integrated and is gone. So whatever was acknowledged before it began is in
the store when the person's key is destroyed there. What comes later is of a new key.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import Struct

from gateway.errors import NotErased
from registry import privacy
from registry.audit.log import damaged_segments, segments_with_records
from registry.recording import Author
from registry.registry import Registry

_DEADLINE_S = 60.0
_LOOK_S = 0.05


class Erasure(Struct, frozen=True, kw_only=True):
    """What an erasure did: its record, the random id of the person's key, payloads destroyed.

    `is_scrubbed` is false while somebody still reads an older state of the store, which goes once
    they have done. `damaged` names what is left of unreadable segments: nobody knows of whom.
    """

    record_id: str
    subject_id: str
    payloads: int
    is_scrubbed: bool
    damaged: tuple[str, ...]


async def erase(
    registry: Registry,
    journal_dir: Path,
    *,
    subject: str,
    reason: str,
    author: Author,
    deadline_s: float = _DEADLINE_S,
) -> Erasure:
    """Destroy the key of a person and all their payloads; the records stay and verify as before.

    Raises NotErased where the journal still holds records after the deadline, else what
    `registry.privacy.erase` raises; then nothing was changed.
    """
    await asyncio.to_thread(privacy.check_erasure, registry, subject, reason)
    clock = asyncio.get_running_loop().time
    deadline = clock() + deadline_s
    began_with = await asyncio.to_thread(segments_with_records, journal_dir)

    async def until(is_so: Callable[[], bool]) -> bool:
        while not await asyncio.to_thread(is_so):
            if clock() > deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    if not await until(partial(_are_gone, journal_dir, began_with)):
        raise NotErased(deadline_s)
    erased = await asyncio.to_thread(privacy.erase, registry, subject, reason, author)
    return Erasure(
        record_id=erased.record_id,
        subject_id=erased.subject_id,
        payloads=erased.payloads,
        is_scrubbed=await until(registry.store.scrub),
        damaged=await asyncio.to_thread(damaged_segments, journal_dir),
    )


def _are_gone(journal_dir: Path, names: frozenset[str]) -> bool:
    return not any((journal_dir / name).exists() for name in names)
