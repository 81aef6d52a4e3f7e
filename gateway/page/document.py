"""The file around a page: its style in it, no script that runs, nothing from the network."""

from pathlib import Path

from gateway.page.markup import Markup, element

_STYLE = Path(__file__).with_name("style.css")
# So that no text in the data ends the element that holds it (HTML, section 4.12.1.3).
_UNSAFE = {b"<": b"\\u003c", b">": b"\\u003e", b"&": b"\\u0026"}
# Whatever a text on it might hold: the page loads nothing and runs nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_document(
    title: str, body: Markup, *, data_id: str, data: bytes, style: str = ""
) -> bytes:
    """Write a page that carries its content as JSON too, in an element that browsers do not run.

    `style` is added to that of all pages.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"{element('title', title)}<style>{_STYLE.read_text()}{style}</style>"
    )
    for unsafe, safe in _UNSAFE.items():
        data = data.replace(unsafe, safe)
    script = f'<script type="application/json" id="{data_id}">{data.decode()}</script>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}{script}</html>\n'.encode()
