"""A spool folder beside a SQLite file, with events to ship."""

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from usage_tracker.dsn import parse_dsn
from usage_tracker.event import AlikeCalls, Cost, Origin, PricedCalls, Usage, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store, open_store

ORIGIN = Origin(sdk="openai", provider="openai", project="alpha")
START = 1_790_000_000_000_000_000


class TenCents:
    """A price for everything."""

    def load(self) -> None:
        """There is nothing to import."""

    def refresh(self, store: Store) -> None:
        """They never change."""

    def price(self, origin: Origin, event: UsageEvent) -> Cost:
        return Cost(Decimal("0.1"), (), "test", "1")

    def price_alike(self, calls: AlikeCalls) -> list[PricedCalls] | None:
        if type(self).price is not TEN_CENTS:  # a test's own price
            return None
        size = len(calls.event_ids)
        return [PricedCalls(calls, [10**11] * size, counts=[()] * size, source="test", version="1")]


TEN_CENTS = TenCents.price


def append(journal: Journal, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        event = UsageEvent(
            started_at=START + number * 1000, duration_ms=1.0, operation="chat", response_id=f"r-{number}",
            usage=Usage(input_tokens=number),
        )  # fmt: skip
        journal.append(ORIGIN, event)


class Place:
    """A spool folder and a SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "usage.db"
        self.spool_folder = folder / "spool"
        self.journal = Journal(self.spool())

    def spool(self) -> Spool:
        return Spool(self.spool_folder)

    def open(self) -> Store:
        return open_store(parse_dsn(f"sqlite:///{self.file}"))

    def shipper(self, batch_size: int = 100, journal: Journal | None = None) -> Shipper:
        return Shipper(self.spool(), self.open, TenCents(), batch_size, journal)

    def stored(self) -> list[str]:
        with sqlite3.connect(self.file) as connection:
            found = [row[0] for row in connection.execute("SELECT response_id FROM events ORDER BY started_at")]
        connection.close()
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.journal.close()


def ids(count: int, first: int = 0) -> list[str]:
    return [f"r-{number}" for number in range(first, first + count)]
