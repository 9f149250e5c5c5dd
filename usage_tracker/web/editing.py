"""What a dashboard changes where it may: budgets. Who did so is noted with the change."""

import threading
from collections.abc import Callable
from typing import TypeVar

from usage_tracker.budgets.book import read_budgets, remove_budget, set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.dsn import Dsn
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.changes import Author
from usage_tracker.web.access import Identity

Result = TypeVar("Result")


class Editor:
    """Changes budgets, through a connection of its own. One thread at a time works with it; others wait."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._store: Store | None = None
        self._lock = threading.Lock()

    def set(self, budget: Budget, author: Author) -> bool:
        """Whether it is a new one. Raises StoreError."""

        def work(store: Store) -> bool:
            known = {each.name for each in read_budgets(store)}
            set_budget(store, budget, author)
            return budget.name not in known

        return self._do(work)

    def remove(self, name: str, author: Author) -> bool:
        """Whether there was one of that name. Raises StoreError."""
        return self._do(lambda store: remove_budget(store, name, author))

    def close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _do(self, work: Callable[[Store], Result]) -> Result:
        with self._lock:
            if self._store is None:
                store = open_store(self._dsn)
                store.migrate()
                self._store = store
            return work(self._store)


def author_of(identity: Identity, through: str) -> Author:
    """Who is noted with a change."""
    return Author(identity.name, through)
