"""Events as a Delta table, partitioned by day. https://delta-rs.readthedocs.io"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from usage_tracker.errors import UsageTrackerError
from usage_tracker.exports.buckets import Bucket
from usage_tracker.exports.columns import SCHEMA
from usage_tracker.exports.places import Batches, is_remote, reaching, shown_of

if TYPE_CHECKING:
    from deltalake import DeltaTable

TABLE = pa.schema([pa.field("day", pa.date32()), pa.field("store", pa.string()), *SCHEMA])
"""`store` tells apart stores that share the table: each replaces its own rows."""


class Overtaken(UsageTrackerError):
    """Somebody else has written these rows meanwhile, and they are newer."""


class Delta:
    """A table in which each day of each store is replaced in one transaction."""

    def __init__(self, address: str, store_id: str) -> None:
        self.shown = shown_of(address)
        self._address = address if is_remote(address) else self.shown
        self._store_id = store_id
        self._days: set[str] | None = None

    def has(self, bucket: Bucket) -> bool:
        if self._days is None:
            self._days = self._read_days()
        return bucket.name in self._days

    def _read_days(self) -> set[str]:
        """The days that the table has of this store."""
        with reaching(self._address):
            table = find_table(self._address)
            parts = [] if table is None else table.partitions()
        return {str(part["day"]) for part in parts if part["store"] == self._store_id}

    def version(self, bucket: Bucket) -> int:
        with reaching(self._address):
            return self._open().transaction_version(self._app(bucket)) or 0

    def _app(self, bucket: Bucket) -> str:
        return f"usage_tracker/{self._store_id}/{bucket.name}"

    def put(self, bucket: Bucket, batches: Batches, version: int) -> int:
        """The table itself refuses none of a repeated transaction, so its version is looked at here: whoever was
        overtaken writes nothing. Between that look and the commit, Delta tells of others who replace the day."""
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        counted = Counted(batches, bucket, self._store_id)
        with reaching(self._address):
            table, app = self._open(), self._app(bucket)
            if (table.transaction_version(app) or 0) >= version:
                raise Overtaken(f"{self.shown} has a newer {bucket.name} than this run would write")
            try:
                write_deltalake(
                    table,
                    pa.RecordBatchReader.from_batches(TABLE, counted.each()),
                    mode="overwrite",
                    schema_mode="merge",  # a table of an older version gets its new columns
                    predicate=f"day = '{bucket.name}' AND store = '{self._store_id}'",
                    commit_properties=CommitProperties(app_transactions=[Transaction(app, version)]),
                )
            except CommitFailedError:
                raise Overtaken(f"somebody else has written {bucket.name} of {self.shown} meanwhile") from None
            except DeltaError:
                if counted.failure is not None:
                    raise counted.failure from None
                raise
        return counted.rows

    def _open(self) -> "DeltaTable":
        from deltalake import DeltaTable

        if (found := find_table(self._address)) is not None:
            return found
        DeltaTable.create(self._address, TABLE, mode="ignore", partition_by=["day", "store"])
        return DeltaTable(self._address)


def find_table(address: str) -> "DeltaTable | None":
    """The table that is there. Not by `is_deltatable`, which keeps the interpreter's lock until the server answers: the
    app whose process exports would stand still. Raises DeltaError, OSError."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(address)
    except TableNotFoundError:
        return None


class Counted:
    """Batches with the columns of their partition, and how many rows have gone by."""

    def __init__(self, batches: Batches, bucket: Bucket, store_id: str) -> None:
        self._batches = batches
        self._bucket = bucket
        self._store_id = store_id
        self.rows = 0
        self.failure: UsageTrackerError | None = None
        """What the store said instead of a batch: the writer turns it into an error of its own, traceback and all."""

    def each(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.rows += batch.num_rows
                day = pa.array([self._bucket.day] * batch.num_rows, pa.date32())
                store = pa.array([self._store_id] * batch.num_rows, pa.string())
                yield pa.RecordBatch.from_arrays([day, store, *batch.columns], schema=TABLE)
        except UsageTrackerError as error:
            self.failure = error
            raise
