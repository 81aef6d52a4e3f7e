"""Requests to promote a version in SQL; the order of columns is that of `schema.sql`."""

from collections.abc import Callable, Sequence

import msgspec

from registry.promotions import Promotion
from registry.stores.rows import Row
from registry.times import to_us

Ask = Callable[..., Sequence[Row]]

_decoder = msgspec.json.Decoder(Promotion)


def add(ask: Ask, promotion: Promotion) -> None:
    ask("INSERT INTO promotion VALUES (?, ?, ?, ?, ?)", _row(promotion))


def change(ask: Ask, promotion: Promotion) -> None:
    """Put a request in place of what it was; nothing happens where there was none."""
    row = _row(promotion)
    ask("UPDATE promotion SET state = ?, content = ? WHERE id = ?", (*row[3:], row[0]))


def read(ask: Ask, promotion_id: str) -> Promotion | None:
    found = ask("SELECT content FROM promotion WHERE id = ?", (promotion_id,))
    return _decoder.decode(found[0][0]) if found else None


def find(ask: Ask, model: str | None, *, only_pending: bool) -> list[Promotion]:
    """Return the requests of a model, or of all, or those that wait, newest first."""
    query, values = "SELECT content FROM promotion WHERE true", []
    if model is not None:
        query += " AND model = ?"
        values.append(model)
    if only_pending:
        query += " AND state = 'pending'"
    query += " ORDER BY requested DESC, id DESC"
    return [_decoder.decode(text) for (text,) in ask(query, values)]


def _row(promotion: Promotion) -> Row:
    return (
        promotion.id,
        promotion.model,
        to_us(promotion.requested),
        promotion.state.value,
        msgspec.json.encode(promotion).decode(),
    )
