"""Folding of deltas into rollups, by one process at a time."""
# ruff: noqa: S608  names of tables and columns are our own

import time

from usage_tracker.stores.postgres.connection import Connections, Cursor
from usage_tracker.stores.postgres.schema import FOLD_LOCK, refuse_newer
from usage_tracker.stores.rollups import (
    COARSER,
    DAY_LATENCY,
    DAY_OWNER_LATENCY,
    DAY_SECONDS,
    DAY_TAG,
    DAY_USER,
    HOUR,
    HOUR_SECONDS,
    WEEK_SECONDS,
    Grain,
)  # fmt: skip

SECONDS = 1.0
"""About how long one transaction may take. Events wait meanwhile, and one that is cut off has folded nothing."""
ROWS_AT_FIRST, ROWS_AT_LEAST, ROWS_AT_MOST = 10_000, 5_000, 100_000
"""How many rows of each delta it folds. What takes a moment where few calls differ takes a slow server a minute where
each is another user's. A server that is far away takes as long for few."""

TARGETS = {
    delta: (delta, *COARSER.get(delta, ())) for delta in (HOUR, DAY_USER, DAY_TAG, DAY_LATENCY, DAY_OWNER_LATENCY)
}
"""The rollups that each delta is folded into."""

BUCKETS = {
    HOUR_SECONDS: "bucket_at",
    DAY_SECONDS: "date_trunc('day', bucket_at, 'UTC')",
    WEEK_SECONDS: f"to_timestamp(floor(extract(epoch FROM bucket_at) / {WEEK_SECONDS}) * {WEEK_SECONDS})",
}
"""The bucket of a rollup that a delta's hour or day is in."""

MAY_FOLD = """
SELECT bool_and(has_table_privilege('usage_tracker.' || relation, privilege))
FROM unnest(%s, %s) AS needed(relation, privilege)
"""


class Folding:
    """Folds as many rows at once as the server can in the time."""

    def __init__(self) -> None:
        self._rows = ROWS_AT_FIRST

    def fold(self, connections: Connections) -> int:
        """See `fold`. Raises StoreError."""
        began = time.monotonic()
        try:
            with connections.transaction() as cursor:
                return fold(cursor, self._rows)
        finally:
            took = time.monotonic() - began
            if took > SECONDS:
                self._rows = max(ROWS_AT_LEAST, self._rows // 2)
            elif took < SECONDS / 4:
                self._rows = min(ROWS_AT_MOST, self._rows * 2)


def fold(cursor: Cursor, rows: int) -> int:
    """Fold so many rows of each delta; how many were folded in all. 0 where another process is at it or this role may
    not. Raises SchemaError."""
    needed = [(f"delta_{delta.name}", privilege) for delta in TARGETS for privilege in ("SELECT", "DELETE")]
    for target in (target for targets in TARGETS.values() for target in targets):
        needed += [(f"rollup_{target.name}", privilege) for privilege in ("SELECT", "INSERT", "UPDATE")]
    cursor.execute(MAY_FOLD, [list(column) for column in zip(*needed, strict=True)])
    if cursor.fetchone() != (True,):
        return 0
    # who locks a rollup for longer must not keep the events of a shipper waiting
    cursor.execute("SET LOCAL lock_timeout = '1s'")
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [FOLD_LOCK])
    if cursor.fetchone() != (True,):
        return 0
    refuse_newer(cursor)
    return sum(fold_delta(cursor, delta, targets, rows) for delta, targets in TARGETS.items())


def fold_delta(cursor: Cursor, delta: Grain, targets: tuple[Grain, ...], rows: int) -> int:
    inserts = ", ".join(f"{target.name}_rows AS ({upsert(target)})" for target in targets)
    cursor.execute(
        f"WITH folded AS (DELETE FROM usage_tracker.delta_{delta.name} WHERE ctid = ANY(ARRAY("
        f"SELECT ctid FROM usage_tracker.delta_{delta.name} LIMIT {rows})) RETURNING *), {inserts} "
        "SELECT count(*) FROM folded"
    )
    (count,) = cursor.fetchone()
    return int(count)


def upsert(target: Grain) -> str:
    keys = ", ".join(target.keys)
    selected = keys.replace("bucket_at", BUCKETS[target.seconds])
    added = ", ".join(f"{name} = known.{name} + EXCLUDED.{name}" for name in target.measures)
    return (
        f"INSERT INTO usage_tracker.rollup_{target.name} AS known ({keys}, {', '.join(target.measures)}) "
        f"SELECT {selected}, {', '.join(f'sum({name})' for name in target.measures)} FROM folded "
        f"GROUP BY {', '.join(str(place + 1) for place in range(len(target.keys)))} "
        f"ON CONFLICT ({keys}) DO UPDATE SET {added}"
    )
