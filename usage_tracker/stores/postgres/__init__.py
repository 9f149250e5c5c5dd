"""Events in PostgreSQL 13 or newer, by psycopg2."""

from usage_tracker.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
