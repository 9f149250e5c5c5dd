"""A user's own SQL on Postgres, which may only read."""

from collections.abc import Iterator

import psycopg2

from usage_tracker.dsn import Dsn
from usage_tracker.errors import QueryError
from usage_tracker.stores.interrupting import interruptible
from usage_tracker.stores.postgres.connection import Connections, Cursor

LONGEST_SECONDS = 3600.0
ROWS_AT_ONCE = 1000

REMEMBER = "SELECT set_config('usage_tracker.question', %s, true)"
TRY_OUT = """
    DO $$
    DECLARE answer refcursor;
    BEGIN
        OPEN answer FOR EXECUTE current_setting('usage_tracker.question');
        CLOSE answer;
    END $$
"""
"""Plans it as the one statement that a cursor takes. Of several, the first could end the transaction that only reads,
or let it write, for those behind it."""
NO_CURSOR = "42P11"


def read(dsn: Dsn, sql: str) -> Iterator[tuple[object, ...]]:
    """The columns' names, then the rows, all of which this process holds by then: a cursor's are worked out by one
    process of the server alone. Raises QueryError with the server's words, StoreError."""
    connections = Connections(dsn)
    try:
        with (
            interruptible(connections.cancel),
            connections.transaction(read_only=True, statement_seconds=LONGEST_SECONDS, seconds=None) as cursor,
        ):
            try:
                cursor.execute("SET LOCAL search_path = usage_tracker, public")
                cursor.execute(REMEMBER, [sql])
                cursor.execute(TRY_OUT)
                cursor.execute(sql)
            except psycopg2.Error as error:
                if error.pgcode is None:
                    raise
                if error.pgcode == NO_CURSOR:
                    raise QueryError(
                        "a query is one statement that only reads and returns rows; write a SELECT"
                    ) from None
                raise QueryError(f"{error.diag.message_primary or error} (SQLSTATE {error.pgcode})") from None
            if not cursor.description:  # of a SELECT that names none
                raise QueryError("the statement returns no columns; name some after SELECT")
            with cursor.connection.cursor() as ending:  # nobody on the server waits for whoever reads the rows
                ending.execute("COMMIT")
            yield tuple(column.name for column in cursor.description)
            while rows := fetch(cursor):
                yield from rows
    finally:
        connections.close()


def fetch(cursor: Cursor) -> list[tuple[object, ...]]:
    """The next rows. Raises QueryError."""
    try:
        rows: list[tuple[object, ...]] = cursor.fetchmany(ROWS_AT_ONCE)
    except (ValueError, OverflowError) as error:
        raise QueryError(f"Python has no such time ({error}); ask for it as text, as in day::text") from None
    return rows
