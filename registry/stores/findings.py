"""Findings in SQL; the order of columns is that of `schema.sql`."""

from collections.abc import Callable, Sequence

import msgspec

from registry.findings import Finding
from registry.stores.rows import Row
from registry.times import to_us

Ask = Callable[..., Sequence[Row]]

_decoder = msgspec.json.Decoder(Finding)


def add(ask: Ask, finding: Finding) -> None:
    ask("INSERT INTO finding VALUES (?, ?, ?, ?, ?)", _row(finding))


def change(ask: Ask, finding: Finding) -> None:
    """Put a finding in place of what it was; nothing happens where there was none."""
    row = _row(finding)
    ask("UPDATE finding SET state = ?, content = ? WHERE id = ?", (*row[3:], row[0]))


def find(ask: Ask, model: str, *, only_open: bool) -> list[Finding]:
    """Return the findings of a model, or those that are open, newest first."""
    query = "SELECT content FROM finding WHERE model = ?"
    if only_open:
        query += " AND state = 'open'"
    return [
        _decoder.decode(text) for (text,) in ask(f"{query} ORDER BY at DESC, id DESC", (model,))
    ]


def open_models(ask: Ask) -> list[str]:
    """Return the models that have open findings."""
    return [model for (model,) in ask("SELECT DISTINCT model FROM finding WHERE state = 'open'")]


def _row(finding: Finding) -> Row:
    content = msgspec.json.encode(finding).decode()
    return (finding.id, finding.model, to_us(finding.at), finding.state.value, content)
