"""The registry of what the bench breaks; each module of cases adds its own."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from faults.bench import Bench

MODULES = {
    "kills": "kill -9, at any moment and at the worst ones",
    "databases": "Postgres away, frozen, refusing, locked, full",
    "pgbouncer": "pgbouncer in between, restarted, killed",
    "spools": "the journal's disk full, its folder gone, its files damaged",
    "forks": "fork, multiprocessing, gunicorn, celery",
    "exits": "every way in which a process ends",
    "crowds": "64 processes at once on an empty database",
    "clocks": "clocks, host names, containers",
    "sqlite_files": "SQLite: kills, locks, a full disk",
}
"""What they break."""


class Case(NamedTuple):
    """One row of the table."""

    name: str
    run: Callable[[Bench], None]
    """Starts apps, breaks something and heals it. What is left to recover then, the bench lets recover."""
    store: str
    """`postgres` or `sqlite`."""
    module: str
    """Where it is written, without the package."""
    migrated: bool
    """Whether the store has its schema before the first app starts."""

    @property
    def group(self) -> str:
        """What it is one of."""
        return MODULES[self.module]


CASES: list[Case] = []


def case(
    name: str, store: str = "postgres", *, migrated: bool = True
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Register that function under the name that the table has for it."""

    def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        CASES.append(Case(name, run, store, run.__module__.rpartition(".")[2], migrated))
        return run

    return register


def all_cases() -> list[Case]:
    for module in MODULES:
        import_module(f"faults.{module}")
    return CASES
