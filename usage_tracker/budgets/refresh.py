"""What the leader of a host does every second or so: read the budgets and what was used of each from the store, for the
processes of the host, and bring the accounts of strict budgets up to date."""
# ruff: noqa: S608  names of tables and columns are our own

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from usage_tracker.budgets.accounts import start_of, window_of
from usage_tracker.budgets.amounts import limit_of, whole
from usage_tracker.budgets.book import read_budgets
from usage_tracker.budgets.budget import Budget, rolls
from usage_tracker.budgets.rights import lacking, role_of
from usage_tracker.budgets.scope import NOBODY, WHOLE
from usage_tracker.budgets.view import PriceBook, Usual, View
from usage_tracker.budgets.windows import Window
from usage_tracker.conditions import exactly
from usage_tracker.errors import RightsError
from usage_tracker.stores import Store
from usage_tracker.stores.clock import clock
from usage_tracker.stores.prices import newest_version, read_entries
from usage_tracker.stores.store import Execute, read_id

logger = logging.getLogger("usage_tracker")

REFRESH_SECONDS = 1.0
LOOK_SECONDS = 5.0
"""How often it is looked whether there are budgets, where there are none."""
PATIENCE = 10
"""Reading takes at most one part in so many of the leader's time, or with very many budgets one in two: what was read
has to be newer than `holding.FRESH_SECONDS`."""
LONGEST_PAUSE = 10.0
SLOW_SECONDS = 60.0
"""How often what changes slowly is read: what is usual, price books, and whether we may read what was spent."""
USUAL_SECONDS = 0.2
"""How long what is usual is read at a time: of each strict budget, its newest calls are looked for."""
READINGS = 2
"""How often positions and sums are read at most, where others store meanwhile."""
REMEMBERED_SECONDS = 120.0
"""How long a segment that was deleted is asked about: its writer may still hold entries of it."""
OVER_SECONDS = 86_400.0
"""How long the accounts of a window that is over are kept: by the clock of another host, it may not be."""
MOST_PARTS = 10_000
"""Of a budget for each user, those who have used most: all who have used theirs up, and at least so many."""


class Amount(Protocol):
    """What one part has used."""

    @property
    def amount(self) -> Decimal: ...


class Said(NamedTuple):
    """What the store says of all budgets, as nearly of one moment as can be: each of these was read before the next, so
    that sums have all that lies before the positions, and all that was there by the clock."""

    positions: Mapping[UUID, int]
    clock: float
    """The one that all processes share."""
    used: Mapping[Budget, Mapping[str, Amount]]


ReadUsed = Callable[[Store, Mapping[Budget, Window]], Mapping[Budget, Mapping[str, Amount]]]
ReadUsual = Callable[[Store, Budget, datetime], dict[str, Usual]]
Noticed = Callable[[Store, Budget, Window, Mapping[str, Decimal]], None]


class Refresher:
    """Reads views. Not thread-safe: the leader's thread runs it. `noticed` is told of each budget's figures."""

    def __init__(
        self, folder: Path, read_used: ReadUsed, read_usual: ReadUsual, noticed: Noticed | None = None
    ) -> None:
        self._folder = folder
        self._read_used = read_used
        self._read_usual = read_usual
        self._noticed = noticed
        self._segments: dict[UUID, float] = {}
        self._usual: dict[str, dict[str, Usual]] = {}
        self._usual_due: list[str] = []
        """Strict budgets of which it is to be read anew."""
        self._book: PriceBook | None = None
        self._any = False
        self._said_rights = False
        self._next = 0.0
        self._slow_next = 0.0

    def refresh(self, store: Store, *, last: bool = False) -> View | None:
        """The newest view; None where it is too early for another, or for the last one where there are no budgets.
        Raises StoreError."""
        started = time.monotonic()
        if not self._any if last else started < self._next:
            return None
        self._next = started + REFRESH_SECONDS
        read_at, budgets = time.time(), read_budgets(store)
        pause = REFRESH_SECONDS if budgets else LOOK_SECONDS
        try:
            view = self._read(store, read_at, budgets) if budgets else View(read_at=read_at)
        except RightsError:
            view, pause = self._may_not_read(store, budgets), SLOW_SECONDS
        self._any = bool(budgets)
        took = time.monotonic() - started
        self._next = started + max(pause, min(took * PATIENCE, LONGEST_PAUSE), took * 2)
        return view

    def _read(self, store: Store, read_at: float, budgets: list[Budget]) -> View:
        if rates := [budget for budget in budgets if budget.is_rate and budget.strict]:
            now = clock(store)
            for budget in rates:
                tidy_rate(store, budget, now)
        windows = {budget: window_of(budget, read_at) for budget in budgets if not budget.is_rate}
        said = self._read_used_by_now(store, read_at, windows)
        used: dict[str, dict[str, int]] = {}
        since: dict[str, int] = {}
        for budget, window in windows.items():
            parts = {part: each.amount for part, each in said.used[budget].items()}
            since[budget.name] = start_of(budget, read_at)
            amounts = {part: whole(amount, budget.measure) for part, amount in parts.items()}
            used[budget.name] = most_of(amounts, limit_of(budget))
            if budget.strict:
                update_accounts(store, budget, said.clock, since[budget.name], amounts, said.positions)
            if self._noticed is not None:
                self._noticed(store, budget, window, parts)
        self._read_slow(store, budgets, read_at)
        return View(
            read_at=read_at,
            budgets=budgets,
            used=used,
            since=since,
            stored={str(segment): said.positions.get(segment, 0) for segment in {*self._segments, *said.positions}},
            usual=self._usual,
            book=self._book,
        )

    def _read_used_by_now(self, store: Store, read_at: float, windows: Mapping[Budget, Window]) -> Said:
        """What is stored while the sums are read is among them, and after the positions: it would be counted as not yet
        stored as well. So both are read again where anything was; once, as somebody may store all the time."""
        segments = [*self._known_segments(read_at), *reserved_segments(store)]
        for _ in range(READINGS):
            positions, shared_now = store.positions(segments), clock(store)
            used = self._read_used(store, windows)
            if store.positions(segments) == positions:
                break
        return Said(positions, shared_now, used)

    def _may_not_read(self, store: Store, budgets: list[Budget]) -> View:
        """What was spent can't be known, so only those hold calls that are closed then. Raises StoreError."""
        if not self._said_rights:
            self._said_rights = True
            logger.warning("nobody is held to budgets from here, for %s", lacking(role_of(store)))
        return View(read_at=0.0, budgets=[budget for budget in budgets if budget.unreachable == "closed"])

    def _known_segments(self, now: float) -> list[UUID]:
        """This folder's, and those that were there until lately."""
        with suppress(OSError):
            for path in self._folder.glob("*.seg"):
                with suppress(ValueError):
                    self._segments[UUID(path.stem)] = now
        self._segments = {segment: at for segment, at in self._segments.items() if at > now - REMEMBERED_SECONDS}
        return list(self._segments)

    def _read_slow(self, store: Store, budgets: list[Budget], now: float) -> None:
        strict = {budget.name: budget for budget in budgets if budget.strict}
        self._usual_due = [name for name in self._usual_due if name in strict]
        if time.monotonic() >= self._slow_next:
            self._slow_next = time.monotonic() + SLOW_SECONDS
            self._usual = {name: usual for name, usual in self._usual.items() if name in strict}
            self._usual_due += strict.keys() - set(self._usual_due)
            self._read_book(store)
        moment, deadline = datetime.fromtimestamp(now, UTC), time.monotonic() + USUAL_SECONDS
        while self._usual_due and time.monotonic() < deadline:
            name = self._usual_due.pop(0)
            self._usual = {**self._usual, name: self._read_usual(store, strict[name], moment)}

    def _read_book(self, store: Store) -> None:
        version = newest_version(store)
        if version is not None and (self._book is None or self._book.version != version):
            encoder = msgspec.json.Encoder(decimal_format="number")
            entries = [encoder.encode(entry).decode() for entry in read_entries(store, version)]
            self._book = PriceBook(version, entries)


def most_of(amounts: Mapping[str, int], limit: int) -> dict[str, int]:
    """What neighbours are told: see MOST_PARTS."""
    if len(amounts) <= MOST_PARTS:
        return dict(amounts)
    over = sum(amount >= limit for amount in amounts.values())
    return dict(sorted(amounts.items(), key=lambda pair: -pair[1])[: max(MOST_PARTS, over)])


def reserved_segments(store: Store) -> list[UUID]:
    """The segments that settled reservations wait for."""
    rows = store.select(
        f"SELECT DISTINCT segment FROM {store.dialect.prefix}budget_reservation WHERE segment IS NOT NULL"
    )
    return [read_id(segment) for (segment,) in rows]


def read_part(read_used: ReadUsed, store: Store, budget: Budget, part: str, window_start: int) -> tuple[float, int]:
    """When reading began, by the shared clock, and what events have used of one part of a budget. Raises StoreError."""
    read_at = clock(store)
    window = window_of(budget, time.time())
    narrowed = budget
    if budget.each is not None and part != WHOLE:
        test = exactly(budget.each, None if part == NOBODY else part)
        narrowed = msgspec.structs.replace(budget, where=(*budget.where, test))
    found = read_used(store, {narrowed: window})[narrowed].get(part)
    if found is None or window_start != start_of(budget, time.time()):
        return read_at, 0
    return read_at, whole(found.amount, budget.measure)


def update_accounts(
    store: Store, budget: Budget, read_at: float, start: int, used: Mapping[str, int], positions: Mapping[UUID, int]
) -> None:
    """Take over what events have used, and let go of the reservations that are among it. Who has read later has more
    in its sums, and is not overwritten. Only parts that were used since are locked: of many, calls would wait for all.
    `read_at`: by the clock that all share. Raises StoreError."""
    prefix, mark = store.dialect.prefix, store.dialect.placeholder
    account, reservation = f"{prefix}budget_account", f"{prefix}budget_reservation"
    window, values = f"budget = {mark} AND window_start = {mark}", [budget.name, start]
    known = {str(part): was for part, was in store.select(f"SELECT part, used FROM {account} WHERE {window}", values)}
    sql = f"SELECT DISTINCT part FROM {reservation} WHERE {window} AND segment IS NOT NULL"
    settled = {str(part) for (part,) in store.select(sql, values)}
    # in the order in which calls lock them
    changed = sorted(part for part, was in known.items() if was != used.get(part, 0) or part in settled)

    def take_over(execute: Execute) -> None:
        for part in changed:
            execute(
                f"UPDATE {account} SET used = {mark}, read_at = {mark} WHERE {window} AND part = {mark} "
                f"AND read_at < {mark}",
                [used.get(part, 0), read_at, *values, part, read_at],
            )
        # only where an earlier reading, which lacks them, is not taken over any more
        read = (
            f"EXISTS (SELECT 1 FROM {account} a WHERE a.budget = {reservation}.budget AND a.part = {reservation}.part "
            f"AND a.window_start = {reservation}.window_start AND a.read_at >= {mark})"
        )
        for segment, position in positions.items():
            forget(
                execute, store, reservation,
                f"window_start = {mark} AND segment = {mark} AND position <= {mark} AND {read}",
                budget, start, store.dialect.write_id(segment), position, read_at,
            )  # fmt: skip
        over = start_of(budget, read_at - OVER_SECONDS)
        forget(execute, store, account, f"window_start < {mark}", budget, over)
        if rolls(budget):  # its window is never over
            unused = f"used = 0 AND part NOT IN (SELECT part FROM {reservation} WHERE budget = {mark})"
            forget(execute, store, account, unused, budget, budget.name)
        forget(execute, store, reservation, f"window_start < {mark}", budget, over)
        forget(execute, store, reservation, f"expires_at < {mark}", budget, read_at)

    store.change(take_over)


def forget(execute: Execute, store: Store, table: str, condition: str, budget: Budget, *values: object) -> None:
    """The rows of a budget of which that is so, but for those that calls are changing now, which wait for the next
    look: calls lock several at a time, in an order of their own, and each would wait for the other."""
    key = "budget, part, window_start" + (", reservation" if table.endswith("reservation") else "")
    mark, unlocked = store.dialect.placeholder, store.dialect.for_update(skip_locked=True)
    execute(
        f"DELETE FROM {table} WHERE ({key}) IN "
        f"(SELECT {key} FROM {table} WHERE budget = {mark} AND {condition}{unlocked})",
        [budget.name, *values],
    )


def tidy_rate(store: Store, budget: Budget, now: float) -> None:
    """The minutes of a limit of the rate are of no use once they are over, by the clock that all share. Raises
    StoreError."""
    account, over = f"{store.dialect.prefix}budget_account", f"window_start < {store.dialect.placeholder}"
    store.change(lambda execute: forget(execute, store, account, over, budget, int(now) - 300))
