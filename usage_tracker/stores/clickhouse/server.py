"""Requests to ClickHouse's HTTP interface, over connections that are kept, and what its errors mean.

The standard library's client is enough: a request is a statement and the bytes that belong to it, and no client of
ClickHouse's own speaks to both the oldest and the newest server.
"""

import base64
import os
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlencode

import msgspec

from usage_tracker.descriptors import identity
from usage_tracker.errors import EventsRefused, SchemaError, StoreError, StoreUnavailable
from usage_tracker.stores.clickhouse.address import Address, Host
from usage_tracker.stores.clickhouse.versions import Version

CONNECT_SECONDS = 5
SECONDS = 60
"""The longest that a server may leave us without a word."""
IDLE_SECONDS = 2.0
"""Servers close what was idle for three seconds or more; before that, a kept connection is used again."""
CHUNK = 1 << 18

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
SCHEMA = frozenset({10, 16, 47, 50, 60, 81, 115, 291, 497})
"""No such column, table, database, setting; not allowed."""
REFUSED = frozenset({6, 27, 38, 41, 53, 69, 70, 72, 117, 131, 190, 321, 349, 469})
"""What is in a block can't be read, or be held by its column."""
CREDENTIALS = frozenset({192, 193, 194, 195, 516})
CODE = re.compile(rb"Code: (\d+)")

decode_row = msgspec.json.Decoder(dict[str, Any]).decode

Translate = Callable[[bytes, Address], Exception]
"""What to raise for a server's words."""


class Server:
    """The first of the address's hosts that answers. Not thread-safe; a forked child opens connections of its own."""

    def __init__(self, address: Address, translate: Translate | None = None) -> None:
        self.address = address
        self._translate = translate or translated
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._busy: dict[HTTPConnection, socket.socket] = {}
        self._sockets: dict[HTTPConnection, tuple[int, int] | None] = {}
        """What is open under the number of each."""
        self._first = 0
        """The host that answered last."""
        self._pid = os.getpid()
        self._version: Version | None = None

    @property
    def version(self) -> Version:
        """Raises StoreError."""
        if self._version is None:
            [(said,)] = self.select("SELECT version()", database=False)
            self._version = Version.of(str(said))
        return self._version

    def select(
        self, sql: str, settings: Mapping[str, str] | None = None, *, database: bool = True
    ) -> Iterator[tuple[object, ...]]:
        """The rows as they come: numbers, text, lists and None. Columns have names that differ. Raises StoreError."""
        asked = {"output_format_json_quote_64bit_integers": "0", **(settings or {})}
        for line in self.lines(f"{sql} FORMAT JSONEachRow", asked, database=database):
            try:
                row = decode_row(line)
            except msgspec.DecodeError:
                # an error after the first rows is a line of its own: the status was sent long before
                raise self._translate(line, self.address) from None
            yield tuple(row.values())

    def lines(self, sql: str, settings: Mapping[str, str], *, database: bool = True) -> Iterator[bytes]:
        """The answer's lines. Raises StoreError."""
        connection, response = self._ask(sql, b"", settings, database=database)
        whole = False
        try:
            rest = b""
            while chunk := response.read1(CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
            if rest:
                yield rest
            response.read()  # nothing is left, and now it knows that
            whole = True
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            if whole:
                self._keep(connection)
            else:
                self._drop(connection)

    def run(
        self, sql: str, body: bytes = b"", settings: Mapping[str, str] | None = None, *, database: bool = True
    ) -> None:
        """Run a statement that gives nothing. Raises StoreError; after StoreUnavailable it may have been run."""
        connection, response = self._ask(sql, body, settings or {}, database=database)
        try:
            said = response.read()
        except (OSError, HTTPException) as error:
            self._drop(connection)
            raise self._unreachable(error) from None
        self._keep(connection)
        if CODE.match(said):
            raise self._translate(said, self.address)

    def interrupt(self) -> None:
        """From another thread: cut the connections on which an answer is awaited. Whether the server goes on with what
        it was asked is its own affair."""
        for wire in list(self._busy.values()):
            with suppress(OSError):  # it ended just now
                socket.socket.shutdown(wire, socket.SHUT_RDWR)  # past TLS, whose own may be at work in its thread

    def close(self) -> None:
        self._leave_parent()
        while self._idle:
            self._drop(self._idle.pop()[0])
        self._version = None

    def _ask(
        self, sql: str, body: bytes, settings: Mapping[str, str], *, database: bool
    ) -> tuple[HTTPConnection, HTTPResponse]:
        asked = {**({"database": self.address.database} if database else {}), **settings}
        if body:
            asked["query"] = sql
        account = f"{self.address.user}:{self.address.password}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(account).decode()}"}
        connection = self._connection()
        self._busy[connection] = connection.sock
        try:
            connection.request("POST", f"/?{urlencode(asked)}", body or sql.encode(), headers)
            response = connection.getresponse()
            if response.status == 200:
                return connection, response
            said = response.read()
        except (OSError, HTTPException) as error:
            self._drop(connection)
            raise self._unreachable(error) from None
        self._keep(connection)
        raise self._translate(said, self.address)

    def _connection(self) -> HTTPConnection:
        """One that is idle and alive, or a new one to the first host that can be reached."""
        self._leave_parent()
        while self._idle:
            connection, since = self._idle.pop()
            if 0 <= time.time() - since < IDLE_SECONDS and self._is_open(connection) and not has_word(connection):
                return connection
            self._drop(connection)
        hosts = self.address.hosts
        error: OSError | None = None
        for tried in range(len(hosts)):
            place = (self._first + tried) % len(hosts)
            connection = self._open(hosts[place])
            try:
                connection.connect()
            except OSError as failure:
                error = failure
                continue
            self._sockets[connection] = identity(connection.sock.fileno())
            connection.sock.settimeout(SECONDS)
            if place != self._first:
                self._first, self._version = place, None
            return connection
        assert error is not None
        raise self._unreachable(error)

    def _open(self, host: Host) -> HTTPConnection:
        if not self.address.tls:
            return HTTPConnection(host.name, host.port, timeout=CONNECT_SECONDS)
        return HTTPSConnection(host.name, host.port, timeout=CONNECT_SECONDS, context=ssl.create_default_context())

    def _is_open(self, connection: HTTPConnection) -> bool:
        """Whether the app has not closed its socket: under that number may be one of the app's."""
        return connection.sock is not None and identity(connection.sock.fileno()) == self._sockets.get(connection)

    def _drop(self, connection: HTTPConnection) -> None:
        self._busy.pop(connection, None)
        if connection.sock is not None and not self._is_open(connection):
            connection.sock.detach()
        connection.close()
        self._sockets.pop(connection, None)

    def _keep(self, connection: HTTPConnection) -> None:
        self._busy.pop(connection, None)
        if connection.sock is None:  # the server has said that it closes it
            self._drop(connection)
        else:
            self._idle.append((connection, time.time()))

    def _unreachable(self, error: Exception) -> StoreUnavailable:
        """The next request goes to the next host."""
        self._first = (self._first + 1) % len(self.address.hosts)
        self._version = None
        why = getattr(error, "strerror", None) or type(error).__name__
        return StoreUnavailable(f"ClickHouse at {self.address.shown} can't be reached ({why})")

    def _leave_parent(self) -> None:
        if self._pid != os.getpid():
            for connection, _ in self._idle:
                with suppress(OSError):
                    connection.close()  # this process's copy of the socket; the parent's goes on
            self._idle, self._busy, self._sockets, self._pid = [], {}, {}, os.getpid()


def has_word(connection: HTTPConnection) -> bool:
    """Whether the server has said something unasked, or closed its end."""
    asking = select.poll()
    asking.register(connection.sock, select.POLLIN)
    return bool(asking.poll(0))


def translated(said: bytes, address: Address) -> StoreError:
    """Our error for one of ClickHouse's. Its words may repeat values of events, so only its code is passed on."""
    found = CODE.search(said)
    if found is None:
        return StoreUnavailable(f"what answers at {address.shown} is no ClickHouse, or can't work right now")
    code = int(found[1])
    if code in CREDENTIALS:
        return StoreUnavailable(f"ClickHouse at {address.shown} doesn't take this user and password (code {code})")
    if code in SCHEMA:
        return SchemaError(
            f"the schema at {address.shown} is missing or not of this version, or this user may not do that "
            f"(code {code}); run `usage-tracker migrate`"
        )
    if code in REFUSED:
        return EventsRefused(f"ClickHouse refuses a value (code {code}); the event can't be stored")
    return StoreUnavailable(f"ClickHouse at {address.shown} can't work right now (code {code})")
