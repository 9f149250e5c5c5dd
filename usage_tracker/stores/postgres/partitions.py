"""Monthly partitions of usage_event: made ahead of time, and filled with what arrived for them before they existed."""
# ruff: noqa: S608  names of tables and columns are our own

from datetime import date
from itertools import pairwise
from typing import NamedTuple

from usage_tracker.stores.postgres.connection import Cursor
from usage_tracker.stores.postgres.schema import become_owner

MONTHS = range(-1, 4)
"""Which months have a partition, counted from the current one. Events of other months are in the default partition."""
PARTITION_LOCK = 0x7573616765_02

DEFAULT_PARTITION = """
SELECT partdefid::regclass::text FROM pg_partitioned_table
WHERE partrelid = 'usage_tracker.usage_event'::regclass AND partdefid <> 0
"""
"""None where somebody has detached it, as whoever wants to detach others without a lock has to."""

TABLESPACE = """
SELECT 'TABLESPACE ' || quote_ident(spcname) FROM pg_class JOIN pg_tablespace ON pg_tablespace.oid = reltablespace
WHERE pg_class.oid = 'usage_tracker.usage_event'::regclass
"""
"""Where somebody wants the months to come, as they would go by themselves if they were made as partitions at once."""


class Month(NamedTuple):
    table: str
    start: date
    end: date


def months(today: date) -> list[Month]:
    counted = [today.year * 12 + today.month - 1 + ahead for ahead in range(MONTHS.start, MONTHS.stop + 1)]
    starts = [date(month // 12, month % 12 + 1, 1) for month in counted]
    return [Month(f"usage_event_{start:%Y_%m}", start, end) for start, end in pairwise(starts)]


def missing_months(cursor: Cursor, today: date) -> list[Month]:
    """The months without a partition, where this role may make them. A partition that somebody detached stays so."""
    wanted = {month.table: month for month in months(today)}
    cursor.execute(
        """
        SELECT wanted.name FROM unnest(%s) AS wanted(name), pg_class AS parent
        WHERE parent.oid = 'usage_tracker.usage_event'::regclass AND pg_has_role(parent.relowner, 'USAGE')
            AND has_schema_privilege('usage_tracker', 'CREATE')
            AND to_regclass('usage_tracker.' || wanted.name) IS NULL
        ORDER BY 1
        """,
        [list(wanted)],
    )
    return [wanted[name] for (name,) in cursor.fetchall()]


def make_months(cursor: Cursor, today: date, *, wait: bool) -> None:
    """Make the partitions that are missing; where another process is at it, wait for it or leave it to that one."""
    if not missing_months(cursor, today):
        return
    cursor.execute("SET LOCAL lock_timeout = '3s'")
    cursor.execute(f"SELECT {'pg_advisory_xact_lock' if wait else 'pg_try_advisory_xact_lock'}(%s)", [PARTITION_LOCK])
    if not wait and cursor.fetchone() == (False,):
        return
    absent, rest, where = missing_months(cursor, today), None, ""
    if absent:
        become_owner(cursor)
        # Parent first, as everybody else locks them. Nobody can add to the default partition from here on.
        cursor.execute("LOCK TABLE ONLY usage_tracker.usage_event IN SHARE UPDATE EXCLUSIVE MODE")
        cursor.execute(DEFAULT_PARTITION)
        rest = cursor.fetchone()
        if rest is not None:
            cursor.execute(f"LOCK TABLE {rest[0]} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(TABLESPACE)
        (where,) = cursor.fetchone() or ("",)
    for month in absent:
        table, start, end = f"usage_tracker.{month.table}", f"{month.start} 00:00+00", f"{month.end} 00:00+00"
        cursor.execute(f"CREATE TABLE {table} (LIKE usage_tracker.usage_event INCLUDING ALL) {where}")
        if rest is not None:
            cursor.execute(
                f"WITH moved AS (DELETE FROM {rest[0]} WHERE started_at >= %s AND started_at < %s RETURNING *) "
                f"INSERT INTO {table} SELECT * FROM moved",
                [start, end],
            )
        cursor.execute(
            f"ALTER TABLE {table} REPLICA IDENTITY FULL;"
            f"ALTER TABLE usage_tracker.usage_event ATTACH PARTITION {table} FOR VALUES FROM (%s) TO (%s)",
            [start, end],
        )
