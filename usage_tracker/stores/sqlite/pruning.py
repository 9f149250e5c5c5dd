"""Taking old events out of SQLite, in batches between which others may write; and giving back what that frees."""

import sqlite3
import time
from collections.abc import Iterator

from usage_tracker.instants import SECOND
from usage_tracker.stores.pruning import Prunable
from usage_tracker.stores.sqlite.file import SqliteFile

EVENTS_AT_ONCE = 5000
"""Others wait for a batch: some tens of milliseconds."""

DELETE = (
    "DELETE FROM usage_event "
    "WHERE rowid IN (SELECT rowid FROM usage_event WHERE started_at < ? ORDER BY started_at LIMIT ?)"
)
OVERHEAD = 1.15
"""What pages and the index add to the rows' own bytes."""
SAMPLE = 1000


def look(file: SqliteFile, before: int) -> list[Prunable]:
    """What would go: events that started before that microsecond. Raises StoreError."""
    with file.request() as connection:
        (events,) = connection.execute("SELECT count(*) FROM usage_event WHERE started_at < ?", [before]).fetchone()
        return [Prunable("usage_event", False, events, events * row_bytes(connection))] if events else []


def row_bytes(connection: sqlite3.Connection) -> int:
    """About what one event takes, by the newest ones."""
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(usage_event)")]
    lengths = " + ".join(
        f"CASE typeof({name}) WHEN 'text' THEN length({name}) WHEN 'blob' THEN length({name}) WHEN 'null' THEN 0 "
        f"WHEN 'real' THEN 8 ELSE 3 END + 1"
        for name in columns
    )
    newest = f"SELECT * FROM usage_event ORDER BY started_at DESC LIMIT {SAMPLE}"  # noqa: S608  our own number
    (mean,) = connection.execute(f"SELECT avg({lengths}) FROM ({newest})").fetchone()  # noqa: S608  our own columns
    return round((mean or 0) * OVERHEAD)


def prune(file: SqliteFile, before: int) -> Iterator[int]:
    """Take them out, batch by batch; how many went with each. Raises StoreError."""
    while True:
        started = time.monotonic()
        with file.transaction() as connection:
            deleted = connection.execute(DELETE, [before, EVENTS_AT_ONCE]).rowcount
            if not deleted:
                connection.execute("DELETE FROM usage_original WHERE started_at < ?", [before])
                connection.execute("DELETE FROM sink_refused WHERE refused_at < ?", [before / SECOND])
                return
        yield deleted
        time.sleep(time.monotonic() - started)  # as long as others have waited, they may write


def free_bytes(file: SqliteFile) -> tuple[int, int]:
    """Of the file: what is free for new events, and what is in use."""
    with file.request() as connection:
        page, pages, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
    return free * page, (pages - free) * page


def vacuum(file: SqliteFile) -> None:
    """Give the free space back to the disk. Others can't write until it is done."""
    with file.request() as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
