"""Events in Postgres: COPY into a partitioned table, and deltas that one process at a time folds into the rollups."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import IO
from uuid import UUID

from msgspec import Raw

from usage_tracker.dsn import Dsn
from usage_tracker.errors import RightsError, SchemaError, StoreUnavailable
from usage_tracker.event import Batch, Stretch, origins_of, starts_of
from usage_tracker.stores import migrations
from usage_tracker.stores.arriving import spans_of
from usage_tracker.stores.awaited import any_late, settle
from usage_tracker.stores.description import Description
from usage_tracker.stores.dimensions import Keys
from usage_tracker.stores.postgres import description, pruning, repricing
from usage_tracker.stores.postgres.awaited import PostgresLedger
from usage_tracker.stores.postgres.connection import STATEMENT_SECONDS, TRANSACTION_SECONDS, Connections, Cursor
from usage_tracker.stores.postgres.copy_lines import CopyLines, Row, copy_command, delta_rows
from usage_tracker.stores.postgres.dimensions import learn
from usage_tracker.stores.postgres.folding import Folding
from usage_tracker.stores.postgres.partitions import make_months
from usage_tracker.stores.postgres.rows import EVENT_COLUMNS, PRICE, SHAPE, alike_rows, event_rows, shared_by
from usage_tracker.stores.postgres.schema import MIGRATE_SECONDS, PostgresSchema, refuse_newer
from usage_tracker.stores.pruning import Prunable
from usage_tracker.stores.repricing import Repriced, moves
from usage_tracker.stores.rollups import Grain, Rollups, Rows
from usage_tracker.stores.store import Dialect, Execute, Result
from usage_tracker.threads import in_turns

logger = logging.getLogger("usage_tracker")

SELECT_SECONDS = 600
PAUSE_SECONDS = 3600
"""How long rows may wait for whoever reads them, as where a person reads them in a pager."""
COPY_SECONDS = 3600
"""A day of events, at the pace of whoever reads them."""
ROWS_AT_ONCE = 2000
FETCH = f"FETCH {ROWS_AT_ONCE} FROM selected"


class PostgresStore:
    """See Store. Connects at the first request; after any error it connects anew."""

    takes_alike = True

    dialect = Dialect("postgres", "usage_tracker.", "%s")

    def __init__(self, dsn: Dsn) -> None:
        self._shown = dsn.shown
        self._connections = Connections(dsn)
        self._keys = Keys(PRICE, SHAPE)
        self._keys_of = 0
        """How many connections were lost when the keys were learned."""
        self._months_made: date | None = None
        self._folding = Folding()

    def migrate(self) -> list[str]:
        applied = migrations.migrate(PostgresSchema(self._connections), self.dialect.name)
        self._make_months(wait=True)
        return applied

    def positions(self, segments: Collection[UUID]) -> dict[UUID, int]:
        with self._connections.transaction() as cursor:
            return positions(cursor, segments)

    def write(self, batch: Batch) -> bool:
        self._make_months(wait=False)
        self._forget_other_servers()
        self._keys.trim()
        late, origins = any_late(batch.events), list(origins_of(batch))
        while True:
            whos = self._keys.whos(origins)
            shared = [shared_by(priced, self._keys) for priced in batch.alike]
            if self._learn():
                continue
            with self._connections.transaction() as cursor:
                self._refuse_other_server()
                if not move(cursor, batch.stretches):
                    refuse_newer(cursor)
                    cursor.execute("ROLLBACK")
                    return False
                events, rollups = batch.events, Rollups()
                if late:
                    events = settle(PostgresLedger(cursor, self._keys, whos), events)
                    whos = whos | self._keys.whos(priced.origin for priced in events)
                number = note_batch(cursor, batch._replace(events=events))
                written: dict[int, Raw] = {}
                alike = (
                    alike_rows(priced, common, whos, rollups, number, written)
                    for priced, common in zip(batch.alike, shared, strict=True)
                )
                rows = chain(chain.from_iterable(alike), event_rows(events, self._keys, whos, rollups, number))
                copy_in(cursor, "usage_event", EVENT_COLUMNS, rows)
                if not self._keys.unknown():
                    add_deltas(cursor, rollups.rows())
                    return True
                cursor.execute("ROLLBACK")  # kinds and templates: new ones are rare enough to find out like this

    def compact(self) -> int:
        return self._folding.fold(self._connections)

    def reprice(self, repriced: Sequence[Repriced]) -> int:
        self._forget_other_servers()
        while True:
            with self._connections.transaction(statement_seconds=SELECT_SECONDS, seconds=SELECT_SECONDS) as cursor:
                self._refuse_other_server()
                refuse_newer(cursor)
                stored = repricing.find(cursor, repriced)
                if not stored:
                    return 0
                repricing.change(cursor, self._keys, repriced)
                if not self._keys.unknown():
                    add_deltas(cursor, moves(stored, repriced))
                    return len(stored)
                cursor.execute("ROLLBACK")
            self._learn()

    def describe(self) -> Description:
        return description.describe(self._connections)

    def prunable(self, before: datetime) -> list[Prunable]:
        return pruning.look(self._connections, before)

    def prune(self, before: datetime) -> Iterator[int]:
        return pruning.prune(self._connections, before)

    def free_bytes(self) -> tuple[int, int]:
        return 0, 0

    def vacuum(self) -> None:
        """Nothing to do: the server uses what is free again, and a dropped partition is given back at once."""

    def change(self, work: Callable[[Execute], Result]) -> Result:
        with self._connections.transaction() as cursor:

            def execute(sql: str, parameters: Sequence[object]) -> tuple[object, ...] | None:
                cursor.execute(sql, parameters or None)
                row: tuple[object, ...] | None = cursor.fetchone() if cursor.description else None
                return row

            return work(execute)

    def select(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """Read rows as they come, in a read-only transaction that ends with them. Timestamps are aware datetimes in
        UTC, numerics are Decimals. With parameters, a percent sign is written %%."""
        with self._connections.transaction(
            read_only=True, statement_seconds=SELECT_SECONDS, seconds=None, idle_seconds=PAUSE_SECONDS
        ) as cursor:
            # a cursor's plan is made for its first rows unless it is said that all are wanted; and the sums of 5,000
            # users don't fit the 4 MB that a server gives by default: writing them to disk took a fifth of the time
            cursor.execute(
                "SET LOCAL cursor_tuple_fraction = 1; SET LOCAL work_mem = '32MB';"
                f"DECLARE selected NO SCROLL CURSOR FOR {sql};{FETCH}",
                parameters or None,
            )
            rows = cursor.fetchall()
            while len(rows) == ROWS_AT_ONCE:
                yield from rows
                rows = fetch(cursor)
        yield from rows

    def copy_out(self, sql: str, file: IO[bytes]) -> None:
        """Write the rows of a query into the file as CSV: unknown values are nothing, empty texts are quoted. Raises
        StoreError, also where the file can't take them."""
        with self._connections.transaction(read_only=True, statement_seconds=COPY_SECONDS, seconds=None) as cursor:
            cursor.copy_expert(f"COPY ({sql}) TO STDOUT (FORMAT csv)", file)

    def interrupt(self) -> None:
        self._connections.cancel()

    def close(self) -> None:
        self._connections.close()

    def _forget_other_servers(self) -> None:
        """Keys that were learned through a connection that is lost may not hold any more."""
        self._connections.drop_stale()
        if self._keys_of != self._connections.lost:
            self._keys, self._keys_of = Keys(PRICE, SHAPE), self._connections.lost

    def _refuse_other_server(self) -> None:
        """In a transaction that refers to keys. Raises StoreUnavailable where they were learned elsewhere: a replica
        that took over may lack those of the last moment, and gives their numbers to others."""
        if self._keys_of != self._connections.lost:
            raise StoreUnavailable(f"another server answers at {self._shown} than a moment ago, as after a failover")

    def _learn(self) -> bool:
        """Look up, or add, what the keys lack, in a short transaction of its own; whether there was anything."""
        unknown = self._keys.unknown()
        if unknown:
            with self._connections.transaction() as cursor:
                found = {dimension: learn(cursor, dimension, contents) for dimension, contents in unknown.items()}
            self._keys.learn(found)
        return bool(unknown)

    def _make_months(self, *, wait: bool) -> None:
        """Once a day. Without it, a new month's events wait in the default partition: slower to read, nothing else.
        `wait`: as long as a migration may take, as there may be many of them to move."""
        today = datetime.now(UTC).date()
        if self._months_made == today:
            return
        self._months_made = today
        try:
            each, whole = (MIGRATE_SECONDS, MIGRATE_SECONDS) if wait else (STATEMENT_SECONDS, TRANSACTION_SECONDS)
            with self._connections.transaction(statement_seconds=each, seconds=whole) as cursor:
                make_months(cursor, today, wait=wait)
        except (SchemaError, StoreUnavailable) as error:
            # what may be locked or full now is tried again; rights are given by somebody who hears that they lack
            level = logging.WARNING if wait or isinstance(error, RightsError) else logging.DEBUG
            logger.log(level, "partitions for months are left for tomorrow: %s", error)


def positions(cursor: Cursor, segments: Collection[UUID]) -> dict[UUID, int]:
    cursor.execute(
        "SELECT segment, position FROM usage_tracker.journal_offset WHERE segment = ANY(%s::uuid[])",
        [[str(segment) for segment in segments]],
    )
    return {UUID(segment): position for segment, position in cursor.fetchall()}


def move(cursor: Cursor, stretches: Sequence[Stretch]) -> bool:
    """Compare and set the segments' positions, in the order of segments, so that two writers can't wait for each other.
    False where one was not where its stretch starts, or where the schema is newer than this version. A segment that
    isn't known starts at 0 and nowhere else."""
    if not stretches:
        return True
    cursor.execute(
        """
        WITH stretch AS (
            SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[])
                AS given(segment, "from", "to", events)
        )
        INSERT INTO usage_tracker.journal_offset AS known (segment, position, events)
        SELECT segment, "to", events FROM stretch
        WHERE ("from" = 0 OR EXISTS (SELECT FROM usage_tracker.journal_offset k WHERE k.segment = stretch.segment))
            AND (SELECT max(number) FROM usage_tracker.schema_migration) <= %s
        ORDER BY segment
        ON CONFLICT (segment) DO UPDATE
        SET position = EXCLUDED.position, events = known.events + EXCLUDED.events, updated_at = now()
        WHERE known.position = (SELECT "from" FROM stretch WHERE stretch.segment = EXCLUDED.segment)
        """,
        [
            *map(list, zip(*((str(s.segment), s.start, s.end, s.events) for s in stretches), strict=True)),
            migrations.newest_known("postgres"),
        ],
    )
    return bool(cursor.rowcount == len(stretches))


def note_batch(cursor: Cursor, batch: Batch) -> int | None:
    """The number of the batch, while there is a sink that will ask for what has come."""
    if not batch.size:
        return None
    cursor.execute(
        "INSERT INTO usage_tracker.usage_batch (events, spans) SELECT %s, %s "
        "WHERE EXISTS (SELECT name FROM usage_tracker.sink) RETURNING batch",
        [batch.size, spans_of(started_at // 1000 for started_at in starts_of(batch))],
    )
    noted = cursor.fetchone()
    return noted[0] if noted else None


def add_deltas(cursor: Cursor, rows: Mapping[Grain, Rows]) -> None:
    for grain, sums in rows.items():
        copy_in(cursor, f"delta_{grain.name}", (*grain.keys, *grain.measures), delta_rows(grain, sums))


def copy_in(cursor: Cursor, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
    lines = CopyLines(iter(in_turns(rows)))
    cursor.copy_expert(copy_command(table, columns), lines)
    if lines.refusal is not None:
        raise lines.refusal


def fetch(cursor: Cursor) -> list[tuple[object, ...]]:
    cursor.execute(FETCH)
    rows: list[tuple[object, ...]] = cursor.fetchall()
    return rows
