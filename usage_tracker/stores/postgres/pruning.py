"""Taking old events out of Postgres: partitions that are over are dropped, single rows are deleted in batches."""
# ruff: noqa: S608  names of tables and columns are our own, or are quoted by the server

import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from usage_tracker.errors import SchemaError, StoreUnavailable
from usage_tracker.stores.postgres.connection import Connections, Cursor
from usage_tracker.stores.postgres.partitions import PARTITION_LOCK
from usage_tracker.stores.postgres.repricing import CHANGING_LOCK
from usage_tracker.stores.pruning import Prunable

SECONDS = 600
"""The longest that one statement may take: reading a partition from end to end, at most."""
EVENTS_AT_ONCE = 20_000
DROP_TRIES = 30
DROP_WAIT = "500ms"
"""Whoever waits to drop a partition holds up everybody who comes after: a short wait, again and again."""
DROP_PAUSE = 1.0

PARTITIONS = """
SELECT partition.name, partition.size,
    partition.bound = 'DEFAULT' OR substring(partition.bound FROM $$FROM \\('([^']+)'\\)$$)::timestamptz < %(before)s,
    coalesce(substring(partition.bound FROM $$TO \\('([^']+)'\\)$$)::timestamptz <= %(before)s, false)
FROM (
    SELECT oid::regclass::text, pg_total_relation_size(oid), pg_get_expr(relpartbound, oid)
    FROM pg_inherits JOIN pg_class ON oid = inhrelid
    WHERE inhparent = 'usage_tracker.usage_event'::regclass AND relkind <> 'f'
) AS partition(name, size, bound)
ORDER BY 1
"""
"""The partitions by name, with their size, whether they may hold earlier events, and whether they hold no others. What
somebody has put into foreign tables is theirs."""

FORGET_ORIGINALS = """
WITH elsewhere AS MATERIALIZED (
    SELECT coalesce(substring(bound FROM $$FROM \\('([^']+)'\\)$$)::timestamptz, '-infinity') AS since,
        coalesce(substring(bound FROM $$TO \\('([^']+)'\\)$$)::timestamptz, 'infinity') AS until
    FROM pg_inherits JOIN pg_class ON oid = inhrelid, pg_get_expr(relpartbound, oid) AS bound
    WHERE inhparent = 'usage_tracker.usage_event'::regclass AND relkind = 'f'
)
DELETE FROM usage_tracker.usage_original WHERE started_at < %s
    AND NOT EXISTS (SELECT FROM elsewhere WHERE started_at >= since AND started_at < until)
"""
"""What single events cost before, but for those in foreign tables, which stay."""

MAY_PRUNE = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'usage_tracker.usage_event'::regclass"

HOURS = """
SELECT bucket_at, sum(calls + completed) FROM usage_tracker.by_hour
WHERE bucket_at > %s AND bucket_at < %s GROUP BY 1 ORDER BY 1
"""


def look(connections: Connections, before: datetime) -> list[Prunable]:
    """The parts that would go. Raises StoreError."""
    found = []
    with connections.transaction(read_only=True, statement_seconds=SECONDS, seconds=None) as cursor:
        for table, size, earlier, whole in partitions(cursor, before):
            if whole or earlier:
                condition = "true" if whole else "started_at < %(before)s"
                cursor.execute(f"SELECT count(*) FILTER (WHERE {condition}), count(*) FROM {table}", {"before": before})
                events, held = cursor.fetchone()
                if whole or events:
                    found.append(Prunable(table, whole, events, size if whole else size * events // held))
    return found


def prune(connections: Connections, before: datetime) -> Iterator[int]:
    """Take them out, part by part; how many went at each. Raises StoreError, SchemaError for a role that may not."""
    with connections.transaction(read_only=True) as cursor:
        cursor.execute(MAY_PRUNE)
        if cursor.fetchone() != (True,):
            raise SchemaError("only the owner of the schema may prune; give the owner's address with --dsn")
        found = partitions(cursor, before)
    for table, _, _, whole in found:
        if whole:
            try:
                yield drop(connections, table)
            except SchemaError as error:
                if "UndefinedTable" not in str(error):
                    raise
                yield 0  # another process prunes as well
    for table, _, earlier, whole in found:
        if earlier and not whole:
            yield from delete(connections, table, before)
    with connections.transaction(statement_seconds=SECONDS, seconds=SECONDS) as cursor:
        cursor.execute(FORGET_ORIGINALS, [before])
        cursor.execute("DELETE FROM usage_tracker.sink_refused WHERE refused_at < %s", [before.timestamp()])


def partitions(cursor: Cursor, before: datetime) -> list[tuple[str, int, bool, bool]]:
    cursor.execute(PARTITIONS, {"before": before})
    found: list[tuple[str, int, bool, bool]] = cursor.fetchall()
    return found


def drop(connections: Connections, table: str) -> int:
    """How many events were in it. Raises StoreUnavailable where it is in use all the time."""
    with connections.transaction(read_only=True, statement_seconds=SECONDS, seconds=None) as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        (events,) = cursor.fetchone()
    for tried in range(1, DROP_TRIES + 1):
        try:
            with connections.transaction() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{DROP_WAIT}'")
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
                cursor.execute(f"DROP TABLE {table}")
            break
        except StoreUnavailable as error:
            if tried == DROP_TRIES or "LockNotAvailable" not in str(error):
                raise
            time.sleep(DROP_PAUSE)
    return int(events)


def delete(connections: Connections, table: str, before: datetime) -> Iterator[int]:
    """Delete single rows in transactions of about EVENTS_AT_ONCE, cut by what the rollups count in each hour. With a
    LIMIT, each would read again what those before it have deleted."""
    with connections.transaction(read_only=True, statement_seconds=SECONDS, seconds=None) as cursor:
        cursor.execute(f"SELECT min(started_at) FROM {table} WHERE started_at < %s", [before])
        (first,) = cursor.fetchone()
        if first is None:
            return
        cursor.execute(HOURS, [first, before])
        hours = cursor.fetchall()
    for start, end in windows(first, hours, before):
        with connections.transaction(statement_seconds=SECONDS, seconds=SECONDS) as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHANGING_LOCK])
            cursor.execute(f"DELETE FROM {table} WHERE started_at >= %s AND started_at < %s", [start, end])
            deleted = cursor.rowcount
        yield deleted


def windows(
    first: datetime, hours: Iterable[tuple[datetime, int]], before: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The time from the first event on, in stretches of whole hours that hold no more than EVENTS_AT_ONCE, or one hour.
    `hours`: how many events each has that begins after the first event."""
    start, counted = first, 0
    for hour, events in hours:
        if counted and counted + events > EVENTS_AT_ONCE:
            yield start, hour
            start, counted = hour, 0
        counted += events
    yield start, before
