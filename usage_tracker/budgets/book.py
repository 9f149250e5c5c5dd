"""The budgets in the store. Running processes see a change within seconds."""
# ruff: noqa: S608  names of tables and columns are our own

import logging
from functools import cache

import msgspec

from usage_tracker.budgets.budget import Budget, counted, decode, encode, unknown_words
from usage_tracker.errors import SchemaError
from usage_tracker.stores import Store
from usage_tracker.stores.changes import Author, note_change, this_account
from usage_tracker.stores.store import Execute

logger = logging.getLogger("usage_tracker")


def read_budgets(store: Store) -> list[Budget]:
    """All budgets by name. One that this version or host can't count, as a newer one wrote it or it is in a time zone
    that isn't known here, is left out, and said. Raises StoreError."""
    budgets = []
    for name, definition in store.select(f"SELECT name, definition FROM {store.dialect.prefix}budget ORDER BY name"):
        try:
            budget = decode(str(definition))
        except msgspec.ValidationError:
            say_newer(str(name))
            continue
        why = next(unknown_words(budget), None)
        if why is None:
            budgets.append(budget)
        else:
            say_unknown(budget.name, why)
    return budgets


@cache
def say_newer(name: str) -> None:
    """Once in this process, of however many: who leads a host reads budgets each second."""
    logger.warning("the budget %s is of a newer version; upgrade usage_tracker to have it enforced here", name)


@cache
def say_unknown(name: str, why: str) -> None:
    """As often."""
    logger.warning("the budget %s is left out here: %s", name, why)


def set_budget(store: Store, budget: Budget, author: Author | None = None) -> None:
    """Put the budget in the place of the one of that name, if there is one, and note who did so. Unless it counts the
    same against the same limit, it alerts anew; unless it counts the same, nothing is reserved of it any more. Raises
    StoreError, also where that one is of a newer version."""
    prefix, mark = store.dialect.prefix, store.dialect.placeholder
    sql = (
        f"INSERT INTO {prefix}budget (name, definition) VALUES ({mark}, {mark}) ON CONFLICT (name) DO UPDATE "
        "SET definition = excluded.definition, changed_at = CURRENT_TIMESTAMP"
    )

    def put(execute: Execute) -> None:
        before = execute(f"SELECT definition FROM {prefix}budget WHERE name = {mark}", [budget.name])
        known = None if before is None else str(before[0])
        other = None if known is None else understood(budget.name, known)
        if other is None or limited(other) != limited(budget):
            execute(f"DELETE FROM {prefix}budget_alert WHERE subject = {mark}", [budget.name])
        if other is not None and counted(other) != counted(budget):
            forget_use(execute, store, budget.name)
        after = encode(budget).decode()
        execute(sql, [budget.name, after])
        note_change(store.dialect, execute, "budget", budget.name, author or this_account(), known, after)

    store.change(put)


def understood(name: str, definition: str) -> Budget:
    """Raises SchemaError for a budget that can't be read here: who changes it would lose some of it."""
    try:
        budget = decode(definition)
    except msgspec.ValidationError:
        raise SchemaError(
            f"the budget {name} is of a newer version; upgrade usage_tracker to change it, or take it away with "
            f"`usage-tracker budget rm {name}`"
        ) from None
    for why in unknown_words(budget):
        raise SchemaError(
            f"the budget {name} can't be changed here: {why}; or take it away with `usage-tracker budget rm {name}`"
        )
    return budget


def limited(budget: Budget) -> tuple[object, ...]:
    """What is limited, and to how much."""
    return budget.limit, *counted(budget)


def remove_budget(store: Store, name: str, author: Author | None = None) -> bool:
    """Whether there was one of that name. Who removed it is noted. Raises StoreError."""
    prefix, mark = store.dialect.prefix, store.dialect.placeholder

    def remove(execute: Execute) -> bool:
        found = execute(f"SELECT definition FROM {prefix}budget WHERE name = {mark}", [name])
        forget_use(execute, store, name)
        execute(f"DELETE FROM {prefix}budget WHERE name = {mark}", [name])
        if found is not None:
            note_change(store.dialect, execute, "budget", name, author or this_account(), str(found[0]), None)
        return found is not None

    return store.change(remove)


def forget_use(execute: Execute, store: Store, name: str) -> None:
    """What calls have used and reserved of a strict budget: of another one of that name, it is in another measure or of
    other calls."""
    prefix = store.dialect.prefix
    if store.dialect.name == "postgres":
        # calls change several of these rows at a time, in orders of their own: each would wait for the other
        execute(f"LOCK TABLE {prefix}budget_account, {prefix}budget_reservation IN EXCLUSIVE MODE", [])
    for table in ("budget_account", "budget_reservation"):
        execute(f"DELETE FROM {prefix}{table} WHERE budget = {store.dialect.placeholder}", [name])
