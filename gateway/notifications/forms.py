"""How an event is written as a message: pure, one function for each form.

`standard` is a CloudEvent (CloudEvents 1.0.2, JSON event format, structured mode of its HTTP
binding), signed as Standard Webhooks 1.0.0 says. `slack` is what Slack's incoming webhooks take.
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from registry.events import Event

# Slack takes no longer text in a section, and refuses the whole message.
_LONGEST_SECTION = 3_000
# The three characters that Slack reads as its own; every other is itself.
_SLACK_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Message(Struct, frozen=True, kw_only=True):
    """What is posted."""

    headers: Mapping[str, str]
    body: bytes


def write_standard(event: Event, *, key: bytes, source: str, at: datetime) -> Message:
    """Write a CloudEvent, signed at a time.

    The signature is HMAC-SHA-256 over `id.timestamp.body`. The id is that of the event, however
    often and to whomever it is sent.
    """
    body = msgspec.json.encode(_cloud_event(event, source))
    timestamp = str(int(at.timestamp()))
    signed = b".".join((event.id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return Message(
        headers={
            "content-type": "application/cloudevents+json",
            "webhook-id": event.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        },
        body=body,
    )


def write_slack(event: Event) -> Message:
    """Write a message for people: the sentence, what it is of, and the call that undoes it.

    `text` is what notifications show. Nothing in it can mention a person or a channel.
    """
    of = " · ".join(
        _fit(part, 200) for part in (event.type, _subject(event), f"record {event.record_id}")
    )
    blocks = [_section(_fit(event.summary, _LONGEST_SECTION)), _section(of)]
    if event.rollback is not None:
        call = event.rollback
        body = msgspec.json.encode(call.body).decode()
        lines = [*filter(None, [call.command]), f"{call.method} {call.path} {body}"]
        shown = _fit("\n".join(lines), _LONGEST_SECTION - 100)
        blocks.append(_section(f"What undoes it:\n```{shown}```"))
    message = {"text": _fit(event.summary, _LONGEST_SECTION), "blocks": blocks}
    return Message(headers={"content-type": "application/json"}, body=msgspec.json.encode(message))


def _cloud_event(event: Event, source: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": event.type,
        "subject": _subject(event),
        "time": event.time,
        "datacontenttype": "application/json",
        "data": {
            **event.data,
            "summary": event.summary,
            "model": event.model,
            "version": event.version,
            "record_id": event.record_id,
            "rollback": event.rollback,
        },
    }


def _subject(event: Event) -> str:
    """Name what an event is of: a model, or one version of it."""
    model = event.model or "gateway"
    return model if event.version is None else f"{model}/{event.version}"


def _section(text: str) -> dict[str, Any]:
    # Verbatim: words that look like names or channels are not made links.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _fit(text: str, limit: int) -> str:
    """Escape a text for Slack, and cut it where it would be longer than `limit` characters.

    >>> _fit("a<b", 4), _fit("a<b", 9)
    ('a…', 'a&lt;b')
    """
    written = [_SLACK_ESCAPES.get(character, character) for character in text]
    if sum(map(len, written)) <= limit:
        return "".join(written)
    length = 1
    for number, character in enumerate(written):
        length += len(character)
        if length > limit:
            return "".join(written[:number]) + "…"
    raise AssertionError("a text that is too long has an end")
