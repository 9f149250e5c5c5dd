"""How many events there are in whole hours: as the rollups count them, and as they are there still.

Where earlier ones were pruned, the rollups count more.
"""
# ruff: noqa: S608  names of tables and columns are our own

from typing import cast

from usage_tracker.instants import HOUR
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.plan import Span
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
    start, end = (statement.bind_instant(at, "started_at") for at in hours)
    text = (
        f"SELECT count(*) FROM {statement.table('usage_event')} "
        f"WHERE started_at >= {start} AND started_at < {end} AND {statement.counted}"
    )
    [(events,)] = store.select(text, statement.parameters)
    return cast(int, events)
