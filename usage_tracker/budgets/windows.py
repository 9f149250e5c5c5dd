"""The window that a budget counts in: an hour, day, week or month of the calendar in its zone, or so long up to now."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple

from usage_tracker.dates import day_after, first_day
from usage_tracker.zones import midnight

PERIODS = ("minute", "hour", "day", "week", "month")
LONGEST_HOURS = 366 * 24
UNITS = {"h": 1, "d": 24, "w": 7 * 24}


class Window(NamedTuple):
    """From `start` up to and without `end`, in UTC."""

    start: datetime
    end: datetime


@lru_cache(maxsize=256)
def hours_of(per: str) -> int | None:
    """How long a rolling window is; None for what is none."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", per)
    hours = int(match[1]) * UNITS[match[2]] if match else 0
    return hours if 0 < hours <= LONGEST_HOURS else None


def is_duration(per: str) -> bool:
    return hours_of(per) is not None


def window_at(per: str, zone: tzinfo, now: datetime) -> Window:
    """The window that the moment is in.

    A rolling one of a day or more starts with an hour, so it reaches back up to an hour further than it says: sums by
    the hour answer for it, whatever the number of calls, unless it is about users or tags, whose sums are by the day.
    """
    hours = hours_of(per)
    if hours is not None:
        start = now - timedelta(hours=hours)
        whole = start.replace(minute=0, second=0, microsecond=0) if hours >= 24 else start
        return Window(whole.astimezone(UTC), now.astimezone(UTC))
    local = now.astimezone(zone)
    if per in ("minute", "hour"):
        # by the offset that holds now, for all of it: an hour that the clock repeats is two, and half a one is whole
        start = local.replace(second=0, microsecond=0, tzinfo=timezone(local.utcoffset() or timedelta()))
        start = start.replace(minute=0) if per == "hour" else start
        length = timedelta(hours=1) if per == "hour" else timedelta(minutes=1)
        first = start.astimezone(UTC)
        return Window(first, first + length)
    begun = first_day(per, local.date())
    return Window(midnight(begun, zone), midnight(day_after(per, begun), zone))
