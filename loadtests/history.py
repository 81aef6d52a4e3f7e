"""A month of records, as unevenly spread as in life, for an audit log of any size."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from registry.entry import Entry, Payload, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Lane, Outcome

START = datetime(2026, 1, 1, tzinfo=UTC)
_START_NS = int(START.timestamp()) * 10**9
_MONTH_NS = 30 * 86_400 * 10**9

_MODELS = tuple(f"model-{number}" for number in range(20))
_KEYS = tuple(f"key-{number:08x}" for number in range(300))
_OFTEN = "again"  # a request id that some caller sends with everything
_DIGEST = "sha256:" + "7" * 64
_COMMITMENT = "5" * 64
PAYLOAD_BYTES = 240
_PAYLOAD = Payload(b"s" * 32, b"i" * 200, b"o" * (PAYLOAD_BYTES - 200))
_RARE_EVERY = 500_000

# What a query may ask for: first what is frequent, then what is rare, then what never was.
VALUES: dict[str, tuple[Any, ...]] = {
    "model": (_MODELS[0], _MODELS[-1], "rare-model", "no-model"),
    "version": (1, 3, 77),
    "lane": (Lane.CHAMPION, Lane.PINNED, "canary", "shadow"),
    "kind": (Kind.INFERENCE, Kind.ADMIN, Kind.DAMAGE),
    "principal": (_KEYS[0], _KEYS[-1], "key-rare", "key-none"),
    "outcome": (Outcome.ANSWERED, Outcome.REFUSED, Outcome.FAILED, Outcome.DONE),
    "request_id": (_OFTEN, "only-once", "never"),
    "since": (START, START + timedelta(days=29), START + timedelta(days=400)),
    "until": (START + timedelta(days=31), START + timedelta(days=1), START),
}


def _skewed(names: tuple[str, ...]) -> tuple[tuple[str, ...], list[float]]:
    """Weigh names by 1/rank, as Zipf found words to be."""
    return names, list(accumulate(1 / rank for rank in range(1, len(names) + 1)))


def entries(rng: random.Random, count: int, *, with_payload: bool) -> Iterator[Entry]:
    """Yield so many entries of one month, in the order of time."""
    models, model_weights = _skewed(_MODELS)
    keys, key_weights = _skewed(_KEYS)
    block = 10_000
    for start in range(0, count, block):
        size = min(block, count - start)
        chosen_models = rng.choices(models, cum_weights=model_weights, k=size)
        chosen_keys = rng.choices(keys, cum_weights=key_weights, k=size)
        for offset in range(size):
            number = start + offset
            record = _record(
                rng, number, number / count, chosen_models[offset], chosen_keys[offset]
            )
            yield Entry(encode_record(record), _PAYLOAD if with_payload else None)


def random_id(rng: random.Random) -> str:
    """Return an id of any moment of the month."""
    return new_record_id(_START_NS + rng.randrange(_MONTH_NS))


def _record(rng: random.Random, number: int, done: float, model: str, key: str) -> AuditRecord:
    time_ns = _START_NS + int(done * _MONTH_NS)
    luck = rng.random()
    if number % _RARE_EVERY == 7:
        return _rare(time_ns)
    refused, failed = luck < 0.01, luck > 0.9999
    return AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.INFERENCE,
        time=str(time_ns),
        outcome=Outcome.REFUSED if refused else Outcome.FAILED if failed else Outcome.ANSWERED,
        principal=key,
        source="10.0.0.7",
        request_id=_request_id(rng, luck),
        model=model,
        version=1 + int(done * 3),
        digest=_DIGEST,
        manifest=_DIGEST,
        runtime="onnxruntime 1.23.2, 1 thread, avx2 fma",
        lane=Lane.PINNED if 0.5 < luck < 0.53 else Lane.CHAMPION,
        rows=1,
        batch=4,
        batch_row=2,
        error="range" if refused else "model-failed" if failed else None,
        latency_us=812,
        input=_COMMITMENT,
        output=None if refused else _COMMITMENT,
        violations=("range distance[0]",) if refused else (),
    )


def _rare(time_ns: int) -> AuditRecord:
    return AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.ADMIN,
        time=str(time_ns),
        outcome=Outcome.DONE,
        principal="key-rare",
        request_id="only-once" if time_ns == _START_NS else None,
        model="rare-model",
        version=1,
        lane="canary",
        action="promote",
        reason="It is better.",
    )


def _request_id(rng: random.Random, luck: float) -> str | None:
    if luck < 0.4:
        return None
    return _OFTEN if luck < 0.5 else str(UUID(int=rng.getrandbits(128)))
