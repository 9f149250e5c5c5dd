"""Events in one SQLite file that many processes share: the same meaning as in Postgres, upserts instead of deltas."""

from usage_tracker.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
