"""The file's schema as migrations see it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from usage_tracker.stores import migrations
from usage_tracker.stores.migrations import Migration
from usage_tracker.stores.sqlite.file import SqliteFile


class SqliteSchema:
    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def applied(self) -> set[int]:
        if self._connection is not None:
            return applied(self._connection)
        with self._file.request() as connection:
            try:
                return applied(connection)
            except sqlite3.OperationalError as error:
                if not str(error).startswith("no such table"):
                    raise
                return set()

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._file.transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, "
                "applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))"
            )
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None

    def apply(self, migration: Migration) -> None:
        assert self._connection is not None, "only inside `locked`"
        for statement in statements(migration.sql):
            self._connection.execute(statement)
        self._connection.execute(
            "INSERT INTO schema_migration (number, name) VALUES (?, ?)", [migration.number, migration.name]
        )


def applied(connection: sqlite3.Connection) -> set[int]:
    return {number for (number,) in connection.execute("SELECT number FROM schema_migration")}


def refuse_newer(connection: sqlite3.Connection) -> None:
    """In a transaction that writes: another program may have migrated since ours began, and has rollups then that we
    know nothing of. Raises SchemaError."""
    [(newest,)] = connection.execute("SELECT max(number) FROM schema_migration")
    migrations.refuse_newer(newest or 0, "sqlite")


def statements(script: str) -> Iterator[str]:
    """One by one: sqlite3's own executescript() commits first, and a migration is one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
