"""Reservations and the accounts that they are taken from, as the store keeps them: the statements of one transaction.

A transaction locks the accounts that it is about, in one order, so that nobody waits for somebody who waits for them.
"""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple
from uuid import UUID

from usage_tracker.budgets.accounts import Mark, Name
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.rates import MINUTE, sliding
from usage_tracker.stores import Store
from usage_tracker.stores.clock import clock_within
from usage_tracker.stores.store import Execute


class Place(NamedTuple):
    """One window of one part of a budget."""

    budget: str
    part: str
    window_start: int
    """0 where it rolls; and of a limit of the rate, until the store has said which minute it is."""

    @property
    def name(self) -> Name:
        return self.budget, self.part


class Want(NamedTuple):
    """What a call may use of one."""

    place: Place
    limit: int
    amount: int
    is_rate: bool = False

    def at(self, now: float) -> "Want":
        """As it is asked for at that moment, by the clock that all processes share."""
        minute = int(now // MINUTE) * MINUTE
        return self._replace(place=self.place._replace(window_start=minute)) if self.is_rate else self


class Refused(NamedTuple):
    """Which had no room, and what was used and reserved of it."""

    want: Want
    used: int


class Settled(NamedTuple):
    """What a call did use of a place; None: it has ended without an event."""

    reservation: UUID
    place: Place | None
    amount: int = 0
    """For a limit of the rate: how much more than was reserved."""
    mark: Mark | None = None


class Missing(Exception):
    """Accounts that nobody has opened yet."""

    def __init__(self, places: list[Place]) -> None:
        super().__init__()
        self.places = places


class Tables:
    """The statements, within one transaction."""

    def __init__(self, execute: Execute, store: Store) -> None:
        self._execute = execute
        self._dialect = store.dialect
        self._id = store.dialect.write_id
        prefix, self._mark = store.dialect.prefix, store.dialect.placeholder
        self._account, self._reservation = f"{prefix}budget_account", f"{prefix}budget_reservation"

    def now(self) -> float:
        """By the clock that all processes share."""
        return clock_within(self._execute, self._dialect)

    def lock(self, wants: dict[Place, Want], settled: Sequence[Settled], now: float) -> dict[Place, int]:
        """What is used and reserved of each place, which nobody else changes until this transaction ends. Raises
        Missing."""
        known, missing = {}, []
        rates = {late.place for late in settled if late.place is not None and late.mark is None and late.amount}
        for place in sorted({*wants, *rates}):
            is_rate = place in rates or wants[place].is_rate
            if is_rate:
                self.open(place, 0, 0.0)
            row = self._execute(self._select(self._account, "used", lock=True), place)
            if row is None:
                missing.append(place)
            elif is_rate:
                before = self._execute(
                    self._select(self._account, "used"), place._replace(window_start=place.window_start - MINUTE)
                )
                known[place] = ceil(sliding(whole_number(before), whole_number(row), now))
            else:
                reserved = self._execute(
                    f"{self._select(self._reservation, 'coalesce(sum(amount), 0)')} AND expires_at > {self._mark}",
                    [*place, now],
                )
                known[place] = whole_number(row) + whole_number(reserved)
        if missing:
            raise Missing(missing)
        return known

    def open(self, place: Place, used: int, read_at: float) -> None:
        """Unless it is open."""
        self._execute(
            f"INSERT INTO {self._account} (budget, part, window_start, used, read_at) VALUES "
            f"({self._dialect.marks(5)}) ON CONFLICT (budget, part, window_start) DO NOTHING",
            [*place, used, read_at],
        )

    def reserve(self, taken: Sequence[tuple[UUID, Want]], expires_at: float) -> None:
        rows = [(self._id(reservation), *want.place, want.amount, expires_at) for reservation, want in taken
                if not want.is_rate]  # fmt: skip
        if rows:
            self._execute(
                f"INSERT INTO {self._reservation} (reservation, budget, part, window_start, amount, expires_at) VALUES "
                + ", ".join([f"({self._dialect.marks(6)})"] * len(rows)),
                [value for row in rows for value in row],
            )
        added: dict[Place, int] = {}
        for _, want in taken:
            if want.is_rate:
                added[want.place] = added.get(want.place, 0) + want.amount
        for place, amount in added.items():
            self._add(place, amount)

    def _add(self, place: Place, amount: int) -> None:
        self._execute(f"UPDATE {self._account} SET used = used + {self._mark} {self._where()}", [amount, *place])

    def settle(self, late: Settled, expires_at: float) -> None:
        if late.place is None:
            self._execute(
                f"DELETE FROM {self._reservation} WHERE reservation = {self._mark} AND segment IS NULL",
                [self._id(late.reservation)],
            )
        elif late.mark is None:
            self._add(late.place, late.amount)
        else:
            segment, position = late.mark
            stored_with = self._id(UUID(segment)) if segment else None  # None: the event could not be kept
            self._execute(
                f"UPDATE {self._reservation} SET amount = {self._mark}, expires_at = {self._mark}, "
                f"segment = {self._mark}, position = {self._mark} {self._where()} AND reservation = {self._mark}",
                [late.amount, expires_at, stored_with, position, *late.place, self._id(late.reservation)],
            )

    def renew(self, reservation: UUID, expires_at: float) -> None:
        self._execute(
            f"UPDATE {self._reservation} SET expires_at = {self._mark} "
            f"WHERE reservation = {self._mark} AND segment IS NULL",
            [expires_at, self._id(reservation)],
        )

    def _select(self, table: str, what: str, *, lock: bool = False) -> str:
        return f"SELECT {what} FROM {table} {self._where()}{self._dialect.for_update() if lock else ''}"

    def _where(self) -> str:
        return f"WHERE budget = {self._mark} AND part = {self._mark} AND window_start = {self._mark}"


def whole_number(row: Sequence[object] | None) -> int:
    return int(str(row[0])) if row is not None else 0


def open_account(
    store: Store,
    budgets: dict[str, Budget],
    read_part: Callable[[Store, Budget, str, int], tuple[float, int]],
    place: Place,
) -> None:
    """Begin with what events in the store have used."""
    budget = budgets.get(place.budget)
    read_at, used = read_part(store, budget, place.part, place.window_start) if budget is not None else (0.0, 0)
    store.change(lambda execute: Tables(execute, store).open(place, used, read_at))
