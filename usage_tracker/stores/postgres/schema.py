"""The schema `usage_tracker` as migrations see it."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.errors import InvalidSchemaName, UndefinedTable

from usage_tracker.errors import StoreError
from usage_tracker.stores import migrations
from usage_tracker.stores.migrations import Migration
from usage_tracker.stores.postgres.connection import Connections, Cursor

MIGRATE_LOCK = 0x7573616765_01
FOLD_LOCK = 0x7573616765_03
MIGRATE_SECONDS = 600
OLDEST = 13
ENCODINGS = ("UTF8", "SQL_ASCII")
"""What holds any text. LATIN1, for one, doesn't hold the fingerprint of a key, and so nearly no event."""


BECOME_OWNER = """
SELECT set_config('role', pg_get_userbyid(min(relowner)), true) FROM pg_class
WHERE relnamespace = to_regnamespace('usage_tracker') AND relkind IN ('r', 'p', 'v')
HAVING count(DISTINCT relowner) = 1 AND pg_get_userbyid(min(relowner)) <> current_user
    AND pg_has_role(min(relowner), 'USAGE') AND has_schema_privilege(min(relowner), 'usage_tracker', 'CREATE')
"""


class PostgresSchema:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._cursor: Cursor = None

    def applied(self) -> set[int]:
        if self._cursor is not None:
            return applied(self._cursor)
        with self._connections.transaction() as cursor:
            refuse_unfit(cursor)
            try:
                return applied(cursor)
            except (UndefinedTable, InvalidSchemaName):
                cursor.execute("ROLLBACK")
                return set()

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._connections.transaction(statement_seconds=MIGRATE_SECONDS, seconds=MIGRATE_SECONDS) as cursor:
            # a server that can (14 and newer) ends a long migration whose process was killed, and lets go of the lock
            cursor.execute(
                "SELECT set_config(name, '1s', true) FROM pg_settings WHERE name = 'client_connection_check_interval'"
            )
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATE_LOCK])
            # who folds meanwhile knows nothing of a rollup that is made here of what was folded before
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FOLD_LOCK])
            become_owner(cursor)
            # CREATE SCHEMA IF NOT EXISTS wants the privilege even where the schema exists
            cursor.execute("SELECT to_regnamespace('usage_tracker') IS NULL")
            if cursor.fetchone() == (True,):
                cursor.execute("CREATE SCHEMA usage_tracker")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS usage_tracker.schema_migration ("
                "number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            self._cursor = cursor
            try:
                yield
            finally:
                self._cursor = None

    def apply(self, migration: Migration) -> None:
        self._cursor.execute(migration.sql)
        self._cursor.execute(
            "INSERT INTO usage_tracker.schema_migration (number, name) VALUES (%s, %s)",
            [migration.number, migration.name],
        )


def refuse_unfit(cursor: Cursor) -> None:
    """Raises StoreError for a server or a database that can't keep events, so that they wait and none is set aside."""
    said = cursor.connection.info.parameter_status  # what a server says unasked, and a pooler may leave out
    version, encoding = said("server_version") or "", said("server_encoding")
    if 0 < cursor.connection.info.server_version < OLDEST * 10_000:
        raise StoreError(f"PostgreSQL {version.partition(' ')[0]} is too old; {OLDEST} is the oldest that works")
    if encoding not in (None, *ENCODINGS):
        raise StoreError(
            f"a database in {encoding} can't hold every text; `createdb --encoding=UTF8 --template=template0` makes "
            "one that can"
        )


def become_owner(cursor: Cursor) -> None:
    """Until the transaction ends. What a superuser adds would be its own otherwise, and no program of the role that
    owns all the rest could store anything any more."""
    cursor.execute(BECOME_OWNER)


def applied(cursor: Cursor) -> set[int]:
    cursor.execute("SELECT number FROM usage_tracker.schema_migration")
    return {number for (number,) in cursor.fetchall()}


def refuse_newer(cursor: Cursor) -> None:
    """In a transaction that writes: another program may have migrated since ours began, and has rollups then that we
    know nothing of. Raises SchemaError."""
    cursor.execute("SELECT max(number) FROM usage_tracker.schema_migration")
    migrations.refuse_newer(cursor.fetchone()[0] or 0, "postgres")
