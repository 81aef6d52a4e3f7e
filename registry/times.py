"""Moments as stored: whole microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

from registry.errors import InvalidRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """Count the whole microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Return the moment that many microseconds after 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def now() -> datetime:
    """Read the clock, in UTC."""
    return datetime.now(UTC)


def as_utc(moment: datetime) -> datetime:
    """Read a moment that names no time zone as UTC.

    Raises InvalidRequest for a moment before the year 1 or after the year 9999 of UTC.
    """
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidRequest("time", "A time lies in the years 1 to 9999 of UTC.") from error
