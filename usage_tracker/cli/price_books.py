"""The price books that a command is about: the file's and the store's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from usage_tracker.cli.hints import tell
from usage_tracker.cli.stores import NothingYet, before, reading
from usage_tracker.dsn import Dsn
from usage_tracker.errors import SchemaError
from usage_tracker.folders import located
from usage_tracker.plain_values import plain
from usage_tracker.pricing import Pricer, StoredBook, newest_data
from usage_tracker.pricing.book import Book, Table
from usage_tracker.pricing.price_keys import PRICE_KEYS
from usage_tracker.pricing.reading import load_book
from usage_tracker.pricing.shelf import stored_book
from usage_tracker.stores import Store
from usage_tracker.stores.prices import newest_version, read_entries


def read_path(ctx: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path is None:
        return None
    tell(ctx, option, str(path))
    return located(str(path))


prices_option = click.option(
    "--prices",
    "path",
    envvar="TRACKER_PRICES",
    type=click.Path(path_type=Path),
    callback=read_path,
    metavar="FILE",
    help="The price book that goes before the store's; unset: TRACKER_PRICES.",
)


AMOUNTS = {*PRICE_KEYS, "multiplier"}


def plain_table(value: Any) -> Any:
    """An entry as JSON holds it: amounts are texts, whole ones too."""
    if isinstance(value, dict):
        return {key: str(part) if key in AMOUNTS and type(part) is int else plain_table(part)
                for key, part in value.items()}  # fmt: skip
    return [plain_table(part) for part in value] if isinstance(value, list) else plain(value)


class Stored(NamedTuple):
    """The newest version in the store; none where there is no book."""

    version: int | None
    entries: list[Table]


def read_stored(store: Store) -> Stored:
    """Raises StoreError."""
    version = newest_version(store)
    return Stored(version, [] if version is None else read_entries(store, version))


def stored_in(dsn: Dsn) -> Stored:
    """As `read_stored`; reading creates nothing."""
    try:
        with reading(dsn) as store:
            return read_stored(store)
    except NothingYet:
        return Stored(None, [])
    except SchemaError as error:
        raise before(error, "using price books") from None


def open_books(dsn: Dsn, path: Path | None) -> list[Book]:
    """The books in their order, as a shipper would use them. Raises ConfigError for one that has a mistake."""
    books = [load_book(path) if path else None, stored_book_in(dsn)]
    return [book for book in books if book is not None]


def stored_book_in(dsn: Dsn) -> Book | None:
    """The newest version of the store's book; None where it has none. Raises ConfigError and StoreError."""
    version, entries = stored_in(dsn)
    return None if version is None else stored_book(StoredBook(version, entries))


def open_pricer(books: Sequence[Book]) -> Pricer:
    return Pricer([newest_data()], books)
