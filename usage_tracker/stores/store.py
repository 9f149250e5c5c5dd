"""What a store can do, and which kinds there are."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar
from uuid import UUID

from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError, QueryError
from usage_tracker.event import Batch
from usage_tracker.stores.values import storable

if TYPE_CHECKING:
    from usage_tracker.stores.description import Description
    from usage_tracker.stores.pruning import Prunable
    from usage_tracker.stores.repricing import Repriced

Execute = Callable[[str, Sequence[object]], Sequence[object] | None]
"""Runs a statement of a transaction; the first row that it gives, if it gives any."""
Result = TypeVar("Result")


class Dialect(NamedTuple):
    """The few words in which the stores' SQL differs; everything else is written once."""

    name: str
    prefix: str
    """Goes before each table's name: `usage_tracker.` or nothing."""
    placeholder: str
    """`%s` or `?`."""

    def marks(self, count: int) -> str:
        """The placeholders of so many values."""
        return ", ".join([self.placeholder] * count)

    def for_update(self, *, skip_locked: bool = False) -> str:
        """Goes after a SELECT whose rows nobody else may change until the transaction ends. SQLite has one writer."""
        if self.name != "postgres":
            return ""
        return " FOR UPDATE SKIP LOCKED" if skip_locked else " FOR UPDATE"

    def write_id(self, identity: UUID) -> object:
        """As columns hold it."""
        return str(identity) if self.name == "postgres" else identity.bytes


def read_id(value: object) -> UUID:
    """Out of such a column."""
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(str(value))


def takes_effect(execute: Execute, dialect: Dialect, sql: str, parameters: Sequence[object]) -> bool:
    """Run a statement that writes; whether it has written a row."""
    if dialect.name == "postgres":
        return execute(f"{sql} RETURNING true", parameters) is not None
    execute(sql, parameters)  # SQLite knows RETURNING since 3.35 of 2021, and Pythons of some systems have an older one
    return execute("SELECT changes()", []) != (0,)


class Store(Protocol):
    """A place for events that keeps each exactly once.

    Errors: StoreUnavailable (try later), EventsRefused (the content), SchemaError (needs `usage-tracker migrate`). Not
    thread-safe: one thread at a time.
    """

    dialect: Dialect
    takes_alike: bool
    """Whether batches may have `alike` calls."""

    def migrate(self) -> list[str]:
        """Bring the schema up to date; the names of the migrations that were applied. Safe from many processes."""

    def positions(self, segments: Collection[UUID]) -> dict[UUID, int]:
        """How far each segment is stored, in bytes; segments that the store has never seen are left out."""

    def write(self, batch: Batch) -> bool:
        """Store the batch and move its segments' positions, in one transaction. A segment is in it once at most.

        False: a position was not where the batch starts (another leader stored it, or our last commit did arrive);
        nothing was written, so read `positions` again.
        """

    def compact(self) -> int:
        """Fold what writers appended into the rollups; how many rows were folded. 0 where another process does it."""

    def reprice(self, repriced: "Sequence[Repriced]") -> int:
        """Give stored calls another cost, keep the original one, and move the rollups, in one transaction; how many of
        them are stored. Each call is among them once."""

    def describe(self) -> "Description":
        """What the store is like right now. Reads only, and nothing that takes long."""

    def prunable(self, before: datetime) -> "list[Prunable]":
        """The parts of the events that started before then. Reads only."""

    def prune(self, before: datetime) -> Iterator[int]:
        """Take out the events that started before then, part by part in transactions of their own, while others go on
        writing; how many went at each. Rollups, positions and awaited calls stay. Read it to its end."""

    def free_bytes(self) -> tuple[int, int]:
        """What the store has on disk for new events and could give back with `vacuum`, and what is in use. (0, 0)
        where its server sees to that."""

    def vacuum(self) -> None:
        """Give back what is free. Nobody else can write until it is done."""

    def change(self, work: Callable[[Execute], Result]) -> Result:
        """Do the work in one writing transaction, which is rolled back where it raises; what it returns."""

    def select(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """Read rows. Timestamps come as aware datetimes or, in SQLite, as the column holds them."""

    def interrupt(self) -> None:
        """From another thread: let a request that reads end with StoreUnavailable, if there is one. The next one isn't
        touched."""

    def close(self) -> None: ...


KINDS = {
    "clickhouse": ("usage_tracker.stores.clickhouse", "ClickHouseStore"),
    "postgresql": ("usage_tracker.stores.postgres", "PostgresStore"),
    "sqlite": ("usage_tracker.stores.sqlite", "SqliteStore"),
}


def read_sql(dsn: Dsn, sql: str) -> Generator[tuple[object, ...], None, None]:
    """Run a user's own SQL, which may only read: the columns' names, then the rows. Raises QueryError where it can't be
    run as it is written, and StoreError."""
    if storable(sql) != sql:
        raise QueryError("the statement is no text (a NUL character or broken UTF-8)")
    module, _ = KINDS[dsn.scheme]
    reader = import_module(f"{module}.questions")
    yield from reader.read(dsn, sql)


def open_store(dsn: Dsn, spool: Path | None = None) -> Store:
    """The store of that address, not connected yet: the first request connects. Imports its driver here.

    `spool`: of who leads, its spool folder, where a store without transactions notes what it is about to write.
    """
    if dsn.scheme not in KINDS:
        raise ConfigError(f"there is no store for {dsn.scheme}://")
    module, name = KINDS[dsn.scheme]
    kind = getattr(import_module(module), name)
    store: Store = kind(dsn, spool) if dsn.scheme == "clickhouse" else kind(dsn)
    return store
