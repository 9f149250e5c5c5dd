"""What a report is held against: the range before, and which of its buckets of time stands beside which."""

from datetime import date, datetime, timedelta, timezone, tzinfo

from usage_tracker.dates import first_day, months_later, next_month
from usage_tracker.report.question import Query
from usage_tracker.report.ranges import Range, hour, parse_period
from usage_tracker.report.sums import Group, GroupValue
from usage_tracker.zones import begins_day, midnight


def previous(asked: Range, zone: tzinfo, now: datetime) -> Range:
    """The same span just before. What starts with a month is held against the months before, day by day; a range that
    is still under way, against as much of the one before as has passed of it. Raises ValueError for a range without
    start, or with nothing before it."""
    if asked.since is None:
        raise ValueError("a comparison needs a --since")
    try:
        return before_start(asked, asked.since, zone, now)
    except (ValueError, OverflowError):
        raise ValueError("the calendar has nothing before that range") from None


def earlier(word: str, asked: Range, zone: tzinfo, now: datetime) -> Range:
    """The range that a word names: that of `previous`, or a period. Raises ValueError."""
    if word == "previous":
        return previous(asked, zone, now)
    if asked.since is None:
        raise ValueError("a comparison needs a --since")
    return parse_period(word, zone, now)


def before_start(asked: Range, start: datetime, zone: tzinfo, now: datetime) -> Range:
    since, end = start.astimezone(zone), min(asked.until, hour(now, zone) + timedelta(hours=1))
    until = max(end, start + timedelta(hours=1)).astimezone(zone)
    first, last = since.date(), (until - timedelta(microseconds=1)).date()
    if not begins_day(start, zone):
        return Range(start - (until - start), start)
    if first.day == 1:
        months = (last.year - first.year) * 12 + last.month - first.month + 1
        start_day, stop = months_later(first, -months), months_later(until.date(), -months)
        if stop.day < until.day:  # a month that has no such day is over by then
            return Range(midnight(start_day, zone), midnight(next_month(stop), zone))
    else:
        days = last - first + timedelta(days=1)
        start_day, stop = first - days, until.date() - days
    before = midnight(stop, zone) + (until - datetime.combine(until.date(), datetime.min.time(), zone))
    return Range(midnight(start_day, zone), min(before, start))


def beside(query: Query, group: Group) -> Group:
    """The group of the range asked for that a group of the range before stands beside: the nth hour, day, week or month
    of the one beside the nth of the other."""
    return tuple(
        moved(query, name, value) if name == query.unit else value for name, value in zip(query.by, group, strict=True)
    )


def moved(query: Query, unit: str, value: GroupValue) -> GroupValue:
    assert query.since is not None
    assert query.before is not None
    assert query.before.since is not None
    ours, theirs = query.since.astimezone(query.tz), query.before.since.astimezone(query.tz)
    if isinstance(value, datetime):
        later = (value - hour(theirs, query.tz) + hour(ours, query.tz)).astimezone(query.tz)
        return later.replace(tzinfo=timezone(later.utcoffset() or timedelta()))
    assert isinstance(value, date)
    if unit == "month":
        months = (ours.year - theirs.year) * 12 + ours.month - theirs.month
        return months_later(value, months)
    return value + (first_day(unit, ours.date()) - first_day(unit, theirs.date()))
