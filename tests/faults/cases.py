"""The registry of what the bench breaks; each module of cases adds its own."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from faults.bench import Bench

MODULES = ("kills", "databases", "spools", "forks", "exits", "crowds", "clocks", "sqlite_files")


class Case(NamedTuple):
    """One row of the table."""

    name: str
    run: Callable[[Bench], None]
    """Starts apps, breaks something and heals it. What is left to recover then, the bench lets recover."""
    store: str
    """`postgres` or `sqlite`."""
    migrated: bool
    """Whether the store has its schema before the first app starts."""


CASES: list[Case] = []


def case(
    name: str, store: str = "postgres", *, migrated: bool = True
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Register that function under the name that the table has for it."""

    def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        CASES.append(Case(name, run, store, migrated))
        return run

    return register


def all_cases() -> list[Case]:
    for module in MODULES:
        import_module(f"faults.{module}")
    return CASES
