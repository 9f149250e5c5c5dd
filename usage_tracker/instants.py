"""Instants: moments as stores and reports count them, in microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_instant(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def to_moment(instant: int) -> datetime:
    return EPOCH + instant * MICROSECOND
