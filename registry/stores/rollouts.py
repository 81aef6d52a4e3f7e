"""Rollouts and their histories in SQL; the order of columns is that of `schema.sql`."""

from collections.abc import Callable, Sequence

import msgspec

from registry.rollouts import Rollout, RolloutChange
from registry.stores.rows import Row
from registry.times import to_us

Ask = Callable[..., Sequence[Row]]

_rollout = msgspec.json.Decoder(Rollout)
_change = msgspec.json.Decoder(RolloutChange)

_ALL = "SELECT content FROM rollout ORDER BY started DESC, id DESC"
_OF_MODEL = "SELECT content FROM rollout WHERE model = ? ORDER BY started DESC, id DESC"


def rollouts(ask: Ask, model: str | None) -> list[Rollout]:
    """Return the rollouts of a model, or all, newest first."""
    found = ask(_ALL) if model is None else ask(_OF_MODEL, (model,))
    return [_rollout.decode(content) for (content,) in found]


def open_rollouts(ask: Ask) -> list[Rollout]:
    """Return the rollouts that are not over, by model, oldest first."""
    query = "SELECT content FROM rollout WHERE is_open = 1 ORDER BY model, started, id"
    return [_rollout.decode(content) for (content,) in ask(query)]


def rollout(ask: Ask, rollout_id: str) -> Rollout | None:
    found = ask("SELECT content FROM rollout WHERE id = ?", (rollout_id,))
    return _rollout.decode(found[0][0]) if found else None


def changes(ask: Ask, rollout_id: str) -> list[RolloutChange]:
    """Return the history of a rollout, oldest first."""
    query = "SELECT content FROM rollout_change WHERE rollout = ? ORDER BY sequence"
    return [_change.decode(content) for (content,) in ask(query, (rollout_id,))]


def rollout_row(rollout: Rollout) -> Row:
    return (
        rollout.id,
        rollout.model,
        rollout.plan.challenger,
        to_us(rollout.started),
        int(not rollout.phase.is_over),
        _text(rollout),
    )


def change_row(change: RolloutChange) -> Row:
    return (change.rollout, _text(change))


def _text(value: Rollout | RolloutChange) -> str:
    return msgspec.json.encode(value).decode()
