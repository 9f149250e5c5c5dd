"""The price books that hold now, that of the file before that of the store, each read again when it changes; and a
pricer that follows them."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from usage_tracker.errors import ConfigError
from usage_tracker.pricing.book import Book, Table
from usage_tracker.pricing.lists import PriceSource
from usage_tracker.pricing.pricer import Pricer
from usage_tracker.pricing.reading import Mistake, load_book, read_entry

logger = logging.getLogger("usage_tracker")

Stamp = tuple[int, int, int]
"""What changes with a file's content: its number, its size, when it was written."""


class StoredBook(NamedTuple):
    """A version of the store's book, as it lies there."""

    version: int
    entries: list[Table]


ReadStored = Callable[[int | None], StoredBook | None]
"""Reads the newest version of the store's book; None where it is the one that is known already, or there is none."""


class Shelf:
    """Keeps the last good version of each book. A bad one is said once; what was priced before stays as it is."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._looked = False
        self._file: Book | None = None
        self._stored: Book | None = None
        self._stored_version: int | None = None
        self._unusable: set[str] = set()
        """Which books were never good, so that no price is known to be right."""

    @property
    def books(self) -> list[Book] | None:
        """The one that goes before the other first. None: there is one that was never good; see `Pricer.use`."""
        return None if self._unusable else [book for book in (self._file, self._stored) if book is not None]

    def look(self, read_stored: ReadStored) -> bool:
        """Read what has changed; whether anything did. Raises what `read_stored` raises."""
        # where the store can't be asked, what has changed in the file is still to be noticed
        from_store, from_file = self._look_at_store(read_stored), self._look_at_file()
        return from_file or from_store

    def _look_at_file(self) -> bool:
        if self._path is None:
            return False
        stamp = stamp_of(self._path)
        if self._looked and stamp == self._stamp:
            return False
        self._looked, self._stamp = True, stamp
        try:
            self._file = load_book(self._path)
        except ConfigError as error:
            self._complain("file", str(error), self._file)
        else:
            self._unusable.discard("file")
        return True

    def _look_at_store(self, read_stored: ReadStored) -> bool:
        found = read_stored(self._stored_version)
        if found is None:
            return False
        self._stored_version = found.version
        try:
            self._stored = stored_book(found)
        except ConfigError as error:
            self._complain("store", str(error), self._stored)
        else:
            self._unusable.discard("store")
        return True

    def _complain(self, which: str, words: str, previous: Book | None) -> None:
        if previous is None:
            self._unusable.add(which)
            logger.error("%s; until then calls are stored without a cost", words)
        else:
            logger.error("%s; until then its last good version (%s) prices calls", words, previous.version)


class FollowingPricer(Pricer):
    """Prices by the books of a shelf, as of the last look at them."""

    def __init__(self, sources: Iterable[PriceSource], path: Path | None) -> None:
        super().__init__(sources)
        self._shelf = Shelf(path)

    def look(self, read_stored: ReadStored) -> None:
        """Take what has changed. Raises what `read_stored` raises."""
        if self._shelf.look(read_stored):
            self.use(self._shelf.books)


def stamp_of(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def stored_book(found: StoredBook) -> Book:
    """Raises ConfigError for an entry that isn't understood, such as one that a newer version has put there."""
    entries = []
    for place, table in enumerate(found.entries, 1):
        try:
            entries.append(read_entry(table))
        except Mistake as mistake:
            raise ConfigError(
                f"the store's price book, version {found.version}, entry {place}: {mistake}; upgrade usage_tracker "
                "here, or mend the book with `usage-tracker prices import`"
            ) from None
    return Book(entries, str(found.version))
