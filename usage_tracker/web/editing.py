"""What a dashboard changes where it may: budgets. Who did so is noted with the change."""

from usage_tracker.budgets.book import read_budgets, remove_budget, set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.dsn import Dsn
from usage_tracker.stores import Store
from usage_tracker.stores.changes import Author
from usage_tracker.web.writing import Turns


class Editor:
    """Changes budgets."""

    def __init__(self, dsn: Dsn) -> None:
        self._turns = Turns(dsn)

    def set(self, budget: Budget, author: Author) -> bool:
        """Whether it is a new one. Raises StoreError."""

        def work(store: Store) -> bool:
            known = {each.name for each in read_budgets(store)}
            set_budget(store, budget, author)
            return budget.name not in known

        return self._turns.do(work)

    def remove(self, name: str, author: Author) -> bool:
        """Whether there was one of that name. Raises StoreError."""
        return self._turns.do(lambda store: remove_budget(store, name, author))

    def close(self) -> None:
        self._turns.close()
