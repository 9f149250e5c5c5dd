"""Events one by one: the newest first, or all from the oldest on."""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast
from uuid import UUID

from usage_tracker.conditions import Condition
from usage_tracker.event import COLUMNS
from usage_tracker.instants import DAY, HOUR
from usage_tracker.report.conditions import about_tags, write_match, write_match_of_some
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.dimensions import ARRAYS, FILTERS
from usage_tracker.report.groups import find_span, find_spans, write_span
from usage_tracker.report.plan import LAST, Span, slices
from usage_tracker.report.statement import Statement
from usage_tracker.stores import Store

Event = dict[str, Any]
"""The columns of the view `events`: `started_at` in UTC, money as Decimal, tags and flags as lists, `event_id` as text.
What JSON holds (`units`, `cost_parts`, `usage`) is read."""


def list_events(
    store: Store,
    since: datetime | None = None,
    until: datetime | None = None,
    where: Collection[Condition] = (),
    limit: int | None = None,
) -> Generator[Event, None, None]:
    """The events of the range that meet the conditions, at most `limit`, as they are read. Raises StoreError.

    Where it isn't read to its end, close it before the store.
    """
    span = find_span(store, since, until, closed=limit is not None)
    for window in widening(span, whole=limit is None) if span else ():
        for event in read_window(store, window, where, limit):
            yield event
            if limit is not None:
                limit -= 1
        if limit == 0:
            return


def export_events(
    store: Store, since: datetime | None = None, until: datetime | None = None, where: Collection[Condition] = ()
) -> Generator[Event, None, None]:
    """The events of the range that meet the conditions, the oldest first. Raises StoreError.

    They are read day by day, so that neither this process nor the store ever holds, or sorts, more than a day. Where it
    isn't read to its end, close it before the store.
    """
    for span in find_spans(store, since, until, closed=True):
        for day in slices(span, DAY):
            yield from read_window(store, day, where, None, newest_first=False)


def widening(span: Span, *, whole: bool) -> Iterator[Span]:
    """The span from its end backwards, in windows each eight times as long as the one before. Postgres has no index
    that yields events in order, so it sorts all of a window to find the newest."""
    start, end = span
    width = end - start if whole else HOUR
    while end > start:
        yield max(start, end - width), end
        end, width = end - width, width * 8


def read_window(
    store: Store, window: Span, where: Collection[Condition], limit: int | None, *, newest_first: bool = True
) -> Iterator[Event]:
    statement = open_statement(store.dialect)
    order = "started_at DESC, event_id DESC" if newest_first else "started_at, event_id"
    text = (
        f"SELECT {', '.join(columns_of(statement))} FROM {statement.events} "  # noqa: S608  our own names
        f"WHERE {' AND '.join(write_tests(statement, window, where))} ORDER BY {order}"
        + ("" if limit is None else f" LIMIT {statement.bind(limit)}")
    )
    for values in store.select(text, statement.parameters):
        yield read_event(statement, values)


def columns_of(statement: Statement) -> list[str]:
    """COLUMNS, as the statement's source of events has them."""
    return [statement.event_columns.get(name, name) for name in COLUMNS]


def read_event(statement: Statement, values: Iterable[object]) -> Event:
    """The event whose columns have these values."""
    return {name: statement.read_column(name, value) for name, value in zip(COLUMNS, values, strict=True)}


def write_tests(statement: Statement, window: Span, where: Collection[Condition]) -> list[str]:
    """What an event of the window passes if it meets the conditions."""
    tests = write_span(statement, "started_at", window)
    if statement.rows_hold_values:
        from usage_tracker.report import clickhouse

        return tests + clickhouse.write_conditions(statement, where, of_events=True)
    for condition in map(about_tags, where):
        if condition.dimension in ARRAYS:
            tests.append(write_match_of_some(statement, ARRAYS[condition.dimension], condition))
        else:
            tests.append(write_match(statement, FILTERS[condition.dimension].value, condition))
    return tests


def find_event(store: Store, name: str) -> Event | None:
    """The event with that id or, where it is none of ours, the newest one of the answer that the provider named so.
    Raises StoreError."""
    return find_near(store, name) or find_anywhere(store, name)


def find_near(store: Store, name: str) -> Event | None:
    """The event with that id, at the time that the id tells: ids begin with their milliseconds, so that all but a day
    of a large store need not be read. Raises StoreError."""
    event_id = id_of(name)
    made = (event_id.int >> 80) * 1000 if event_id is not None and event_id.version == 7 else LAST
    if event_id is None or made >= LAST:
        return None

    def near(statement: Statement) -> str:
        since, until = (statement.bind_instant(at, "started_at") for at in (made - DAY, made + HOUR))
        return f"started_at >= {since} AND started_at < {until} AND event_id = {statement.bind_event_id(event_id)}"

    return read_one(store, near)


def find_anywhere(store: Store, name: str) -> Event | None:
    """As `find_event`, by reading all events that there are. Raises StoreError."""
    event_id = id_of(name)
    found = None
    if event_id is not None:
        found = read_one(store, lambda statement: f"event_id = {statement.bind_event_id(event_id)}")
    # some providers name their answers by UUIDs, too
    return found or read_one(store, lambda statement: f"response_id = {statement.bind(name)}")


def id_of(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def read_one(store: Store, write_test: Callable[[Statement], str]) -> Event | None:
    statement = open_statement(store.dialect)
    test = write_test(statement)
    columns = ", ".join(columns_of(statement))
    text = f"SELECT {columns} FROM {statement.events} WHERE {test} ORDER BY started_at DESC LIMIT 1"  # noqa: S608
    for values in list(store.select(text, statement.parameters)):
        return read_event(statement, values)
    return None


class Original(NamedTuple):
    """What a call cost before it was priced again."""

    cost: Decimal | None
    source: str | None
    version: str | None


def find_original(store: Store, event: Event) -> Original | None:
    """None where the call was never priced again. Raises StoreError."""
    statement = open_statement(store.dialect)
    if statement.rows_hold_values:
        return None  # such a store prices nothing again
    text = (
        f"SELECT o.cost, p.source, p.version FROM {statement.table('usage_original')} o "  # noqa: S608  our own names
        f"LEFT JOIN {statement.table('usage_price')} p USING (price_key) "
        f"WHERE o.event_id = {statement.bind_event_id(UUID(event['event_id']))}"
    )
    for cost, source, version in list(store.select(text, statement.parameters)):
        amount = None if cost is None else statement.read_money(cost)
        return Original(amount, cast(str | None, source), cast(str | None, version))
    return None
