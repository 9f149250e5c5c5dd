"""The SQLite file: opened when it is needed, shared with other processes, closed for a fork.

It must not be carried across one (https://www.sqlite.org/howtocorrupt.html, 2.6): a child would count on locks of its
parent that it doesn't hold, even for connections of its own, and what it commits would be lost with the log that
somebody else takes to be nobody's.
"""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from usage_tracker.descriptors import Witness, identity, never_free
from usage_tracker.dsn import Dsn
from usage_tracker.errors import EventsRefused, SchemaError, StoreError, StoreLost, StoreUnavailable
from usage_tracker.forking import undivided
from usage_tracker.stores.rollups import latency_bucket

BUSY_SECONDS = 30.0
"""How long a request waits for other processes that write."""
LOOK_SECONDS = 0.05
"""How often such a wait looks whether it may go on."""
LARGEST_LOG = 64 << 20
"""What the write-ahead log may keep on disk once it was folded into the file."""

OLDEST = 3, 32
"""Older ones store events, but take few parameters and, before 3.30, no FILTER, which reports have."""

# https://www.sqlite.org/rescode.html: what may pass, or is mended outside of the file's content
PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_ABORT, sqlite3.SQLITE_NOLFS,
    }
)  # fmt: skip
REMEDIES = {
    sqlite3.SQLITE_CANTOPEN: "see whether it is a file, and whether this user may read and write it and its folder",
    sqlite3.SQLITE_READONLY: "SQLite writes beside the file also to read it: let this user write into its folder",
}
REFUSED = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE})

INHERITED: list[sqlite3.Connection | None] = []
"""A parent process's connections. Closing one would let go of locks that the parent relies on, so they stay open."""
opened_files: "WeakSet[SqliteFile]" = WeakSet()
"""Of this process."""
lost_files: set[tuple[int, int] | None] = set()
"""Those whose descriptors the app has closed. All connections of a process to a file share some of these, and go on
with their numbers, even those that are opened later."""


class SqliteFile:
    """One connection, opened at the first request and again after an error. `:memory:` is opened once."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._in_memory = dsn.text == ":memory:"
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._witness: Witness | None = None
        self._pid = os.getpid()
        self._requests = 0
        """How many are under way."""
        self.lost = 0
        """How often the file was closed. What was learned of it may not hold in the next one of that name."""
        self.replaced = False
        """Whether the file is not the one that was open before: that was deleted, or another put in its place."""

    @contextmanager
    def request(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one statement that is its own transaction. Raises StoreUnavailable, EventsRefused,
        SchemaError or StoreError in place of sqlite3's errors."""
        with undivided():
            self._requests += 1
            try:
                yield self._opened()
            except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
                if not self._in_memory:
                    self.close()
                raise translated(error, self._dsn) from None
            finally:
                self._requests -= 1

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection in a writing transaction that is committed at the end of the block, or rolled back by an
        exception. Raises as `request` does."""
        with self.request() as connection:
            self._begin(connection)
            try:
                yield connection
                if connection.in_transaction:
                    connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _begin(self, connection: sqlite3.Connection) -> None:
        """SQLite's own wait can't be ended for a fork, so it is a short one again and again."""
        deadline = time.monotonic() + BUSY_SECONDS
        connection.execute(f"PRAGMA busy_timeout = {LOOK_SECONDS * 1000:.0f}")
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not may_wait(error, deadline):
                    raise
            else:
                break
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")

    def interrupt(self) -> None:
        """From another thread: let the statement that runs end with SQLITE_INTERRUPT."""
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # it was closed just now
                connection.interrupt()

    def close_for_fork(self) -> None:
        """Until the next request, unless one is under way: of the thread that forks, or one that is stuck."""
        if self._requests == 0 and not self._in_memory:
            self.close()

    def close(self) -> None:
        self._leave_lost()
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == os.getpid():
            self.lost += 1
            connection.close()
        if self._witness is not None:
            self._witness.close()

    def _opened(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            self._leave_parent()
        self._leave_lost()
        if self._connection is not None and not self._in_memory and identity(self._dsn.text) != self._identity:
            self.replaced = True
            self.close()
        if self._connection is None:
            if not self._in_memory:
                make_folder(Path(self._dsn.text).parent)
                if identity(self._dsn.text) in lost_files:
                    raise StoreLost(
                        f"{self._dsn.shown} can't be used by this process any more, which has closed all its files; "
                        "the next process ships what waits, or `usage-tracker ship` does"
                    )
                self._witness = self._made_witness()
            # used by one thread at a time, which need not be the one that opened it
            self._connection = sqlite3.connect(
                self._dsn.text, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            opened_files.add(self)
            prepare(self._connection)
            before, self._identity = self._identity, identity(self._dsn.text)
            self.replaced |= before not in (None, self._identity)
        return self._connection

    def _made_witness(self) -> Witness:
        try:
            return Witness()
        except OSError as error:  # no file descriptor is left
            raise StoreUnavailable(f"{self._dsn.shown} can't be used right now ({error.strerror})") from None

    def _leave_lost(self) -> None:
        """Where the app has closed its descriptors: by their numbers, closing it would close files of the app."""
        if self._connection is not None and self._witness is not None and self._witness.is_lost():
            never_free(self._connection)
            lost_files.add(self._identity)
            self._connection = self._witness = None
            self.lost += 1

    def _leave_parent(self) -> None:
        """In a forked child. A database in memory was copied with the process."""
        self._pid = os.getpid()
        if not self._in_memory:
            INHERITED.append(self._connection)
            self._connection = self._witness = None


def close_for_fork() -> None:
    """Once nobody is at work on them."""
    undivided.before_fork()
    for file in list(opened_files):
        with suppress(sqlite3.Error):
            file.close_for_fork()


os.register_at_fork(before=close_for_fork, after_in_parent=undivided.after_fork_in_parent)


def make_folder(folder: Path) -> None:
    """Make it for this user only, unless it is there. Raises StoreUnavailable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"the folder {folder} can't be made ({error.strerror}); choose another with TRACKER_DSN"
        ) from None


def prepare(connection: sqlite3.Connection) -> None:
    """Write-ahead log, so that readers and the writer don't wait for each other, where the file system can do it. The
    file of somebody else, which is asked by mistake, is not touched."""
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete" and is_ours(connection):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # the only request that doesn't wait for other processes by itself
            if not may_wait(error, deadline):
                raise
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  jitter
        else:
            break
    # not every SQLite has logarithms; and so events and sketches agree on every bucket
    connection.create_function("latency_bucket", 1, latency_bucket_or_null, deterministic=True)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG}")


def may_wait(error: sqlite3.OperationalError, deadline: float) -> bool:
    """Whether others are in the way, and nothing keeps us from waiting for them: no fork, and not the time."""
    busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return busy and not undivided.fork_waits and time.monotonic() <= deadline


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether nothing is in the file yet, or what a migration makes first."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    return not tables or "schema_migration" in tables


def latency_bucket_or_null(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else latency_bucket(milliseconds)


def translated(error: Exception, dsn: Dsn) -> StoreError:
    """Our error for one of sqlite3's. Its words may repeat values of events, so only its name is passed on."""
    if not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return EventsRefused(f"SQLite can't hold a value ({type(error).__name__}); the event can't be stored")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in REFUSED or isinstance(error, sqlite3.DataError | sqlite3.IntegrityError):
        return EventsRefused(f"SQLite refuses a value ({name}); the event can't be stored")
    if code in PASSING:
        remedy = f"; {REMEDIES[code]}" if code in REMEDIES else ""
        return StoreUnavailable(f"{dsn.shown} can't be used right now ({name}){remedy}")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{dsn.shown} is no SQLite database; move it away or set TRACKER_DSN to another file")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreError(
            f"{dsn.shown} is damaged ({name}); move it away and see what `sqlite3 … .recover` finds in it"
        )
    if sqlite3.sqlite_version_info < OLDEST and not str(error).startswith("no such"):
        return StoreError(
            f"SQLite {sqlite3.sqlite_version}, which this Python was built with, can't be asked that; use a Python "
            f"with {'.'.join(map(str, OLDEST))} or newer"
        )
    return SchemaError(
        f"the schema of {dsn.shown} is missing or not of this version ({name}); run `usage-tracker migrate`"
    )
