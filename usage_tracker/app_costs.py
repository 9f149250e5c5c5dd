"""What calls cost, for the app that asks within its own process: at the prices that the store's costs come of."""

import threading
import time
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from usage_tracker.config import Settings
from usage_tracker.errors import SchemaError, StoreError
from usage_tracker.event import UNPRICED, Cost, Origin, UsageEvent
from usage_tracker.lazy_pricer import LOOK_SECONDS, newest_book

if TYPE_CHECKING:
    from usage_tracker.pricing import FollowingPricer, StoredBook


class AppCosts:
    """The first question imports price data, which takes 100 ms; after a while another one looks at the price books."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._pricer: FollowingPricer | None = None
        self._look_at = 0.0
        self._blind = False
        """Whether the store can't say if it has a price book, so that nobody knows which prices are the user's own."""

    def of(self, calls: Iterable[tuple[Origin, UsageEvent]]) -> list[Cost]:
        """What each of them cost."""
        with self._lock:
            if self._pricer is None or time.monotonic() >= self._look_at:
                self._look()
                self._look_at = time.monotonic() + LOOK_SECONDS
            pricer = None if self._blind else self._pricer
            return [UNPRICED if pricer is None else pricer.price(origin, event) for origin, event in calls]

    def _look(self) -> None:
        from usage_tracker.pricing import FollowingPricer, newest_data

        if self._pricer is None:
            self._pricer = FollowingPricer([newest_data()], self._settings.prices)
        try:
            self._pricer.look(self._read_stored)
        except StoreError:
            self._blind = True
        else:
            self._blind = False

    def _read_stored(self, known: int | None) -> "StoredBook | None":
        from usage_tracker.stores import open_store

        if self._settings.dsn is None:
            return None
        with closing(open_store(self._settings.dsn)) as store:
            try:
                return newest_book(store, known)
            except SchemaError:
                return None  # it has no tables yet, and so no book
