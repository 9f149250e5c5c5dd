"""Which table answers which part of a range: whole days and hours from the rollups, what is left from the events.

Instants are microseconds since 1970, UTC; offsets are seconds ahead of UTC. Rollups are cut into days and hours of UTC,
or into weeks that are counted from 1970 and begin on no week's first day, so that they only serve for sums of all time.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from usage_tracker.dates import first_day
from usage_tracker.instants import DAY, HOUR, SECOND, to_instant, to_moment


class Source(NamedTuple):
    """A table or view with one row for each bucket of `grain` and combination of `keys`."""

    table: str
    grain: int
    """0: one row for each event."""
    keys: frozenset[str]
    """By which it is cut besides time; irrelevant for events, which know everything."""

    @property
    def at(self) -> str:
        return "bucket_at" if self.grain else "started_at"


Span = tuple[int, int]
"""From the first instant up to and without the last."""
Fewer = Callable[[Span, Span], bool]
"""Whether the first span has fewer events than the second, and all of them are there still."""


class Part(NamedTuple):
    """Rows of one source that one branch of the statement reads."""

    source: Source
    spans: list[Span]
    offset: int
    skipped_hour: int | None = None
    """The hour of the day, UTC, whose buckets are left out: midnight on the asked clock is in the middle of it."""
    taken: bool = False
    """Whether what it counts is taken away from what the others count."""

    def buckets(self) -> range:
        """The starts of a rollup's buckets; none of events."""
        [(start, end), *_] = self.spans
        return range(start, end, self.source.grain) if self.source.grain else range(0)


WEEK = 7 * DAY
KEYS = frozenset({"kind_key", "owner_key", "status"})
ROLLUPS = (
    Source("by_day_kind", DAY, frozenset({"kind_key"})),
    Source("by_hour_kind", HOUR, frozenset({"kind_key"})),
    Source("by_day_owner", DAY, frozenset({"owner_key"})),
    Source("by_hour_owner", HOUR, frozenset({"owner_key"})),
    Source("by_week_user_total", WEEK, frozenset({"user_key"})),
    Source("by_day_user_total", DAY, frozenset({"user_key"})),
    Source("by_day_tag_total", DAY, frozenset({"tag_key"})),
    Source("by_day", DAY, KEYS),
    Source("by_hour", HOUR, KEYS),
    Source("by_day_user", DAY, KEYS | {"user_key"}),
    Source("by_day_tag", DAY, KEYS | {"tag_key"}),
)
"""Smallest first."""
SKETCHES = (
    Source("by_day_latency", DAY, frozenset({"kind_key"})),
    Source("by_day_owner_latency", DAY, frozenset({"owner_key"})),
)
"""Of how long calls took."""
EVENTS = Source("usage_event", 0, frozenset())
FIRST, LAST = to_instant(datetime(1, 1, 1, tzinfo=UTC)), to_instant(datetime(9999, 12, 31, tzinfo=UTC))
"""No event is before; those of the last day of 9999 are in no report, so that each day has one that follows it."""

OLDEST_CHANGE, NEWEST_DECREE = (to_instant(datetime(year, 1, 1, tzinfo=UTC)) for year in (1800, 2100))
"""No zone's clock was ever changed before; and none is changed after, but for those that are so every year."""
YEAR = 366 * DAY


def rollups_by(keys: Collection[str]) -> list[Source]:
    """The rollups that are cut by these keys, and no finer than they have to be."""
    finer = [rollup.keys for rollup in ROLLUPS if rollup.keys.issuperset(keys)]
    return [rollup for rollup in ROLLUPS if rollup.keys == finer[0]] if finer else []


def sketches_by(keys: Collection[str]) -> list[Source]:
    """The sketch that is cut by these keys, where there is one."""
    return [sketch for sketch in SKETCHES if sketch.keys.issuperset(keys)][:1]


def plan(
    rollups: list[Source], unit: str | None, zone: tzinfo, spans: Sequence[Span], fewer: Fewer | None = None
) -> list[Part]:
    """The parts that together hold every event of the spans once, each in the `unit` that it is in by the zone's clock.
    (`by_day_tag` holds an event once for each tag.) With `fewer`, some that come before it or after it, or are in
    another unit, may be counted first, and taken away there by a part that says so."""
    parts: list[Part] = []
    hours, days = ([rollup for rollup in rollups if rollup.grain == grain] for grain in (HOUR, DAY))
    may_shift = fewer is not None and sum(end - start for start, end in spans) <= MOST_SHIFTED * DAY
    for start, end, offset in (piece for span in spans for piece in clock_settings(zone, span, unit)):
        shift = offset * SECOND
        usable = [each for each in rollups if unit is None or (each.grain < WEEK and shift % each.grain == 0)]
        if unit == "hour":
            usable = [rollup for rollup in usable if rollup.grain == HOUR]
        if unit is None and usable and not hours and fewer is not None:
            parts += cover_days(start, end, usable, fewer)
        elif usable or unit is None or unit == "hour":
            parts += cover(start, end, offset, usable, None)
        elif hours or not days or not may_shift:
            parts += cover(start, end, offset, hours, -shift % DAY // HOUR)
        else:
            parts += shift_days(start, end, offset, days, unit)
    return parts


MOST_BRANCHES = 500
"""SQLite takes so many SELECTs as one, and each change of a clock makes another. Postgres takes thousands of them, and
gigabytes of memory for that."""
TOO_MANY_CHANGES = (
    "the clock of that time zone changes too often in that range: narrow it with since and until, or ask by UTC's clock"
)
MOST_SHIFTED = 4000
"""Days of which hours are moved. SQLite takes 32,766 values in a statement, and such a day may need four."""


def shift_days(start: int, end: int, offset: int, days: list[Source], unit: str) -> list[Part]:
    """Days of a clock that is hours ahead of UTC, or behind it, from days of UTC. Each counts as the day that has most
    of it; the hours at its end, or at its start, that are in the day beside it are taken away from that one and added
    to the other, out of the events."""
    nearest = round(offset * SECOND / DAY) * DAY // SECOND
    ahead = (offset - nearest) * SECOND
    moved: list[Span] = []
    parts: list[Part] = []
    loose: list[Span] = []
    for part in cover(start, end, offset, days, None):
        if not part.source.grain:
            loose = part.spans
            continue
        parts.append(part._replace(offset=nearest))
        for day in part.buckets():
            piece = (day + DAY - ahead, day + DAY) if ahead > 0 else (day, day - ahead)
            if start_of(unit, piece[0] + nearest * SECOND) != start_of(unit, piece[0] + offset * SECOND):
                moved.append(piece)
    added = sorted([*loose, *moved])
    parts += [Part(EVENTS, added, offset)] if added else []
    return parts + ([Part(EVENTS, moved, nearest, taken=True)] if moved else [])


def start_of(unit: str, wall: int) -> date:
    """The first day of the day, week or month that the instant of a wall clock is in."""
    return first_day(unit, to_moment(min(max(wall, FIRST), LAST)).date())


def cover(start: int, end: int, offset: int, rollups: list[Source], skipped_hour: int | None) -> list[Part]:
    """One part for each stretch of whole buckets, the widest first, and one for all that only the events can tell."""
    spans: dict[Source, list[Span]] = {EVENTS: []}
    for source, first, last in split(start, end, sorted(rollups, key=lambda rollup: -rollup.grain)):
        spans.setdefault(source, []).append((first, last))
        if skipped_hour is not None and source.grain:
            middle = first // DAY * DAY + skipped_hour * HOUR
            spans[EVENTS] += [(at, at + HOUR) for at in range(middle, last, DAY) if at >= first]
    loose = spans.pop(EVENTS)
    parts = [Part(source, [each], offset, skipped_hour) for source, found in spans.items() for each in found]
    return [*parts, Part(EVENTS, loose, offset)] if loose else parts


def cover_days(start: int, end: int, rollups: list[Source], fewer: Fewer) -> list[Part]:
    """As `cover`, by rollups of days and more: of a day that the span starts or ends in, all of it less what is
    outside, where that takes fewer events. The last one is often today, and nothing has come after it yet."""
    first, last = start // DAY * DAY, -(-end // DAY) * DAY
    outside: list[Span] = []
    if first < start and first + DAY <= end and fewer((first, start), (start, first + DAY)):
        outside.append((first, start))
        start = first
    if end < last and start <= last - DAY and fewer((end, last), (last - DAY, end)):
        outside.append((end, last))
        end = last
    parts = cover(start, end, 0, rollups, None)
    return [*parts, Part(EVENTS, outside, 0, taken=True)] if outside else parts


def split(start: int, end: int, rollups: list[Source]) -> Iterator[tuple[Source, int, int]]:
    """The span as whole buckets of the first rollup, the rest of it as those of the next, the rest as events."""
    if start >= end:
        return
    if not rollups:
        yield EVENTS, start, end
        return
    grain = rollups[0].grain
    first, last = -(-start // grain) * grain, end // grain * grain
    if first >= last:
        yield from split(start, end, rollups[1:])
        return
    yield from split(start, first, rollups[1:])
    yield rollups[0], first, last
    yield from split(last, end, rollups[1:])


def slices(span: Span, width: int) -> Iterator[Span]:
    """The span cut at the days or hours, of UTC, of that width."""
    start, end = span
    while start < end:
        stop = min(end, start - start % width + width)
        yield start, stop
        start = stop


def clock_settings(zone: tzinfo, span: Span, unit: str | None) -> Iterator[tuple[int, int, int]]:
    """The span in pieces of one offset each. Zones change it at most once a day, and without a unit of time it is 0.

    Where a clock goes on or back by an hour within an hour, as on the Chatham Islands at 02:45, the hours before and
    after have the same start: they are one `unit` of an hour, by the clock of before. Raises ValueError where it
    changes too often.
    """

    def offset(at: int) -> int:
        found = to_moment(min(max(at, FIRST + DAY), LAST - DAY)).astimezone(zone).utcoffset()
        assert found is not None
        return found // timedelta(seconds=1)

    start, end = span
    if unit is None:
        yield start, end, 0
        return
    current, changes = offset(start), 0
    if zone.utcoffset(None) is not None:  # it never changes
        yield start, end, current
        return
    for at in range(max(start, OLDEST_CHANGE), end, DAY):
        if at > NEWEST_DECREE and at - start > YEAR:
            break
        following = min(at + DAY, end)
        if offset(following) == current:
            continue
        before, after = at // SECOND, -(-following // SECOND)
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if offset(middle * SECOND) == current else (before, middle)
        change, later = after * SECOND, offset(after * SECOND)
        if unit == "hour" and (later - current) * SECOND % HOUR == 0:
            change += -(change + current * SECOND) % HOUR
        if change >= end:
            break
        changes += 1
        if changes >= MOST_BRANCHES:
            raise ValueError(TOO_MANY_CHANGES)
        yield start, change, current
        start, current = change, later
    if start < end:
        yield start, end, current
