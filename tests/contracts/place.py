"""Where a database is."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from registry.store import Store


class Place(Struct, frozen=True):
    """Where one database is; opening it twice gives two stores over the same data."""

    opener: Callable[[Any], Store]
    where: Any

    def open(self) -> Store:
        return self.opener(self.where)
