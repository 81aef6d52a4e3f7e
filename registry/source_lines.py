"""Where in a text the members of its TOML or JSON stand, so that a fault can be told by its line.

The text is read for that alone, after `tomllib` or `json` have found that it is well-formed; values
are passed over. A place is the way to a value: names of members, and numbers of elements from 0.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator

Place = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
      (?P<skipped> [ \t\r]+ | \#[^\n]* )
    | (?P<text> \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*' )
    | (?P<sign> [\[\]{}=:,.\n] )
    | (?P<bare> [^\s\[\]{}=:,.\#"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def lines_of_json(text: str) -> dict[Place, int]:
    """Say on which line each member and element of a JSON text begins, counted from 1.

    >>> lines_of_json('{"rules": [\\n{"kind": "range"}]}')[("rules", 0, "kind")]
    2
    """
    reader = _Reader(text, json.loads)
    reader.value(())
    return reader.lines


def lines_of_toml(text: str) -> dict[Place, int]:
    """Say on which line each member, element and table of a TOML text begins, counted from 1.

    >>> lines_of_toml('[[rules]]\\nkind = "range"\\n')[("rules", 0, "kind")]
    2
    """
    reader = _Reader(text, lambda key: next(iter(tomllib.loads(f"{key} = 0"))))
    reader.document()
    return reader.lines


class _Reader:
    """Reads the tokens of a text, and keeps where each place begins."""

    def __init__(self, text: str, unquote: Callable[[str], str]) -> None:
        self._unquote = unquote
        self.lines: dict[Place, int] = {}
        self._tokens = list(_tokens(text))
        self._at = 0

    def document(self) -> None:
        """Read the statements of TOML: tables, elements of arrays of tables, members."""
        table: Place = ()
        elements: Counter[Place] = Counter()
        while (token := self._peek()) is not None:
            if token[0] == "\n":
                self._next()
            elif token[0] == "[":
                table = self._header(elements)
            else:
                self._member(table)

    def value(self, place: Place) -> None:
        """Read one value, and all that is in it."""
        self._blank()
        opening = self._next()[0]
        if opening == "[":
            number = 0
            while not self._ends("]"):
                self.lines[*place, number] = self._line()
                self.value((*place, number))
                number += 1
        elif opening == "{":
            while not self._ends("}"):
                self._member(place)
        else:
            self._rest_of_value()

    def _header(self, elements: Counter[Place]) -> Place:
        line = self._line()
        self._next()
        is_element = self._peek_sign("[")
        if is_element:
            self._next()
        name = self._name("]")
        if is_element:
            self._next()
            self.lines.setdefault(name, line)
            name, number = (*name, elements[name]), elements[name]
            elements[name[:-1]] = number + 1
        self.lines[name] = line
        return name

    def _member(self, table: Place) -> None:
        line = self._line()
        place = (*table, *self._name("=:"))
        self.lines[place] = line
        self.value(place)

    def _name(self, ends: str) -> Place:
        parts: list[str] = []
        while (token := self._next())[0] not in ends:
            if token[0] != ".":
                parts.append(self._unquote(token[0]) if token[0][0] in "\"'" else token[0])
        return tuple(parts)

    def _rest_of_value(self) -> None:
        """Pass over what is left of a number or a time, which may have colons and points."""
        while (token := self._peek()) is not None and token[0] not in ",]}\n":
            self._next()

    def _ends(self, closing: str) -> bool:
        """Pass over what stands between members or elements; say whether none follows."""
        self._blank()
        while self._peek_sign(","):
            self._next()
            self._blank()
        if self._peek_sign(closing):
            self._next()
            return True
        return False

    def _blank(self) -> None:
        while self._peek_sign("\n"):
            self._next()

    def _peek(self) -> tuple[str, int] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _peek_sign(self, sign: str) -> bool:
        token = self._peek()
        return token is not None and token[0] == sign

    def _next(self) -> tuple[str, int]:
        self._at += 1
        return self._tokens[self._at - 1]

    def _line(self) -> int:
        return self._tokens[self._at][1]


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "skipped":
            yield found[0], line
        line += found[0].count("\n")
