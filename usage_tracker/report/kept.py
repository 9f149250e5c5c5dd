"""From when on a store still has its events, where earlier ones were pruned: the rollups count more than there is.

Nothing notes that, so that it also holds where somebody dropped a partition by hand.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

from usage_tracker.instants import DAY, HOUR
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.groups import find_span, plan_for
from usage_tracker.report.hours import count_there, has_fewer
from usage_tracker.report.latency import plan_sketches
from usage_tracker.report.plan import Span
from usage_tracker.report.query import earlier_of
from usage_tracker.report.question import Query
from usage_tracker.report.tag_pairs import sets_with_several
from usage_tracker.stores import Store


class Kept(NamedTuple):
    """Instants, in whole hours."""

    first: int
    """The first event ever."""
    since: int
    """The first of which all are still there."""


def find_kept(store: Store) -> Kept | None:
    """None where nothing was pruned. A few narrow questions, whatever the store's size. Raises StoreError."""
    span = find_span(store, None, None, closed=True)
    first = next_hour(store, *span) if span else None
    if span is None or first is None or is_whole(store, first):
        return None
    gone, there = first.at, span[1]
    while there - gone > HOUR:
        middle = (gone + there) // 2 // HOUR * HOUR
        found = next_hour(store, middle, there)
        if found is None or is_whole(store, found):
            there = middle
        else:
            gone = found.at
    return Kept(first.at, there)


def lacks(store: Store, query: Query) -> Kept | None:
    """What is left of the events, where the question, also about the range that it is held against, is one that the
    rollups can't answer and some of those that it asks for are gone. None: the answer is whole. Raises StoreError."""
    several = sets_with_several(store, query.tag_key)
    loose = []
    for each in (query, *earlier_of(query)):
        span = find_span(store, each.since, each.until, closed=True)
        parts = plan_for(each, span, partial(has_fewer, store)) if span else []
        loose += [span for part in parts if several or not part.source.grain for span in part.spans]
    return gone_from(store, loose)


def lacks_prices(store: Store, query: Query) -> Kept | None:
    """The same of costs at prices of today, for which each call is read."""
    if query.cost != "current":
        return None
    spans = (find_span(store, each.since, each.until, closed=True) for each in (query, *earlier_of(query)))
    return gone_from(store, [span for span in spans if span])


def lacks_timings(store: Store, query: Query) -> Kept | None:
    """The same of percentiles, for which calls are read where there is no sketch of them."""
    if not query.percentiles:
        return None
    parts = [part for each in (query, *earlier_of(query)) for part in plan_sketches(store, each)]
    return gone_from(store, [span for part in parts if not part.source.grain for span in part.spans])


def gone_from(store: Store, loose: Sequence[Span]) -> Kept | None:
    kept = find_kept(store) if loose else None
    return kept if kept and any(overlaps(each, kept) for each in loose) else None


def overlaps(span: Span, kept: Kept) -> bool:
    """Whether the span holds some of what is gone."""
    return span[0] < kept.since and span[1] > kept.first


class Counted(NamedTuple):
    """How many events the rollups count in an hour: calls, and what tells later what they used."""

    at: int
    events: int


def next_hour(store: Store, start: int, end: int) -> Counted | None:
    """The first hour from there on that has any."""
    while start < end:
        next_day = start - start % DAY + DAY
        statement = open_statement(store.dialect)
        text = (
            f"SELECT bucket_at, sum(calls + completed) FROM {statement.table('by_hour_kind')} "  # noqa: S608  our own names
            f"WHERE bucket_at >= {statement.bind_instant(start, 'bucket_at')} "
            f"AND bucket_at < {statement.bind_instant(min(end, next_day), 'bucket_at')} "
            "GROUP BY bucket_at HAVING sum(calls + completed) > 0 ORDER BY bucket_at LIMIT 1"
        )
        for at, events in list(store.select(text, statement.parameters)):
            return Counted(statement.read_bucket(at), int(cast(int, events)))
        statement = open_statement(store.dialect)
        later = statement.bind_instant(next_day, "bucket_at")
        first = statement.write_first("bucket_at")
        text = f"SELECT {first} FROM {statement.table('by_day_kind')} WHERE bucket_at >= {later}"  # noqa: S608
        [(day,)] = store.select(text, statement.parameters)
        if day is None:
            return None
        start = statement.read_bucket(day)
    return None


def is_whole(store: Store, hour: Counted) -> bool:
    """Whether all that was counted in that hour is there still."""
    return count_there(store, (hour.at, hour.at + HOUR)) >= hour.events
