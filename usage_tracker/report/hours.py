"""How many events there are in whole hours and days: as the rollups count them, and as they are there still.

Where earlier ones were pruned, the rollups count more.
"""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Sequence
from typing import NamedTuple, cast

from usage_tracker.instants import DAY, HOUR
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.plan import LAST, Span
from usage_tracker.report.statement import Statement
from usage_tracker.stores import Store


def has_fewer(store: Store, one: Span, other: Span) -> bool:
    """Whether one span has fewer events than the other, and all of them are there still. Raises StoreError."""
    hours = whole_hours(one)
    events, others = count_ever(store, hours, whole_hours(other))
    return events < others and (not events or count_there(store, hours) >= events)


def whole_hours(span: Span) -> Span:
    """All those that it has some of."""
    start, end = span
    return start // HOUR * HOUR, -(-end // HOUR) * HOUR


def count_ever(store: Store, *spans: Span) -> list[int]:
    statement = open_statement(store.dialect)
    counts = []
    for span in spans:
        start, end = (statement.bind_instant(at, "bucket_at") for at in span)
        counts.append(
            f"(SELECT coalesce(sum(calls + completed), 0) FROM {statement.table('by_hour_kind')} "
            f"WHERE bucket_at >= {start} AND bucket_at < {end})"
        )
    [found] = store.select(f"SELECT {', '.join(counts)}", statement.parameters)
    return [int(cast(int, events)) for events in found]


def count_there(store: Store, hours: Span) -> int:
    statement = open_statement(store.dialect)
    [(events,)] = store.select(f"SELECT count(*) {write_there(statement, hours)}", statement.parameters)
    return cast(int, events)


def write_there(statement: Statement, span: Span) -> str:
    start, end = (statement.bind_instant(at, "started_at") for at in span)
    return (
        f"FROM {statement.table('usage_event')} "
        f"WHERE started_at >= {start} AND started_at < {end} AND {statement.counted}"
    )


class Counted(NamedTuple):
    """A day or an hour that the rollups count events in: calls, and what tells later what they used."""

    start: int
    end: int
    events: int

    @property
    def span(self) -> Span:
        return self.start, self.end

    @property
    def enough(self) -> int:
        return min(self.events, ENOUGH)


def list_days(store: Store) -> list[Counted]:
    """All of them that reports are about, in order."""
    statement = open_statement(store.dialect)
    return read_counted(store, statement, statement.table("by_day_kind"), DAY)


def list_hours(store: Store, days: Sequence[Counted]) -> list[Counted]:
    """Those of these days, in order."""
    if not days:
        return []
    statement = open_statement(store.dialect)
    rows = statement.write_within("by_hour_kind", "bucket_at", [day.span for day in days])
    return read_counted(store, statement, rows, HOUR)


def read_counted(store: Store, statement: Statement, rows: str, width: int) -> list[Counted]:
    text = (
        f"SELECT bucket_at, sum(calls + completed) FROM {rows} "
        "GROUP BY bucket_at HAVING sum(calls + completed) > 0 ORDER BY bucket_at"
    )
    found = ((statement.read_bucket(at), events) for at, events in store.select(text, statement.parameters))
    return [Counted(start, start + width, int(cast(int, events))) for start, events in found if start < LAST]


ENOUGH = 1000
"""No more events than these are looked for in a day or an hour, which takes as long at any rate of calls."""


def are_whole(store: Store, buckets: Sequence[Counted]) -> list[bool]:
    """Whether what the rollups count in each day or hour, or ENOUGH of it, is there."""
    if not buckets:
        return []
    statement = open_statement(store.dialect)
    # one by one, with the bounds in the text: joined with a table of them, Postgres may read whole partitions
    counts = [
        f"(SELECT count(*) FROM (SELECT 1 {write_there(statement, each.span)} LIMIT {each.enough}) AS found)"
        for each in buckets
    ]
    [there] = store.select(f"SELECT {', '.join(counts)}", statement.parameters)
    return [cast(int, events) >= each.enough for each, events in zip(buckets, there, strict=True)]
