"""A user's own SQL on SQLite, which may only read."""

import sqlite3
from collections.abc import Iterator

from usage_tracker.dsn import Dsn
from usage_tracker.errors import QueryError
from usage_tracker.stores.interrupting import interruptible
from usage_tracker.stores.sqlite.file import SqliteFile

READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
LOOKS = frozenset(
    {
        "collation_list", "compile_options", "database_list", "foreign_key_list", "function_list", "index_info",
        "index_list", "index_xinfo", "integrity_check", "pragma_list", "quick_check", "table_info", "table_list",
        "table_xinfo",
    }
)  # fmt: skip
"""The pragmas that change nothing, whatever they are given."""
REMEDIES = {
    "not authorized": ": a query can only read",
    "integer overflow": ": tables hold money in picodollars; ask the views events and daily, or total() for sum()",
}
"""What else to say to SQLite's words."""


def read(dsn: Dsn, sql: str) -> Iterator[tuple[object, ...]]:
    """The columns' names, then the rows as they come. Raises QueryError with SQLite's words, StoreError."""
    file = SqliteFile(dsn)
    try:
        with interruptible(file.interrupt), file.request() as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.set_authorizer(allow)
            try:
                cursor = connection.execute(sql)
                if cursor.description is None:
                    raise QueryError("the statement returns no rows; write a SELECT")
                yield tuple(column[0] for column in cursor.description)
                yield from cursor
            except sqlite3.DatabaseError as error:
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
                if code not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
                    raise
                raise QueryError(f"{error}{REMEDIES.get(str(error), '')}") from None
    finally:
        file.close()


def allow(action: int, name: str | None, value: str | None, *_: object) -> int:
    """Beside what `query_only` forbids: files of other names, and pragmas that change this one."""
    looks = action == sqlite3.SQLITE_PRAGMA and (value is None or (name or "").lower() in LOOKS)
    return sqlite3.SQLITE_OK if action in READS or looks else sqlite3.SQLITE_DENY
