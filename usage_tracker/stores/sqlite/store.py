"""Events in SQLite: rows and rollups in one transaction."""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from usage_tracker.dsn import Dsn
from usage_tracker.event import Batch, Stretch, origins_of
from usage_tracker.instants import to_instant
from usage_tracker.stores import migrations
from usage_tracker.stores.arriving import spans_of
from usage_tracker.stores.awaited import any_late, settle
from usage_tracker.stores.description import Description
from usage_tracker.stores.dimensions import Content, Dimension, Keys, WhoKeys, digest, stored_form
from usage_tracker.stores.pruning import Prunable
from usage_tracker.stores.repricing import Repriced
from usage_tracker.stores.rollups import Grain, Rollups, Rows, with_coarser
from usage_tracker.stores.sqlite import pruning
from usage_tracker.stores.sqlite.awaited import SqliteLedger
from usage_tracker.stores.sqlite.file import SqliteFile
from usage_tracker.stores.sqlite.repricing import reprice
from usage_tracker.stores.sqlite.rows import PRICE, Row, Table, insert, tables_and_rollups, upsert
from usage_tracker.stores.sqlite.schema import SqliteSchema, refuse_newer
from usage_tracker.stores.store import Dialect, Execute, Result
from usage_tracker.stores.values import json_text
from usage_tracker.threads import in_turns


class SqliteStore:
    """See Store. Opens, and creates, the file at the first request."""

    takes_alike = True
    dialect = Dialect("sqlite", "", "?")

    def __init__(self, dsn: Dsn) -> None:
        self._file = SqliteFile(dsn)
        self._keys = Keys(PRICE)
        self._keys_of = 0
        """How often the file was closed when the keys were learned."""

    def migrate(self) -> list[str]:
        return migrations.migrate(SqliteSchema(self._file), self.dialect.name)

    def positions(self, segments: Collection[UUID]) -> dict[UUID, int]:
        self._meet_file()
        found = {}
        with self._file.request() as connection:
            for segment in segments:
                for (position,) in connection.execute(
                    "SELECT position FROM journal_offset WHERE segment = ?", [segment.bytes]
                ):
                    found[segment] = position
        return found

    def write(self, batch: Batch) -> bool:
        self._meet_file()
        self._keys.trim()
        late, origins = any_late(batch.events), list(origins_of(batch))
        while True:
            whos = self._keys.whos(origins)
            if self._learn():
                continue
            # outside of the transaction, where it can be: other processes wait for that
            made = None if late else tables_and_rollups(batch, self._keys, whos)
            if self._learn():  # kinds and prices: new ones are rare enough to find out like this
                continue
            with self._file.transaction() as connection:
                refuse_newer(connection)
                if not all(move(connection, stretch) for stretch in batch.stretches):
                    connection.execute("ROLLBACK")
                    return False
                tables, rollups = made or self._settled(connection, batch, whos)
                if not self._keys.unknown():
                    add(connection, tables, rollups)
                    return True
                connection.execute("ROLLBACK")

    def _settled(
        self, connection: sqlite3.Connection, batch: Batch, whos: dict[int, WhoKeys]
    ) -> tuple[list[Table], Rollups]:
        """Rows and rollups of events among which are awaited ones, or what completes them."""
        settled = settle(SqliteLedger(connection, self._keys, whos), batch.events)
        whos = whos | self._keys.whos(priced.origin for priced in settled)
        return tables_and_rollups(batch._replace(events=settled), self._keys, whos)

    def compact(self) -> int:
        """Nothing to do: rollups are written at once."""
        return 0

    def reprice(self, repriced: Sequence[Repriced]) -> int:
        self._meet_file()
        while True:
            with self._file.transaction() as connection:
                refuse_newer(connection)
                count = reprice(connection, self._keys, repriced)
                if not self._keys.unknown():
                    return count
                connection.execute("ROLLBACK")
            self._learn()

    def describe(self) -> Description:
        return Description(f"SQLite {sqlite3.sqlite_version}", datetime.now(UTC), sum(self.free_bytes()), 0, [])

    def prunable(self, before: datetime) -> list[Prunable]:
        return pruning.look(self._file, to_instant(before))

    def prune(self, before: datetime) -> Iterator[int]:
        return pruning.prune(self._file, to_instant(before))

    def free_bytes(self) -> tuple[int, int]:
        return pruning.free_bytes(self._file)

    def vacuum(self) -> None:
        pruning.vacuum(self._file)

    def change(self, work: Callable[[Execute], Result]) -> Result:
        self._meet_file()
        with self._file.transaction() as connection:

            def execute(sql: str, parameters: Sequence[object]) -> tuple[object, ...] | None:
                row: tuple[object, ...] | None = connection.execute(sql, parameters).fetchone()
                return row

            return work(execute)

    def select(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """Read rows as they come. Instants are integers: `started_at` microseconds, `bucket_at` seconds since 1970."""
        with self._file.request() as connection:
            yield from connection.execute(sql, parameters)

    def interrupt(self) -> None:
        self._file.interrupt()

    def close(self) -> None:
        self._file.close()

    def _learn(self) -> bool:
        """Look up, or add, what the keys lack, in a short transaction of its own; whether there was anything."""
        unknown = self._keys.unknown()
        if unknown:
            with self._file.transaction() as connection:
                found = {dimension: learn(connection, dimension, contents) for dimension, contents in unknown.items()}
            self._keys.learn(found)
        return bool(unknown)

    def _meet_file(self) -> None:
        """Who deletes the file of a running app means it: go on in a new one, rather than wait for a migration."""
        with self._file.request():
            pass
        if self._keys_of != self._file.lost:
            self._keys, self._keys_of = Keys(PRICE), self._file.lost
        if self._file.replaced:
            self.migrate()
            self._file.replaced = False


def move(connection: sqlite3.Connection, stretch: Stretch) -> bool:
    """Compare and set a segment's position. A segment that isn't known starts at 0 and nowhere else."""
    segment, start, end, events = stretch
    if start == 0:
        moved = connection.execute(
            "INSERT INTO journal_offset (segment, position, events) VALUES (?, ?, ?) ON CONFLICT (segment) DO UPDATE "
            "SET position = excluded.position, events = events + excluded.events, updated_at = excluded.updated_at "
            "WHERE position = 0",
            [segment.bytes, end, events],
        )
    else:
        moved = connection.execute(
            "UPDATE journal_offset SET position = ?, events = events + ?, "
            "updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE segment = ? AND position = ?",
            [end, events, segment.bytes, start],
        )
    return moved.rowcount == 1


def add(connection: sqlite3.Connection, tables: Sequence[Table], rollups: Rollups) -> None:
    batch = note_batch(connection, tables)
    together: dict[tuple[str, ...], list[Row]] = {}
    for columns, rows in tables:
        together.setdefault(tuple(columns), []).extend(rows)
    for columns, rows in together.items():
        if batch is None:
            connection.executemany(insert("usage_event", columns), in_turns(rows))
        else:
            connection.executemany(
                insert("usage_event", (*columns, "batch")), ((*row, batch) for row in in_turns(rows))
            )
    for grain, sums in with_coarser(rollups.rows()).items():
        add_sums(connection, grain, sums)


def add_sums(connection: sqlite3.Connection, grain: Grain, sums: Rows) -> None:
    """In the order of the index, so that neighbours are on the page that is at hand; and without the measures of which
    nothing is added."""
    if not sums:
        return
    keys = sorted(sums)
    columns = dict(zip(grain.measures, zip(*map(sums.__getitem__, keys), strict=True), strict=True))
    given = {name: values for name, values in columns.items() if any(values)}
    connection.executemany(upsert(grain, given), in_turns(zip(*zip(*keys, strict=True), *given.values(), strict=True)))


def note_batch(connection: sqlite3.Connection, tables: Sequence[Table]) -> int | None:
    """The number of the batch, while there is a sink that will ask for what has come."""
    if not tables or connection.execute("SELECT 1 FROM sink LIMIT 1").fetchone() is None:
        return None
    started = [cast(int, row[columns.index("started_at")]) for columns, rows in tables for row in rows]
    return connection.execute(
        "INSERT INTO usage_batch (events, spans) VALUES (?, ?)", [len(started), spans_of(started)]
    ).lastrowid


def learn(connection: sqlite3.Connection, dimension: Dimension, contents: Sequence[Content]) -> dict[Content, int]:
    """The keys of the contents; rows that are not there yet are added."""
    looked_up = f"SELECT {dimension.key} FROM {dimension.table} WHERE digest = ?"  # noqa: S608  our own names
    added = insert(dimension.table, ("digest", *dimension.columns))
    found: dict[Content, int] = {}
    for content in contents:
        stored = stored_form(content)
        row = connection.execute(looked_up, [digest(stored)]).fetchone()
        if row is None:
            values = [json_text(value) if isinstance(value, list) else value for value in stored]
            row = (connection.execute(added, [digest(stored), *values]).lastrowid,)
        found[content] = row[0]
    return found
