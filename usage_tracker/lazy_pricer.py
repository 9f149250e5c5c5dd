"""The pricer of whoever stores calls, loaded with the first of them."""

import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from usage_tracker.event import AlikeCalls, Cost, Origin, PricedCalls, UsageEvent

if TYPE_CHECKING:
    from usage_tracker.pricing import FollowingPricer, StoredBook
    from usage_tracker.stores import Store

LOOK_SECONDS = 15.0
"""How long after it was changed a price book may not be noticed."""


def newest_book(store: "Store", known: int | None) -> "StoredBook | None":
    """The newest price book of the store, unless that is the known version. Raises StoreError."""
    from usage_tracker.pricing import StoredBook
    from usage_tracker.stores.prices import newest_version, read_entries

    newest = newest_version(store)
    return None if newest is None or newest == known else StoredBook(newest, read_entries(store, newest))


class LazyPricer:
    """It follows the price books of a file and of the store. Price data takes 100 ms to import: not before there is
    something to price."""

    def __init__(self, prices: Path | None) -> None:
        self._path = prices
        self._pricer: FollowingPricer | None = None
        self._look_at = 0.0

    def load(self) -> None:
        """Import price data, the first time: what forks meanwhile has to do so before, where a fork waits for it."""
        if self._pricer is None:
            from usage_tracker.pricing import FollowingPricer, newest_data

            import_module("usage_tracker.stores.prices")
            prices = newest_data()
            prices.load()
            self._pricer = FollowingPricer([prices], self._path)

    def refresh(self, store: "Store") -> None:
        """Every now and then, read the price books that have changed. Raises StoreError."""
        self.load()
        assert self._pricer is not None
        if time.monotonic() >= self._look_at:
            self._pricer.look(partial(newest_book, store))
            self._look_at = time.monotonic() + LOOK_SECONDS

    def price(self, origin: Origin, event: UsageEvent) -> Cost:
        assert self._pricer is not None, "refreshed before each batch"
        return self._pricer.price(origin, event)

    def price_alike(self, calls: AlikeCalls) -> list[PricedCalls] | None:
        assert self._pricer is not None, "refreshed before each batch"
        return self._pricer.price_alike(calls)
