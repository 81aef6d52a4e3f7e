"""What people are told of, and whom: events, destinations and deliveries, as frozen values.

An event belongs to the audit record of the same transaction. Times are UTC.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct


class EventType(StrEnum):
    """What happened."""

    CHAMPION_MOVED = "champion.moved"
    MODEL_UNLOADED = "model.unloaded"
    MODEL_LOADED = "model.loaded"
    VERSION_PUBLISHED = "version.published"
    VERSION_RETIRED = "version.retired"
    VERSION_NOT_LOADED = "version.not_loaded"  # a worker cannot serve what an alias names
    FINDING_OPENED = "finding.opened"  # the traffic of a champion left its reference
    FINDING_ENDED = "finding.ended"  # it came back, a person closed it, or nobody looks any more
    FALLBACK_BEGUN = "fallback.begun"  # the champion before answers in the champion's place
    FALLBACK_ENDED = "fallback.ended"
    CONTRACT_SUSPENDED = "contract.suspended"  # rules that reject only flag for now
    CONTRACT_RESUMED = "contract.resumed"
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_ADVANCED = "rollout.advanced"  # a stage is passed, and the next one has begun
    ROLLOUT_PASSED = "rollout.passed"  # every stage is passed
    ROLLOUT_PAUSED = "rollout.paused"
    ROLLOUT_RESUMED = "rollout.resumed"
    ROLLOUT_ROLLED_BACK = "rollout.rolled_back"  # the challenger was worse, or failed
    ROLLOUT_EXPIRED = "rollout.expired"  # there was no verdict in time
    ROLLOUT_ABORTED = "rollout.aborted"
    ROLLOUT_PROMOTED = "rollout.promoted"  # the challenger is the champion
    PROMOTION_REQUESTED = "promotion.requested"  # another person is to approve it, or to reject it
    PROMOTION_APPROVED = "promotion.approved"
    PROMOTION_REJECTED = "promotion.rejected"
    PROMOTION_EXPIRED = "promotion.expired"  # nobody decided it in time
    PROMOTION_FORCED = "promotion.forced"  # somebody passed over what the policy asks
    TEST = "test"  # somebody asked whether a destination can be reached


# What a destination can ask for.
ANNOUNCED = tuple(kind for kind in EventType if kind is not EventType.TEST)


class Rollback(Struct, frozen=True, kw_only=True):
    """The one call that undoes or ends what an event tells of: over HTTP, and as a command.

    `command` is None where there is none.
    """

    method: str
    path: str
    body: dict[str, Any]
    command: str | None


class Event(Struct, frozen=True, kw_only=True):
    """Something that people are to know of.

    `id` is a UUIDv7, `summary` one sentence for people, `data` JSON values for programs.
    `rollback` is None where nothing undoes it in one step.
    """

    id: str
    type: EventType
    model: str | None
    version: int | None
    time: datetime
    summary: str
    data: dict[str, Any]
    record_id: str
    rollback: Rollback | None


class Form(StrEnum):
    """How a message is written."""

    STANDARD = "standard"  # a signed CloudEvent
    SLACK = "slack"  # a message for people, as Slack's incoming webhooks take it


class Destination(Struct, frozen=True, kw_only=True):
    """Whom to tell, and of what: events of all models and types where none are named.

    `secret` names the file with what only the sender may know: the key that signs, or for Slack
    the whole address, of which `url` has the beginning. Nothing is sent after `paused`.
    """

    name: str
    url: str
    form: Form
    secret: str
    models: tuple[str, ...]
    types: tuple[EventType, ...]
    author: str
    created: datetime
    paused: datetime | None = None

    def wants(self, event: Event) -> bool:
        """Say whether it is to be told of an event."""
        is_of_model = not self.models or event.model in self.models
        return is_of_model and (not self.types or event.type in self.types)


class DeliveryState(StrEnum):
    PENDING = "pending"  # to be sent at `due`
    DELIVERED = "delivered"
    DEAD = "dead"  # given up, until somebody lets it be sent again


class Delivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one destination; numbers grow in the order of the events.

    `attempts` counts since it was last let be sent, `attempted` is when the last one was made,
    `status` what that was answered with, if at all, and `error` why it failed.
    """

    number: int
    destination: str
    event: Event
    state: DeliveryState
    attempts: int
    due: datetime
    attempted: datetime | None
    status: int | None
    error: str | None


class DeliveryCount(Struct, frozen=True, kw_only=True):
    """How many deliveries to a destination are in a state."""

    destination: str
    state: DeliveryState
    count: int
