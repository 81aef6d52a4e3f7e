"""HTML made of elements, in which every text is escaped: there is no other way to put one in."""

from html import escape


class Markup(str):
    """HTML that is safe to show, made by `element` and by nothing else."""

    __slots__ = ()


Child = Markup | str | int | float | None

_EMPTY = Markup("")


def element(name: str, *children: Child, **attributes: str) -> Markup:
    """Make an element of children: texts, which are escaped, and other elements.

    A name of an attribute that Python keeps for itself ends in an underscore; others of them are
    hyphens.

    >>> element("p", "1 < 2", element("b", "!"), class_="sum")
    '<p class="sum">1 &lt; 2<b>!</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Put children behind each other; None is nothing."""
    return Markup("".join(map(_written, children)))


def _written(child: Child) -> str:
    if child is None:
        return _EMPTY
    return child if isinstance(child, Markup) else escape(legible(str(child)))


def legible(text: str) -> str:
    """Show what nobody could see, such as marks that turn the direction of a text around.

    >>> legible("a\\u202eb")
    'a\\\\u202eb'
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
