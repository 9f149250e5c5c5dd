"""The store that a command reads from, or writes to."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from usage_tracker.dsn import Dsn
from usage_tracker.errors import RightsError, SchemaError
from usage_tracker.report import has_schema
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.interrupting import interruptible
from usage_tracker.stores.migrations import applied_in, missing


class NothingYet(Exception):
    """Nothing was ever laid into the store."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(
            f"No events yet in {dsn.shown}.\n"
            "Record some with `usage-tracker run -- python app.py` or a first line `import usage_tracker.auto`, or "
            "look at `usage-tracker demo`. TRACKER_DSN or --dsn chooses another store."
        )


class OlderSchema(SchemaError):
    """As where the tables are being made just now, one step after the other."""


def check_there(dsn: Dsn) -> None:
    """Raises NothingYet where there is no file: reading creates none."""
    if dsn.scheme == "sqlite" and not Path(dsn.text).exists():
        raise NothingYet(dsn)


def check_version(store: Store, dsn: Dsn) -> None:
    """Raises OlderSchema, and SchemaError for a schema that is newer than this version. Who may not look is told by
    what they ask for."""
    try:
        applied = applied_in(store)
    except SchemaError:
        return
    if missing(applied, store.dialect.name):
        raise OlderSchema(f"the schema of {dsn.shown} is older than this version; run `usage-tracker migrate`")


def before(error: SchemaError, what: str) -> SchemaError:
    """The error of a command for which the schema has to be brought up first; of rights it says all by itself."""
    return error if isinstance(error, RightsError) else SchemaError(f"{error} before {what}")


def check_schema(dsn: Dsn) -> None:
    """Raises NothingYet where there is no schema, RightsError where this role may not see it, StoreError."""
    with closing(open_store(dsn)) as store:
        if not has_schema(store):
            raise NothingYet(dsn)


@contextmanager
def reading(dsn: Dsn) -> Iterator[Store]:
    """The store, closed at the end of the block. Reading creates nothing. Ctrl-C ends what is read.

    Raises NothingYet instead of SchemaError where there is no schema at all, and StoreError.
    """
    check_there(dsn)
    store = open_store(dsn)
    try:
        with interruptible(store.interrupt):
            check_version(store, dsn)
            yield store
    except SchemaError:
        if has_schema(store):
            raise
        raise NothingYet(dsn) from None
    finally:
        store.close()


@contextmanager
def writing(dsn: Dsn) -> Iterator[Store]:
    """The store with its schema brought up to date, closed at the end of the block. Raises StoreError."""
    with closing(open_store(dsn)) as store:
        store.migrate()
        yield store
