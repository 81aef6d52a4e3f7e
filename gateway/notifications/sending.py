"""Posts messages: the only module here that has an HTTP client, imported where one is sent."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

import gateway
from gateway.notifications.forms import Message, write_slack, write_standard
from gateway.notifications.schedule import Answer, Outcome, Unanswered
from gateway.notifications.secrets import SecretMissing, Secrets, read_key
from registry.events import Destination, Event, Form

# Of each step: to connect, to send, to wait for the beginning of the answer.
_DEADLINE_S = 15.0


class Sender:
    """Posts events, each once; any thread may use it.

    Redirects are not followed, proxies and cookies not used, bodies of answers not read. Other
    authorities than the usual ones are trusted where SSL_CERT_FILE or SSL_CERT_DIR names them.
    """

    def __init__(self, secrets: Secrets, source: str, deadline_s: float = _DEADLINE_S) -> None:
        self._secrets = secrets
        self._source = source
        self._deadline = httpx.Timeout(deadline_s).as_dict()
        self._transport = httpx.HTTPTransport()

    def send(self, destination: Destination, event: Event, at: datetime) -> Outcome:
        """Post an event as the destination wants it, and return what came of it."""
        try:
            url, message = self._write(destination, event, at)
            headers = {"user-agent": f"governed-gateway/{gateway.VERSION}", **message.headers}
            request = httpx.Request(
                "POST",
                url,
                headers=headers,
                content=message.body,
                extensions={"timeout": self._deadline},
            )
            response = self._transport.handle_request(request)
            response.close()
        except SecretMissing:
            return Unanswered(reason="the file of its secret cannot be read")
        except httpx.TimeoutException:
            return Unanswered(reason="it did not answer in time")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Unanswered(reason=f"it cannot be reached ({type(error).__name__})")
        retry_after = response.headers.get("retry-after")
        return Answer(
            status=response.status_code,
            retry_after_s=None if retry_after is None else read_retry_after(retry_after, at),
        )

    def close(self) -> None:
        self._transport.close()

    def _write(self, destination: Destination, event: Event, at: datetime) -> tuple[str, Message]:
        secret = self._secrets.read(destination.secret)
        if destination.form is Form.SLACK:
            return secret, write_slack(event)
        message = write_standard(event, key=read_key(secret), source=self._source, at=at)
        return destination.url, message


def read_retry_after(text: str, at: datetime) -> float | None:
    """Read the field `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date as of `at`.

    None where it is neither.
    """
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return (until - at).total_seconds()
