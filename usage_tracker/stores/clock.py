"""The clock that all who share a store go by: their own differ, and jump. In seconds since 1970."""

import time

from usage_tracker.stores.store import Dialect, Execute, Store

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"


def clock(store: Store) -> float:
    """Raises StoreError."""
    if store.dialect.name != "postgres":
        return time.time()
    [(now,)] = store.select(NOW)
    return float(str(now))


def clock_within(execute: Execute, dialect: Dialect) -> float:
    """Within a transaction."""
    if dialect.name != "postgres":
        return time.time()
    row = execute(NOW, [])
    assert row is not None
    return float(str(row[0]))
