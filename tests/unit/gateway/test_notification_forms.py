"""What is sent is what the specifications say, checked by others' means than ours."""

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.notifications.forms import write_slack, write_standard
from gateway.notifications.secrets import new_key, read_key
from registry.events import Event, EventType, Rollback
from registry.times import now

EVENT = Event(
    id="0199a0b0-0000-7000-8000-000000000001",
    type=EventType.CHAMPION_MOVED,
    model="flights",
    version=2,
    time=now().replace(microsecond=0),
    summary="Version 2 of flights is champion.",
    data={"previous": 1, "reason": "é <b>"},
    record_id="0199a0b0-0000-7000-8000-000000000002",
    rollback=Rollback(
        method="POST",
        path="/admin/models/flights/rollback",
        body={"version": 1, "reason": "undo"},
        command="registry rollback flights --version 1 --reason undo",
    ),
)
texts = st.text(max_size=4_000)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104, written out."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()


def test_a_signature_is_accepted_by_the_library_of_the_standard() -> None:
    secret = new_key()
    message = write_standard(EVENT, key=read_key(secret), source="log", at=now())

    read = Webhook(secret).verify(message.body, dict(message.headers))

    assert read["id"] == EVENT.id
    for body, headers in (
        (message.body + b" ", dict(message.headers)),
        (message.body, {**message.headers, "webhook-id": "other"}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_key()).verify(message.body, dict(message.headers))


def test_a_signature_is_that_of_the_specification() -> None:
    key = b"k" * 32
    at = now()
    message = write_standard(EVENT, key=key, source="log", at=at)

    stamp = str(int(at.timestamp()))
    signed = f"{EVENT.id}.{stamp}.".encode() + message.body
    assert message.headers["webhook-id"] == EVENT.id
    assert message.headers["webhook-timestamp"] == stamp
    version, signature = message.headers["webhook-signature"].split(",")
    assert version == "v1"
    assert base64.b64decode(signature) == hmac_sha256(key, signed)


def test_a_key_is_of_the_size_and_form_of_the_standard() -> None:
    first, second = new_key(), new_key()

    assert first != second
    assert first.startswith("whsec_")
    assert 24 <= len(base64.b64decode(first.removeprefix("whsec_"))) <= 64


def test_the_body_is_a_cloud_event() -> None:
    message = write_standard(EVENT, key=b"k", source="log.example/a", at=now())
    body = json.loads(message.body)

    assert message.headers["content-type"] == "application/cloudevents+json"
    assert body == {
        "specversion": "1.0",
        "id": EVENT.id,
        "source": "log.example/a",
        "type": "champion.moved",
        "subject": "flights/2",
        "time": EVENT.time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "summary": EVENT.summary,
            "model": "flights",
            "version": 2,
            "record_id": EVENT.record_id,
            "rollback": {
                "method": "POST",
                "path": "/admin/models/flights/rollback",
                "body": {"version": 1, "reason": "undo"},
                "command": "registry rollback flights --version 1 --reason undo",
            },
            "previous": 1,
            "reason": "é <b>",
        },
    }


def test_a_body_is_the_same_whenever_it_is_sent() -> None:
    first = write_standard(EVENT, key=b"k", source="log", at=now())
    second = write_standard(EVENT, key=b"k", source="log", at=now() + timedelta(hours=1))

    assert first.body == second.body


def section_texts(event: Event) -> list[str]:
    blocks: list[dict[str, Any]] = json.loads(write_slack(event).body)["blocks"]
    assert all(block["type"] == "section" for block in blocks)
    assert all(block["text"]["type"] == "mrkdwn" for block in blocks)
    return [block["text"]["text"] for block in blocks]


def test_slack_shows_what_happened_and_the_call_that_undoes_it() -> None:
    summary, of, undo = section_texts(EVENT)

    assert summary == EVENT.summary
    assert of == f"champion.moved · flights/2 · record {EVENT.record_id}"
    assert "registry rollback flights --version 1 --reason undo" in undo
    assert 'POST /admin/models/flights/rollback {"version":1,"reason":"undo"}' in undo
    assert json.loads(write_slack(EVENT).body)["text"] == EVENT.summary


def test_a_call_without_a_command_is_shown_as_it_is_over_http() -> None:
    call = Rollback(method="POST", path="/p", body={}, command=None)

    assert section_texts(replace(EVENT, rollback=call))[-1] == "What undoes it:\n```POST /p {}```"


def test_what_nothing_undoes_has_no_call() -> None:
    assert len(section_texts(replace(EVENT, rollback=None))) == 2


def test_a_text_can_mention_nobody_in_slack() -> None:
    hostile = replace(EVENT, summary="<!channel> & <https://evil.example|click> <@U1>")
    body = write_slack(hostile).body.decode()

    assert "<" not in body
    assert ">" not in body
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; &lt;@U1&gt;" in body


@given(summary=texts, model=texts, reason=texts)
def test_slack_takes_every_message(summary: str, model: str, reason: str) -> None:
    rollback = Rollback(method="POST", path=f"/{model}", body={"reason": reason}, command=reason)
    for text in section_texts(
        replace(EVENT, summary=summary or "x", model=model, rollback=rollback)
    ):
        assert 0 < len(text) <= 3_000
        assert not set("<>") & set(text)
        assert text.count("&") == sum(text.count(e) for e in ("&amp;", "&lt;", "&gt;"))
