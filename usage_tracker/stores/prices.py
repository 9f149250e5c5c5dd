"""The price book in the store: versions, each a whole list of entries, of which none is ever changed."""
# ruff: noqa: S608  names of tables and columns are our own

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from usage_tracker.stores.changes import Author, note_change, this_account
from usage_tracker.stores.store import Execute, Store

Entry = dict[str, Any]
"""What JSON holds, with numbers as int or Decimal, and days as text."""

COLUMNS = ("version", "position", "provider", "model", "valid_from", "valid_until", "entry")

encode = msgspec.json.Encoder(decimal_format="number").encode


class Version(NamedTuple):
    """What is known of a version without its entries."""

    number: int
    created_at: str
    note: str
    entries: int


def read_versions(store: Store) -> list[Version]:
    """All versions, the oldest first. Raises StoreError."""
    prefix = store.dialect.prefix
    rows = store.select(
        f"SELECT v.version, v.created_at, v.note, (SELECT count(*) FROM {prefix}price p WHERE p.version = v.version) "
        f"FROM {prefix}price_version v ORDER BY v.version"
    )
    return [Version(int(str(number)), str(at), str(note), int(str(count))) for number, at, note, count in rows]


def newest_version(store: Store) -> int | None:
    """The number of the newest version; None where there is none. Raises StoreError."""
    rows = store.select(f"SELECT max(version) FROM {store.dialect.prefix}price_version")
    [(newest,)] = list(rows)
    return None if newest is None else int(str(newest))


def read_entries(store: Store, version: int) -> list[Entry]:
    """The entries of a version in their order. Raises StoreError."""
    dialect = store.dialect
    rows = store.select(
        f"SELECT entry FROM {dialect.prefix}price WHERE version = {dialect.placeholder} ORDER BY position",
        [version],
    )
    return [json.loads(str(entry), parse_float=Decimal) for (entry,) in rows]


def add_version(
    store: Store, known: int | None, note: str, entries: Sequence[Entry], author: Author | None = None
) -> int | None:
    """Add a version on top of the one that is known, and note who did so; its number. None, and nothing is added, where
    somebody has added another one since. Raises StoreError."""
    dialect = store.dialect
    prefix, mark = dialect.prefix, dialect.placeholder
    before = [] if known is None else list(map(plain_entry, read_entries(store, known)))
    after = list(map(plain_entry, entries))

    def add(execute: Execute) -> int | None:
        if dialect.name == "postgres":
            execute(f"LOCK TABLE {prefix}price_version IN SHARE ROW EXCLUSIVE MODE", [])
        row = execute(f"SELECT max(version) FROM {prefix}price_version", [])
        if (row[0] if row else None) != known:
            return None
        version = (known or 0) + 1
        execute(f"INSERT INTO {prefix}price_version (version, note) VALUES ({mark}, {mark})", [version, note])
        insert = f"INSERT INTO {prefix}price ({', '.join(COLUMNS)}) VALUES ({dialect.marks(len(COLUMNS))})"
        for position, plain in enumerate(after, 1):
            provider, model = plain.get("provider"), plain.get("match", plain.get("regex"))
            days = (plain.get("from"), plain.get("until"))
            execute(insert, [version, position, provider, model, *days, encode(plain).decode()])
        own = (lacking(before, after), lacking(after, before))
        note_change(dialect, execute, "prices", str(version), author or this_account(), *own)
        return version

    return store.change(add)


def plain_entry(entry: Entry) -> Entry:
    """Days as text."""
    return {key: value.isoformat() if isinstance(value, date) else value for key, value in entry.items()}


def lacking(entries: Sequence[Entry], others: Sequence[Entry]) -> str | None:
    """Those that are not among the others, as JSON; None where there is none."""
    own = [entry for entry in entries if entry not in others]
    return encode(own).decode() if own else None
