"""Numbered SQL files that build a store's schema, each applied once and in a transaction of its own.

Append-only: a file that was released is never changed. A start that is interrupted leaves whole migrations behind, and
the next one goes on after them.
"""

import re
from collections.abc import Collection
from contextlib import AbstractContextManager
from functools import cache
from importlib.resources import files
from typing import NamedTuple, Protocol

from usage_tracker.errors import SchemaTooNew
from usage_tracker.stores.store import Store

SQL = files("usage_tracker.stores") / "sql"
"""Looked for here, while a fork still waits for imports: the first `files()` of a process imports more."""


class Migration(NamedTuple):
    number: int
    name: str
    """The file's name without its suffix."""
    sql: str


class Schema(Protocol):
    """The schema of one store, as a migration needs it."""

    def applied(self) -> set[int]:
        """The numbers of the migrations that were applied; none where the table that says so is missing."""

    def locked(self) -> AbstractContextManager[None]:
        """A transaction in which no other process can migrate, and in which `schema_migration` exists."""

    def apply(self, migration: Migration) -> None:
        """Run the file and note its number, inside `locked`."""


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """The files of usage_tracker/stores/sql/<dialect>, in order."""
    found = [
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in (SQL / dialect).iterdir()
        if re.fullmatch(r"\d{4}_\w+\.sql", file.name)
    ]
    return tuple(sorted(found))


def applied_in(store: Store) -> dict[int, str]:
    """What a store's own table says was applied: names by number, in order. Raises StoreError: SchemaError where there
    is no such table, or this role may not look."""
    rows = store.select(f"SELECT number, name FROM {store.dialect.prefix}schema_migration ORDER BY 1")  # noqa: S608  our own
    return {int(str(number)): str(name) for number, name in rows}


def missing(applied: Collection[int], dialect: str) -> list[Migration]:
    """The migrations that are still to be applied. Raises SchemaTooNew for a schema that is newer than this version."""
    refuse_newer(max(applied, default=0), dialect)
    return [migration for migration in migrations(dialect) if migration.number not in applied]


def refuse_newer(newest: int, dialect: str) -> None:
    """Raises SchemaTooNew where the schema, by its newest migration, has something that this version doesn't write."""
    known = newest_known(dialect)
    if newest > known:
        raise SchemaTooNew(
            f"the store's schema is newer (migration {newest}) than this version of usage_tracker (migration {known}); "
            "upgrade usage_tracker on this machine"
        )


def newest_known(dialect: str) -> int:
    return migrations(dialect)[-1].number


def migrate(schema: Schema, dialect: str) -> list[str]:
    """Apply what is missing; the names of what this process applied. One SELECT where nothing is."""
    names: list[str] = []
    todo = missing(schema.applied(), dialect)
    while todo:
        with schema.locked():
            todo = missing(schema.applied(), dialect)
            if todo:
                schema.apply(todo[0])
                names.append(todo[0].name)
    return names
