"""Where events end up: one `Store` protocol, one file for each kind of store."""

from usage_tracker.stores.store import Dialect, Store, open_store, read_sql

__all__ = ["Dialect", "Store", "open_store", "read_sql"]
