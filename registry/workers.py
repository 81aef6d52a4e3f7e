"""What workers obey beside the aliases, keys and settings, and what they say of themselves.

Frozen values, as they are stored. Times are UTC.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Key(Struct, frozen=True, kw_only=True):
    """An API key as it is stored: the digest of its secret, never the secret.

    Refusals do not tell its holder what would have been accepted where `hides_expected` holds.
    `owner` is the person who holds it, as far as anybody said: keys of one owner are one person.
    """

    id: str
    name: str
    digest: bytes
    roles: tuple[str, ...]
    author: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    hides_expected: bool = False
    owner: str | None = None


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """What one worker serves: the generation of the store it obeys, and what it could not load.

    `failures` has a sentence for each version, as in `flights/2`, that an alias names in vain.
    """

    worker: str
    pid: int
    generation: int
    failures: dict[str, str]


class SettingName(StrEnum):
    """What an operator can set while the gateway runs."""

    UNLOADED = "unloaded"  # the model is out of service, whatever its aliases name
    LOGGING = "logging"
    TRACE = "trace"
    PAYLOAD_POLICY = "payload-policy"  # what of the payloads of a model is kept
    RETENTION = "retention"  # how long payloads and records of a model are kept
    HOLD = "hold"  # nothing of the model may go, for the reason that is the value
    DRIFT = "drift-policy"  # what is done where its traffic leaves the reference
    PROMOTION = "promotion-policy"  # what is asked of a version before it may become champion
    TRUTH = "truth-policy"  # what its answers are scored against, and when
    FALLBACK = "fallback"  # which version answers in the champion's place; the controller sets it


class Setting(Struct, frozen=True, kw_only=True):
    """One value that workers obey: of one model, or of all where `model` is None; JSON."""

    name: SettingName
    model: str | None
    value: str
