"""What pages are made of: tables, facts, marks, moments."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from gateway.page.markup import Child, Markup, element, join

Line = tuple[Child, ...]


def table(head: Sequence[Child], lines: Sequence[Line], class_: str = "") -> Markup:
    """Make a table; of the class `valued` the second column stands out."""
    titles = (element("th", title) for title in head)
    cells = (element("tr", *(element("td", cell) for cell in line)) for line in lines)
    return element(
        "table", element("thead", element("tr", *titles)), element("tbody", *cells), class_=class_
    )


def facts(pairs: Mapping[str, Child]) -> Markup:
    """List facts by name; what is not known is left out."""
    known = ((name, value) for name, value in pairs.items() if value not in (None, ""))
    return element(
        "dl", *(join(element("dt", name), element("dd", value)) for name, value in known)
    )


def mark(name: str, said: str, kind: str) -> Markup:
    """Show how one thing stands: `good`, `warn` or `bad`."""
    return element("div", element("b", name), said[:1].upper() + said[1:], class_=f"mark {kind}")


def moment(time: datetime) -> str:
    """Write a time for people."""
    return f"{time:%d %B %Y, %H:%M:%S} UTC".lstrip("0")
