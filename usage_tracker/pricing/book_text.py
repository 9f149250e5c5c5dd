"""A price book as TOML, for people to edit, and what differs between two of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from usage_tracker.pricing.book import Table

IDENTITY = ("match", "regex", "provider", "from", "until", "when")
"""What an entry is about; the rest is what it says of that."""
SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def write_book(tables: Iterable[Table]) -> str:
    """The entries as TOML that is read back as the same."""
    return "\n".join(
        "[[price]]\n" + "".join(f"{key} = {write(value)}\n" for key, value in table.items()) for table in tables
    )


def write(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{bare(key)} = {write(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def bare(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else write(key)


class Difference(NamedTuple):
    """What one of two books says otherwise."""

    entry: str
    """What it is about."""
    change: str
    """`added`, `removed` or `changed`."""
    what: str

    def __str__(self) -> str:
        return f"{SIGNS[self.change]} {self.entry}: {self.what}"


def name_of(table: Table) -> str:
    """What an entry is about, in one line."""
    words = [str(table.get("match") or f"/{table.get('regex')}/")]
    words += [f"{key} {plain(table[key])}" for key in ("provider", "from", "until") if table.get(key)]
    words += [f"{key} {plain(value)}" for key, value in (table.get("when") or {}).items()]
    return ", ".join(words)


def plain(value: Any) -> str:
    return write(value).strip('"') if isinstance(value, str) else write(value)


def differ(old: Sequence[Table], new: Sequence[Table]) -> list[Difference]:
    """The entries that only one has, and those that say something else of the same. Their order counts as well: the
    first that matches decides."""
    before, after = ({identity(table): table for table in tables} for tables in (old, new))
    found = [Difference(name_of(table), "removed", said(table)) for key, table in before.items() if key not in after]
    for key, table in after.items():
        if key not in before:
            found.append(Difference(name_of(table), "added", said(table)))
        elif normal(before[key]) != normal(table):
            keys = [
                name for name in {**before[key], **table} if normal(before[key].get(name)) != normal(table.get(name))
            ]
            changes = [f"{name} {shown(before[key], name)} → {shown(table, name)}" for name in keys]
            found.append(Difference(name_of(table), "changed", ", ".join(changes)))
    common = [[key for key in books if key in before and key in after] for books in (before, after)]
    if common[0] != common[1]:
        found.append(Difference("the order of entries", "changed", "the first that matches decides"))
    return found


def identity(table: Table) -> str:
    """The same for entries that are about the same: what adds to a price is about something else than a price."""
    about = {key: normal(table[key]) for key in IDENTITY if table.get(key)}
    return write({**about, "add": "add" in table})


def normal(value: Any) -> Any:
    """Equal for what means the same: days as text, numbers by their value."""
    if isinstance(value, Mapping):
        return {key: normal(part) for key, part in value.items()}
    if isinstance(value, list):
        return [normal(part) for part in value]
    if isinstance(value, date):
        return value.isoformat()
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def said(table: Table) -> str:
    return ", ".join(f"{key} {plain(value)}" for key, value in table.items() if key not in IDENTITY)


def shown(table: Table, key: str) -> str:
    return plain(table[key]) if key in table else "—"
