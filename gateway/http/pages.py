"""A page for people, made of an OpenAPI document alone: no script, and nothing from the network."""

from html import escape
from typing import Any

import msgspec

# What the page shows is text of ours, but for names of models and tensors; nothing in it may run.
HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
section { border-top: 1px solid #8888; padding: .5rem 0 }
h2 { font: 600 1rem ui-monospace, monospace }
h2 b { display: inline-block; min-width: 4.5rem }
pre { background: #8881; overflow: auto; padding: .75rem }
summary { cursor: pointer }
"""


def render_page(document: dict[str, Any], source: str) -> bytes:
    """Write a document as HTML; `source` is where the document itself is found."""
    title = escape(document["info"]["title"])
    operations = (
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict)  # not the parameters that all methods share
    )
    schemas = (
        _details(name, schema)
        for name, schema in document.get("components", {}).get("schemas", {}).items()
    )
    return "".join(
        (
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>",
            f"<p>{escape(document['info'].get('description', ''))}</p>",
            f'<p>As OpenAPI: <a href="{escape(source)}">{escape(source)}</a></p>',
            *operations,
            "<section><h1>Schemas</h1>",
            *schemas,
            "</section></html>",
        )
    ).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<section><h2><b>{escape(method.upper())}</b> {escape(path)}</h2>",
        f"<p>{escape(operation.get('description', ''))}</p>",
    ]
    if operation.get("parameters"):
        parts.append(_details("Parameters", operation["parameters"]))
    if "requestBody" in operation:
        parts.append(_details("Body", operation["requestBody"]))
    parts += (
        _details(f"Answer {status}", response)
        for status, response in operation["responses"].items()
    )
    return "".join([*parts, "</section>"])


def _details(summary: str, value: Any) -> str:
    written = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(written)}</pre></details>"
