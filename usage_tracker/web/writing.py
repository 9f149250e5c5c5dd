"""The store as the HTTP interface and the dashboard write to it: opened by the first work, for one thread at a time."""

import threading
from collections.abc import Callable
from typing import TypeVar

from usage_tracker.dsn import Dsn
from usage_tracker.stores import Store, open_store

Result = TypeVar("Result")


class Turns:
    """Who comes while another one is at work waits."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._store: Store | None = None
        self._lock = threading.Lock()

    def do(self, work: Callable[[Store], Result]) -> Result:
        """Raises StoreError."""
        with self._lock:
            if self._store is None:
                store = open_store(self._dsn)
                store.migrate()
                self._store = store
            return work(self._store)

    def close(self) -> None:
        """Until something is written again."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None
