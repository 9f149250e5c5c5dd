"""A user's own SQL on SQLite, which may only read."""

import sqlite3
from collections.abc import Iterator

from usage_tracker.dsn import Dsn
from usage_tracker.errors import QueryError
from usage_tracker.stores.interrupting import interruptible
from usage_tracker.stores.sqlite.file import SqliteFile

REMEDIES = {
    "integer overflow": ": tables hold money in picodollars; ask the views events and daily, or total() for sum()",
}
"""What else to say to SQLite's words."""


def read(dsn: Dsn, sql: str) -> Iterator[tuple[object, ...]]:
    """The columns' names, then the rows as they come. Raises QueryError with SQLite's words, StoreError."""
    file = SqliteFile(dsn)
    try:
        with interruptible(file.interrupt), file.request() as connection:
            connection.execute("PRAGMA query_only = ON")
            try:
                cursor = connection.execute(sql)
                if cursor.description is None:
                    raise QueryError("the statement returns no rows; write a SELECT")
                yield tuple(column[0] for column in cursor.description)
                yield from cursor
            except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
                if code not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
                    raise
                raise QueryError(f"{error}{REMEDIES.get(str(error), '')}") from None
    finally:
        file.close()
