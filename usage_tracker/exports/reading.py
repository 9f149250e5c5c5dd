"""Events of one bucket out of a store, as Arrow's record batches."""
# ruff: noqa: S608  names of tables and columns are our own

import socket
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from typing import IO, Any, Protocol, runtime_checkable

import pyarrow as pa
from pyarrow import csv

from usage_tracker.errors import StoreError
from usage_tracker.event import COLUMNS
from usage_tracker.exports.buckets import Bucket, instant
from usage_tracker.exports.columns import MOMENT, MONEY, SCHEMA, from_json
from usage_tracker.stores import Store
from usage_tracker.threads import start_thread

ROWS_AT_ONCE = 20_000
BLOCK_BYTES = 16 << 20
"""How much CSV is read at once. A record is never longer than a block."""
JSON = ("units", "cost_flags", "tags")
"""Columns that come as JSON and are lists and maps in the file."""


@runtime_checkable
class CopiesOut(Protocol):
    """A store whose server writes rows as CSV faster than a driver reads them."""

    def copy_out(self, sql: str, file: IO[bytes]) -> None:
        """Write the rows of a query, unknown values as nothing, empty texts in quotes. Raises StoreError."""


def read_events(store: Store, bucket: Bucket) -> Iterator[pa.RecordBatch]:
    """In the order of `started_at`, as far as Postgres's joins keep it. Read it to its end, or close it. Raises
    StoreError."""
    if store.dialect.name == "postgres":
        assert isinstance(store, CopiesOut)
        return copied(store, postgres_sql(bucket))
    return selected(store, bucket)


POSTGRES_FORMS = {
    "started_at": "(extract(epoch FROM e.started_at) * 1000000)::bigint",
    "duration_ms": "e.duration_ms", "ttft_ms": "e.ttft_ms",
    "cost_parts": "CASE WHEN p.lines IS NULL THEN e.cost_counts "
                  "ELSE format(p.lines, VARIADIC string_to_array(e.cost_counts, ',')) END",
    "price_source": "p.source", "price_version": "p.version",
    "cost_flags": "coalesce(array_to_json(e.cost_flags), '[]')",
    "tags": "array_to_json(t.tags)",
    "usage": "CASE WHEN s.template IS NULL THEN e.figures "
             "ELSE format(s.template, VARIADIC string_to_array(e.figures, ',')) END",
}  # fmt: skip


def postgres_sql(bucket: Bucket) -> str:
    """The view `events` without what costs time there: JSON stays a text, and only what is narrow is sorted."""
    columns = ", ".join(f"{POSTGRES_FORMS.get(name, name)} AS {name}" for name in COLUMNS)
    return (
        f"SELECT {columns} FROM (SELECT * FROM usage_tracker.usage_event "
        f"WHERE started_at >= '{bucket.start.isoformat()}' AND started_at < '{bucket.end.isoformat()}' "
        "ORDER BY started_at, event_id) e "
        "JOIN usage_tracker.usage_kind k USING (kind_key) JOIN usage_tracker.usage_owner o USING (owner_key) "
        "JOIN usage_tracker.usage_user u USING (user_key) JOIN usage_tracker.usage_tags t USING (tags_key) "
        "LEFT JOIN usage_tracker.usage_host h USING (host_key) LEFT JOIN usage_tracker.usage_price p USING (price_key) "
        "LEFT JOIN usage_tracker.usage_shape s USING (shape_key)"
    )


READ = csv.ReadOptions(column_names=COLUMNS, block_size=BLOCK_BYTES)
PARSE = csv.ParseOptions(newlines_in_values=True)
CONVERT = csv.ConvertOptions(
    column_types={
        field.name: pa.int64() if field.type == MOMENT else pa.string() if field.name in JSON else field.type
        for field in SCHEMA
    },
    null_values=[""],
    true_values=["t"],
    false_values=["f"],
    strings_can_be_null=True,
    quoted_strings_can_be_null=False,
)


def copied(store: CopiesOut, sql: str) -> Iterator[pa.RecordBatch]:
    """What the server writes, while it writes it."""
    # no pipe: a child that is forked meanwhile has both ends as well, and closing ours would end nothing
    reading, writing = socket.socketpair()
    errors: list[StoreError | OSError] = []

    def copy() -> None:
        with writing:
            try:
                with writing.makefile("wb") as file:
                    store.copy_out(sql, file)
            except (StoreError, OSError) as error:
                errors.append(error)
            finally:
                with suppress(OSError):
                    writing.shutdown(socket.SHUT_WR)

    copying = start_thread("export", copy)
    with reading, reading.makefile("rb") as file:
        try:
            reader = open_csv(file)
            while reader is not None:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                yield finished(dict(zip(COLUMNS, batch.columns, strict=True)))
        finally:
            with suppress(OSError):
                reading.shutdown(socket.SHUT_RD)  # so that a server that writes still is told to stop
            copying.join()
    if errors:
        raise errors[0]


def open_csv(file: IO[bytes]) -> csv.CSVStreamingReader | None:
    """None where there is nothing to read."""
    try:
        return csv.open_csv(file, read_options=READ, parse_options=PARSE, convert_options=CONVERT)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return None
        raise


SQLITE_FORMS = {
    "event_id": "lower(hex(event_id))",
    "price_source": "source",
    "price_version": "version",
    "cost_flags": "coalesce(cost_flags, '[]')",
}


def selected(store: Store, bucket: Bucket) -> Iterator[pa.RecordBatch]:
    columns = ", ".join(SQLITE_FORMS.get(name, name) for name in COLUMNS)
    rows = store.select(
        f"SELECT {columns} FROM usage_event JOIN usage_kind USING (kind_key) JOIN usage_owner USING (owner_key) "
        "JOIN usage_user USING (user_key) JOIN usage_tags USING (tags_key) "
        "LEFT JOIN usage_host USING (host_key) LEFT JOIN usage_price USING (price_key) "
        "WHERE started_at >= ? AND started_at < ? ORDER BY started_at, event_id",
        [instant(store, bucket.start), instant(store, bucket.end)],
    )
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield finished({name: list(column) for name, column in zip(COLUMNS, zip(*chunk, strict=True), strict=True)})


def finished(columns: dict[str, Any]) -> pa.RecordBatch:
    """Columns as a store gave them, in the types of the file."""
    arrays = []
    for field in SCHEMA:
        column = columns[field.name]
        if isinstance(column, list):
            column = from_sqlite(field, column)
        if field.name in JSON:
            column = from_json(column, field.type)
        arrays.append(column.cast(field.type) if column.type != field.type else column)
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def from_sqlite(field: pa.Field, values: list[Any]) -> pa.Array:
    if field.name == "event_id":
        values = ["-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])) for text in values]
    if field.type == MONEY:
        return pa.array([None if value is None else Decimal(value).scaleb(-12) for value in values], MONEY)
    if pa.types.is_boolean(field.type):
        return pa.array([bool(value) for value in values])
    if field.name in JSON:
        return pa.array(values, pa.string())
    return pa.array(values, pa.int64() if field.type == MOMENT else field.type)
