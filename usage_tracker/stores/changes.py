"""Who has changed what may be spent and what calls cost: kept in the store, within the transaction of the change."""
# ruff: noqa: S608  names of tables and columns are our own

import getpass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from usage_tracker.stores.store import Dialect, Execute, Store

Kind = Literal["budget", "prices"]
COLUMNS = ("kind", "subject", "who", "through", "before", "after")


class Author(NamedTuple):
    """Who changes something, and what with."""

    who: str
    through: str


class Change(NamedTuple):
    at: datetime
    kind: str
    subject: str
    """The budget's name, or the number of the price book's version."""
    who: str
    through: str
    before: str | None
    """What stood there, as JSON; None: nothing. Of a price book, the entries that differ."""
    after: str | None


def this_account(through: str = "program") -> Author:
    """The account that this program runs under."""
    try:
        return Author(getpass.getuser(), through)
    except (KeyError, OSError, ImportError):  # a container's user id without a name
        return Author("somebody", through)


def note_change(
    dialect: Dialect,
    execute: Execute,
    kind: Kind,
    subject: str,
    author: Author,
    before: str | None,
    after: str | None,
) -> None:
    """Within the transaction that makes the change. Nothing is noted where nothing differs."""
    if before == after:
        return
    insert = f"INSERT INTO {dialect.prefix}change_log ({', '.join(COLUMNS)}) VALUES ({dialect.marks(len(COLUMNS))})"
    execute(insert, [kind, subject, *author, before, after])


def read_changes(
    store: Store, kinds: tuple[Kind, ...] = ("budget", "prices"), subject: str | None = None, limit: int = 50
) -> list[Change]:
    """The newest first. Raises StoreError."""
    dialect, parameters = store.dialect, list[object](kinds)
    tests = f"kind IN ({dialect.marks(len(kinds))})"
    if subject is not None:
        tests += f" AND subject = {dialect.placeholder}"
        parameters.append(subject)
    rows = store.select(
        f"SELECT changed_at, {', '.join(COLUMNS)} FROM {dialect.prefix}change_log WHERE {tests} "
        f"ORDER BY change_id DESC LIMIT {limit:d}",
        parameters,
    )
    return [Change(read_moment(at), *map(read_text, rest)) for at, *rest in rows]  # type: ignore[arg-type]  # as the table has them


def read_text(value: object) -> str | None:
    return None if value is None else str(value)


def read_moment(value: object) -> datetime:
    """As Postgres gives it or, in SQLite, as the column holds it."""
    return value.astimezone(UTC) if isinstance(value, datetime) else datetime.fromisoformat(str(value))
