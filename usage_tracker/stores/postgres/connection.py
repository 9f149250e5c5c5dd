"""Connections to Postgres that can't hang for ever, and their transactions.

Everything is scoped to a transaction (SET LOCAL, advisory transaction locks, no session state), so that it works
through pgbouncer in transaction mode.
"""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, parse_dsn

from usage_tracker.descriptors import identity, never_free
from usage_tracker.dsn import Dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.forking import undivided_for_greenlets
from usage_tracker.stores.postgres.troubles import translated, unreachable

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
TRANSACTION_SECONDS = 60
"""The longest that a server may leave us without an answer, whether it is dead, frozen or slow."""
IDLE_SECONDS = 60
"""A connection that was idle for longer is not used again: a program that was frozen, as in AWS Lambda, finds that
firewalls and servers have forgotten it, some of them without a word. A shipper at work is never idle for so long."""

WORD_SECONDS = 2.0
"""How long a server may take for its first word, before it is asked to give something up."""
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What any server answers by one byte: https://www.postgresql.org/docs/current/protocol-message-formats.html"""

DEFAULTS = {
    "application_name": "usage_tracker",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": str(TRANSACTION_SECONDS * 1000),
}
"""What the DSN may say otherwise. https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""

SERVER = "pg_postmaster_start_time()::text, to_regnamespace('usage_tracker')::oid"
"""Differs where a pooler has turned to another server without a word, or the schema was put back from a copy."""

Cursor = Any
"""psycopg2's cursor: its type stubs leave most results untyped."""
Connection = Any


class Connections:
    """Opens connections when they are needed and keeps those that are idle: one, unless rows are read while others are
    written. A connection on which anything failed is dropped."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._idle: list[tuple[Connection, float]] = []
        """Each with when it became idle, by a clock that goes on while the process is frozen."""
        self._busy: list[Connection] = []
        self._sockets: dict[Connection, tuple[int, int] | None] = {}
        """What is open under the number of each."""
        self._pid = os.getpid()
        self._server: tuple[object, ...] | None = None
        """What the last transaction met, in the words of SERVER."""
        self.lost = 0
        """How often a connection was dropped, or another server was behind it. What was learned before may not hold any
        more: the server may have been restored, or replaced by its replica."""
        opened.add(self)

    @contextmanager
    def transaction(
        self,
        *,
        read_only: bool = False,
        statement_seconds: float = STATEMENT_SECONDS,
        seconds: float | None = TRANSACTION_SECONDS,
        idle_seconds: float = 2 * TRANSACTION_SECONDS,
    ) -> Iterator[Cursor]:
        """A cursor in a transaction that is committed at the end of the block, or rolled back by an exception.

        Raises StoreUnavailable, EventsRefused or SchemaError in place of psycopg2's errors. When StoreUnavailable comes
        from the commit, its outcome is unknown.
        """
        connection = None
        try:
            connection = self._take()
            self._busy.append(connection)
            with undivided_for_greenlets(), deadline(connection, seconds), connection.cursor() as cursor:
                cursor.execute(
                    f"BEGIN ISOLATION LEVEL READ COMMITTED {'READ ONLY' if read_only else ''};"
                    f"SET LOCAL statement_timeout = '{statement_seconds:g}s';"
                    f"SET LOCAL idle_in_transaction_session_timeout = '{idle_seconds:g}s';"
                    "SET LOCAL timezone = 'UTC';"
                    "SET LOCAL jit = off;"  # compiling a report takes longer than running it
                    f"SELECT {SERVER}"
                )
                self._meet(cursor.fetchone())
                yield cursor
                if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                    cursor.execute("COMMIT")
            self._busy.remove(connection)
            self._idle.append((connection, time.time()))
            connection = None
        except psycopg2.Error as error:
            raise translated(error, self._dsn) from None
        except OSError as error:  # no file descriptor is left for the deadline's duplicate
            raise StoreUnavailable(f"Postgres at {self._dsn.shown} can't be reached ({error.strerror})") from None
        finally:
            if connection is not None:
                if connection in self._busy:
                    self._busy.remove(connection)
                self._drop(connection)

    def cancel(self) -> None:
        """From another thread: ask the server to give up what is under way. It may be over before that arrives. Who
        answers nobody is left."""
        for connection in list(self._busy):
            with suppress(psycopg2.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
                if answers(connection, wire):
                    connection.cancel()
                else:
                    cut(wire)

    def close(self) -> None:
        """Close what is idle. Another transaction opens a connection again."""
        self._forget_parent()
        while self._idle:
            self._drop(self._idle.pop()[0])

    def drop_stale(self) -> None:
        """Close what the server has left, or what was idle for so long that it may be dead."""
        self._forget_parent()
        idle, self._idle, now = self._idle, [], time.time()
        for connection, since in idle:
            alive = 0 <= now - since < IDLE_SECONDS and self._is_open(connection) and not has_word(connection)
            if alive:
                self._idle.append((connection, since))
            else:
                self._drop(connection)

    def _take(self) -> Connection:
        self.drop_stale()
        if self._idle:
            return self._idle.pop()[0]
        try:
            # whatever an address that was made for another program says, texts of events go through no other encoding
            options = {**DEFAULTS, **parse_dsn(self._dsn.text), "client_encoding": "UTF8"}
        except psycopg2.ProgrammingError:
            raise StoreUnavailable(
                f"Postgres's client library can't read the address {self._dsn.shown}; escape special characters as %XX"
            ) from None
        if "PGCONNECT_TIMEOUT" not in os.environ:
            options.setdefault("connect_timeout", str(CONNECT_SECONDS))
        try:
            connection = psycopg2.connect(**options)
        except (psycopg2.OperationalError, UnicodeDecodeError) as error:
            # until it lets us in, a server speaks as its database is encoded, and psycopg2 takes that for UTF-8
            words = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
            raise StoreUnavailable(f"Postgres at {self._dsn.shown} can't be reached ({unreachable(words)})") from None
        connection.autocommit = True  # transactions are begun and ended in so many words, which saves round trips
        self._sockets[connection] = identity(connection.fileno())
        return connection

    def _meet(self, server: tuple[object, ...]) -> None:
        self.lost += self._server not in (None, server)
        self._server = server

    def _is_open(self, connection: Connection) -> bool:
        """Whether the app has not closed its socket: under that number may be one of the app's."""
        return not connection.closed and identity(connection.fileno()) == self._sockets.get(connection)

    def _drop(self, connection: Connection) -> None:
        self.lost += 1
        self._server = None  # that another one answers then is counted by this
        if connection.closed or self._is_open(connection):
            connection.close()
        else:
            never_free(connection)
        self._sockets.pop(connection, None)

    def _forget_parent(self) -> None:
        """A forked child leaves its parent's connections alone: psycopg2 closes one only where it was opened."""
        if self._pid != os.getpid():
            self._idle, self._busy, self._sockets, self._pid = [], [], {}, os.getpid()

    def leave_sockets(self) -> None:
        """In a forked child, as it begins: to the parent, so that a server knows when that has ended, and frees what it
        had locked. Their numbers stay taken, for psycopg2 knows them."""
        for connection in self._sockets:
            with suppress(psycopg2.Error, OSError):
                if self._is_open(connection):
                    with open(os.devnull, "rb") as nothing:
                        os.dup2(nothing.fileno(), connection.fileno(), inheritable=False)


opened: "WeakSet[Connections]" = WeakSet()
wires: "WeakKeyDictionary[socket.socket, tuple[int, int] | None]" = WeakKeyDictionary()
"""The duplicates of their sockets, with what each is."""


def leave_to_parent() -> None:
    for connections in list(opened):
        connections.leave_sockets()
    for wire in list(wires):
        leave(wire)


os.register_at_fork(after_in_child=leave_to_parent)


def has_word(connection: Connection) -> bool:
    """Whether the server has said something unasked, or closed its end: nearly always its farewell."""
    asking = select.poll()
    asking.register(connection, select.POLLIN)
    return bool(asking.poll(0))


def answers(connection: Connection, wire: socket.socket) -> bool:
    """Whether the server at the other end has a word for who comes now. psycopg2 waits for one without a limit when it
    asks to cancel, and holds the interpreter's lock: where a server was frozen, all of the process stood still."""
    try:
        with socket.socket(wire.family) as asking:
            asking.settimeout(WORD_SECONDS)
            asking.connect(peer(connection, wire))
            asking.sendall(SSL_REQUEST)
            return bool(asking.recv(1))
    except OSError:
        return False


def peer(connection: Connection, wire: socket.socket) -> Any:
    """The server's address. A socket's file may have another name here than where the server has made it, as in a
    container."""
    address = wire.getpeername()
    return f"{connection.info.host}/.s.PGSQL.{connection.info.port}" if isinstance(address, str) else address


@contextmanager
def deadline(connection: Connection, seconds: float | None) -> Iterator[None]:
    """Cut the connection after that time. A frozen server answers no query, but its kernel still answers keepalives,
    and psycopg2 waits without a limit."""
    if seconds is None:
        yield
        return
    # a duplicate: it can't become another file's number while the timer runs
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wires[wire] = identity(wire.fileno())
        timer = threading.Timer(seconds, cut, [wire])
        timer.daemon = True
        # at the interpreter's end no thread starts any more; whoever waits for us then has a limit of its own
        with suppress(RuntimeError):
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            leave(wire)


def leave(wire: socket.socket) -> None:
    """Close it, unless the app has: under that number may be one of the app's."""
    if identity(wire.fileno()) != wires.get(wire):
        wire.detach()
    wire.close()


def cut(wire: socket.socket) -> None:
    with suppress(OSError):  # it ended just in time
        wire.shutdown(socket.SHUT_RDWR)
