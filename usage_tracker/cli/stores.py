"""The store that a command reads from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from usage_tracker.config import Dsn
from usage_tracker.errors import SchemaError
from usage_tracker.report import has_schema
from usage_tracker.stores import Store, migrations, open_store


class NothingYet(Exception):
    """Nothing was ever laid into the store."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(
            f"No events yet in {dsn.shown}.\n"
            "Record some with `usage-tracker run -- python app.py` or a first line `import usage_tracker.auto`, or "
            "look at `usage-tracker demo`. TRACKER_DSN or --dsn chooses another store."
        )


def check_there(dsn: Dsn) -> None:
    """Raises NothingYet where there is no file: reading creates none."""
    if dsn.scheme == "sqlite" and not Path(dsn.text).exists():
        raise NothingYet(dsn)


def check_schema(store: Store) -> None:
    """Raises SchemaError where a newer version has laid the schema: its figures might not mean what we take them for.
    One that is missing or older, or whose migrations this role may not see, is left to the question itself."""
    try:
        rows = list(store.select(f"SELECT number FROM {store.dialect.prefix}schema_migration"))  # noqa: S608  our own name
    except SchemaError:
        return
    migrations.missing({number for (number,) in rows if isinstance(number, int)}, store.dialect.name)


@contextmanager
def reading(dsn: Dsn) -> Iterator[Store]:
    """The store, closed at the end of the block. Reading creates nothing.

    Raises NothingYet instead of SchemaError where there is no schema at all, and StoreError.
    """
    check_there(dsn)
    store = open_store(dsn)
    try:
        check_schema(store)
        yield store
    except SchemaError:
        if has_schema(store):
            raise
        raise NothingYet(dsn) from None
    finally:
        store.close()
