"""The budgets in the store. Running processes see a change within seconds."""
# ruff: noqa: S608  names of tables and columns are our own

import logging

import msgspec

from usage_tracker.budgets.budget import Budget, decode, encode
from usage_tracker.stores import Store
from usage_tracker.stores.store import Execute

logger = logging.getLogger("usage_tracker")


def read_budgets(store: Store) -> list[Budget]:
    """All budgets by name. One that a newer version wrote and this one can't read is left out, and said. Raises
    StoreError."""
    budgets = []
    for name, definition in store.select(f"SELECT name, definition FROM {store.dialect.prefix}budget ORDER BY name"):
        try:
            budgets.append(decode(str(definition)))
        except msgspec.ValidationError:
            logger.warning("the budget %s is of a newer version; upgrade usage_tracker to have it enforced here", name)
    return budgets


def set_budget(store: Store, budget: Budget) -> None:
    """Put the budget in the place of the one of that name, if there is one. With another limit, it alerts anew. Raises
    StoreError."""
    prefix, mark = store.dialect.prefix, store.dialect.placeholder
    sql = (
        f"INSERT INTO {prefix}budget (name, definition) VALUES ({mark}, {mark}) ON CONFLICT (name) DO UPDATE "
        "SET definition = excluded.definition, changed_at = CURRENT_TIMESTAMP"
    )

    def put(execute: Execute) -> None:
        before = execute(f"SELECT definition FROM {prefix}budget WHERE name = {mark}", [budget.name])
        if before is not None and decode(str(before[0])).limit != budget.limit:
            execute(f"DELETE FROM {prefix}budget_alert WHERE subject = {mark}", [budget.name])
        execute(sql, [budget.name, encode(budget).decode()])

    store.change(put)


def remove_budget(store: Store, name: str) -> bool:
    """Whether there was one of that name. Raises StoreError."""
    prefix, mark = store.dialect.prefix, store.dialect.placeholder

    def remove(execute: Execute) -> bool:
        found = execute(f"SELECT name FROM {prefix}budget WHERE name = {mark}", [name])
        for table in ("budget_reservation", "budget_account"):
            execute(f"DELETE FROM {prefix}{table} WHERE budget = {mark}", [name])
        execute(f"DELETE FROM {prefix}budget WHERE name = {mark}", [name])
        return found is not None

    return store.change(remove)
