"""How long payloads and records of a model are kept: the setting, its presets, its meaning."""

from msgspec import Struct
from msgspec.structs import replace

from registry.errors import InvalidRequest
from registry.payload_policy import Mode, PayloadPolicy

# Further ahead than anybody plans; a date must still exist.
_MOST_DAYS = 36_500


class Retention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """For how many days payloads and records of a model are kept; None is without end.

    `preset` names where the days come from. With `no_payloads` payloads are committed to, and none
    are kept from then on, whatever the payload policy says.
    """

    preset: str | None = None
    payload_days: int | None = None
    record_days: int | None = None
    no_payloads: bool = False


# The days of a calendar: six and seven years with the most leap days they can have.
PRESETS = {
    "minimal": Retention(preset="minimal", payload_days=30, record_days=30, no_payloads=True),
    "eu-ai-act": Retention(preset="eu-ai-act", payload_days=183, record_days=183),
    "hipaa": Retention(preset="hipaa", payload_days=2_192, record_days=2_192),
    "bank-mrm": Retention(preset="bank-mrm", payload_days=2_557, record_days=2_557),
}


def check_retention(given: Retention) -> Retention:
    """Accept days of one's own, or put those of a preset in place. Raises InvalidRequest.

    A payload cannot outlive its record: it would be of nothing.
    """
    if given.preset is not None:
        preset = PRESETS.get(given.preset)
        if preset is None or given not in (Retention(preset=given.preset), preset):
            names = ", ".join(PRESETS)
            raise _invalid(f"a preset is one of {names}, and has its own days")
        return preset
    for days in (given.payload_days, given.record_days):
        if days is not None and not 1 <= days <= _MOST_DAYS:
            raise _invalid(f"days are a number from 1 to {_MOST_DAYS:,}")
    if given.record_days is not None:
        payload_days = given.payload_days
        if payload_days is None or payload_days > given.record_days:
            raise _invalid("payloads cannot be kept for longer than their records")
    return given


def effective_policy(policy: PayloadPolicy, retention: Retention | None) -> PayloadPolicy:
    """Return what workers keep of payloads where both settings are obeyed."""
    if retention is None or not retention.no_payloads or policy.mode is Mode.OFF:
        return policy
    return replace(policy, mode=Mode.DIGEST, share=None, inputs={}, outputs={})


def _invalid(fault: str) -> InvalidRequest:
    return InvalidRequest("retention", f"This retention cannot be obeyed: {fault}.")
