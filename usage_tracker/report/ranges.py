"""Ranges of time as people write them: dates, words such as `last-month`, durations such as `7d`; in a time zone.

Everything names a period, and a range goes from the start of one to the end of another: `--since last-month --until
last-month` is last month. A duration goes back that far from now and then down to the start of its minute, hour or (in
the zone) day, so it covers at least what was asked.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from usage_tracker.dates import ONE_DAY, first_day, next_month
from usage_tracker.report.spelling import did_you_mean
from usage_tracker.zones import begins_day, midnight

DEFAULT_SINCE = "mtd"


class Range(NamedTuple):
    """From `since` up to and without `until`, both in UTC; since None: from the first event on."""

    since: datetime | None
    until: datetime


class Days(NamedTuple):
    """From the start of the first day up to the start of `after`."""

    first: date
    after: date


def one_before(unit: str, today: date) -> Days:
    """The week or month before that of today."""
    after = first_day(unit, today)
    return Days(first_day(unit, after - ONE_DAY), after)


PERIODS: dict[str, Callable[[date], Days]] = {
    "today": lambda today: Days(today, today + ONE_DAY),
    "yesterday": lambda today: Days(today - ONE_DAY, today),
    "this-week": lambda today: Days(first_day("week", today), today + ONE_DAY),
    "last-week": lambda today: one_before("week", today),
    "mtd": lambda today: Days(first_day("month", today), today + ONE_DAY),
    "last-month": lambda today: one_before("month", today),
    "ytd": lambda today: Days(today.replace(month=1, day=1), today + ONE_DAY),
}
"""Words for periods; those that have not ended yet end with today."""

DURATION = re.compile(r"(\d{1,6})([mhdw])")
FORMS = "a date (2026-08-31, 2026-08, 2026), a time (2026-08-31T14:30), 90m, 24h, 7d, 4w, " + ", ".join(
    [*PERIODS, "all"]
)


def parse_range(since: str | None, until: str | None, zone: tzinfo, now: datetime) -> Range:
    """The range that two words name. Raises ValueError with a sentence for people.

    Without `since` it is the month to date. Without `until` it ends with today or, where it starts within a day, with
    the hour that is under way.
    """
    since = since or DEFAULT_SINCE
    start = None if since == "all" else parse_period(since, zone, now).since
    if until is not None:
        end = parse_period(until, zone, now).until
    elif start is None or begins_day(start, zone):
        end = midnight(now.astimezone(zone).date() + ONE_DAY, zone)
    else:
        end = hour(now, zone) + timedelta(hours=1)
    if start is not None and start >= end:
        raise ValueError(
            f"the range is empty: it starts at {start.astimezone(zone):%Y-%m-%d %H:%M} and ends at "
            f"{end.astimezone(zone):%Y-%m-%d %H:%M}; give a --since before --until"
        )
    return Range(start, end)


def parse_period(text: str, zone: tzinfo, now: datetime) -> Range:
    """The period that one word, date, time or duration names. A time is a period of no length."""
    today = now.astimezone(zone).date()
    if period := PERIODS.get(text):
        return whole_days(period(today), zone)
    if duration := DURATION.fullmatch(text):
        return parse_duration(int(duration[1]), duration[2], zone, now)
    try:
        if months := re.fullmatch(r"(\d{4})-(\d{2})", text):
            first = date(int(months[1]), int(months[2]), 1)
            return whole_days(Days(first, next_month(first)), zone)
        if re.fullmatch(r"\d{4}", text):
            return whole_days(Days(date(int(text), 1, 1), date(int(text) + 1, 1, 1)), zone)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            first = date.fromisoformat(text)
            return whole_days(Days(first, first + ONE_DAY), zone)
        if re.match(r"\d{4}-\d{2}-\d{2}[T ]", text):
            instant = datetime.fromisoformat(text)
            instant = (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)
            return Range(instant, instant)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a date or time of the calendar; write it like 2026-08-31 or 2026-08-31T14:30"
        ) from None
    if text == "all":
        raise ValueError("all is only where a range starts: it has neither a first day nor a last one")
    raise ValueError(f"{text!r} names no time{did_you_mean(text, [*PERIODS, 'all'])} Use one of: {FORMS}")


def both_ends(text: str) -> tuple[str, str | None]:
    """A period as the `since` and the `until` of its range. What counts back from now goes on until now."""
    return text, None if text == "all" or DURATION.fullmatch(text) else text


def parse_duration(count: int, unit: str, zone: tzinfo, now: datetime) -> Range:
    try:
        if unit in "dw":
            day = now.astimezone(zone).date() - timedelta(days=count * (7 if unit == "w" else 1))
            return whole_days(Days(day, day + ONE_DAY), zone)
        if unit == "h":
            start = hour(now - timedelta(hours=count), zone)
            return Range(start, start + timedelta(hours=1))
        start = (now - timedelta(minutes=count)).astimezone(UTC).replace(second=0, microsecond=0)
        return Range(start, start + timedelta(minutes=1))
    except OverflowError:
        raise ValueError(f"{count}{unit} goes back too far; use all for everything") from None


def hour(moment: datetime, zone: tzinfo) -> datetime:
    """The start of the zone's hour that the moment is in, by the clock as it is set then."""
    local = moment.astimezone(zone)
    since = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return moment.astimezone(UTC) - since


def whole_days(days: Days, zone: tzinfo) -> Range:
    return Range(midnight(days.first, zone), midnight(days.after, zone))
