"""Strict budgets: what calls may use, reserved in the store before they are made and settled after.

One thread of the process talks to the store, and takes all calls that wait into one transaction, which locks the
budgets' rows in one order. What is known to be used, by events, plus what is reserved never exceeds the limit. A
reservation goes when its event is among what is known; that of a process that died expires.
"""
# ruff: noqa: S608  names of tables and columns are our own

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple
from uuid import UUID, uuid4

from usage_tracker.budgets.accounts import Mark
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.rates import MINUTE, sliding
from usage_tracker.errors import StoreError, StoreUnavailable
from usage_tracker.guard import guarded
from usage_tracker.stores import Store
from usage_tracker.stores.store import Execute
from usage_tracker.threads import start_thread

logger = logging.getLogger("usage_tracker")

EXPIRE_SECONDS = 90.0
"""How long a reservation lives without its process."""
RENEW_SECONDS = 20.0
SETTLED_SECONDS = 3600.0
"""How long a settled one waits for its event to be stored."""
AT_ONCE = 256
IDLE_SECONDS = 5.0
RETRY_SECONDS = 0.2
MOST_WAITING = 10_000
"""What has to be settled beyond that, while the store can't be reached, expires."""


class Place(NamedTuple):
    """One window of one part of a budget."""

    budget: str
    part: str
    window_start: int


class Want(NamedTuple):
    """What a call may use of one."""

    place: Place
    limit: int
    amount: int
    is_rate: bool = False


class Refused(NamedTuple):
    """Which had no room, and what was used and reserved of it."""

    want: Want
    used: int


class Asked(NamedTuple):
    """A call that waits for its reservation."""

    reservation: UUID
    wants: tuple[Want, ...]
    answer: "Future[Refused | None]"


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


class Ledger:
    """The thread that reserves and settles, from its first use on."""

    def __init__(
        self, open_store: Callable[[], Store], read_part: Callable[[Store, Budget, str, int], tuple[float, int]]
    ) -> None:
        self._open_store = open_store
        self._read_part = read_part
        """When reading began, and what events in the store have used of a part in a window."""
        self.budgets: dict[str, Budget] = {}
        self._store: Store | None = None
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child. The parent's connection isn't touched: its driver leaves it to the parent."""
        self._queue: queue.SimpleQueue[Asked | Settled] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends = False
        """Whether the thread ends when nothing waits."""
        self._under_way: set[UUID] = set()
        self._renew_at = 0.0
        INHERITED.append(self._store)
        self._store = None
        self.busy_since: float | None = None
        """Since when the store has left a request unanswered, by the monotonic clock."""

    def ask(self, wants: Iterable[Want]) -> Asked:
        """Reserve; the answer comes later, with StoreError where the store can't be reached."""
        asked = Asked(uuid4(), tuple(sorted(wants)), Future())
        self._put(asked)
        return asked

    def settle(self, settled: Settled) -> None:
        self._put(settled)

    def is_silent(self, seconds: float) -> bool:
        """Whether the store has left a request unanswered for so long."""
        since = self.busy_since
        return since is not None and since < time.monotonic() - seconds

    def _put(self, request: "Asked | Settled") -> None:
        self._queue.put(request)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = start_thread("reservations", self._run)

    def drain(self, deadline: float) -> None:
        """At the end, let what is settled reach the store until then (monotonic); then the thread ends."""
        while self._thread is not None and not self._idle and time.monotonic() < deadline:
            time.sleep(0.005)
        self._ends = True

    @property
    def _idle(self) -> bool:
        return self._queue.empty() and self.busy_since is None

    def _run(self) -> None:
        while not (self._ends and self._let_go()):
            with guarded("reserve"):
                self._round()

    def _let_go(self) -> bool:
        """Whether nothing waits, so that the thread may end: who puts something from here on starts another one."""
        with self._lock:
            thread, self._thread = self._thread, None
            if not self._queue.empty():
                self._thread = thread
                return False
            store, self._store = self._store, None
        if store is not None:
            with guarded("reserve"):
                store.close()
        return True

    def _round(self) -> None:
        requests = self._waiting()
        asked = [each for each in requests if isinstance(each, Asked) and each.answer.set_running_or_notify_cancel()]
        settled = [each for each in requests if isinstance(each, Settled)]
        self.busy_since = time.monotonic()
        try:
            answers = self._work(asked, settled)
        except StoreError as error:
            self._give_up()
            for each in asked:
                each.answer.set_exception(error)
            if settled and self._queue.qsize() < MOST_WAITING:
                for late in settled:
                    self._queue.put(late)
                time.sleep(RETRY_SECONDS)
        else:
            for each in asked:
                each.answer.set_result(answers[each.reservation])
        finally:
            self.busy_since = None
            for each in asked:
                if not each.answer.done():  # an error of ours, which the guard counts
                    each.answer.set_exception(StoreUnavailable("the reservation failed"))

    def _waiting(self) -> "list[Asked | Settled]":
        """All that waits, after a wait for the first."""
        found: list[Asked | Settled] = []
        try:
            found.append(self._queue.get(timeout=IDLE_SECONDS))
            while len(found) < AT_ONCE:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return found

    def _work(self, asked: Sequence[Asked], settled: Sequence[Settled]) -> dict[UUID, Refused | None]:
        if not asked and not settled and (not self._under_way or time.monotonic() < self._renew_at):
            return {}
        if self._store is None:
            self._store = self._open_store()
        store = self._store
        while True:
            try:
                answers = store.change(lambda execute: self._transact(execute, store, asked, settled))
            except Missing as missing:
                for place in missing.places:
                    open_account(store, self.budgets, self._read_part, place)
            else:
                self._under_way |= {reservation for reservation, refused in answers.items() if refused is None}
                self._under_way -= {each.reservation for each in settled}
                return answers

    def _transact(
        self, execute: Execute, store: Store, asked: Sequence[Asked], settled: Sequence[Settled]
    ) -> dict[UUID, Refused | None]:
        tables = Tables(execute, store)
        now = tables.now()
        answers: dict[UUID, Refused | None] = {}
        known = tables.lock({want.place: want for each in asked for want in each.wants}, settled, now)
        taken: list[tuple[UUID, Want]] = []
        for each in asked:
            refused = next(
                (
                    Refused(want, known[want.place])
                    for want in each.wants
                    if known[want.place] + want.amount > want.limit
                ),
                None,
            )
            answers[each.reservation] = refused
            if refused is None:
                for want in each.wants:
                    known[want.place] += want.amount
                    taken.append((each.reservation, want))
        tables.reserve(taken, now + EXPIRE_SECONDS)
        for late in settled:
            tables.settle(late, now + SETTLED_SECONDS)
        if self._under_way and time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + RENEW_SECONDS
            for reservation in self._under_way:
                tables.renew(reservation, now + EXPIRE_SECONDS)
        return answers

    def _give_up(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


INHERITED: list[Store | None] = []
"""Connections of a parent process, which its child must not close."""


class Tables:
    """The statements, within one transaction."""

    def __init__(self, execute: Execute, store: Store) -> None:
        self._execute = execute
        self._dialect = store.dialect
        prefix, self._mark = store.dialect.prefix, store.dialect.placeholder
        self._account, self._reservation = f"{prefix}budget_account", f"{prefix}budget_reservation"

    def now(self) -> float:
        """By the clock that all processes share."""
        if self._dialect.name != "postgres":
            return time.time()
        row = self._execute("SELECT extract(epoch FROM clock_timestamp())::float8", [])
        assert row is not None
        return float(str(row[0]))

    def lock(self, wants: dict[Place, Want], settled: Sequence[Settled], now: float) -> dict[Place, int]:
        """What is used and reserved of each place, which nobody else changes until this transaction ends. Raises
        Missing."""
        known, missing = {}, []
        rates = {late.place for late in settled if late.place is not None and late.mark is None and late.amount}
        for place in sorted({*wants, *rates}):
            is_rate = place in rates or wants[place].is_rate
            if is_rate:
                self._open_rate(place)
            row = self._execute(self._select(self._account, "used", lock=True), place)
            if row is None:
                missing.append(place)
            elif is_rate:
                before = self._execute(
                    self._select(self._account, "used"), place._replace(window_start=place.window_start - MINUTE)
                )
                known[place] = int(sliding(whole_number(before), whole_number(row), now))
            else:
                reserved = self._execute(
                    f"{self._select(self._reservation, 'coalesce(sum(amount), 0)')} AND expires_at > {self._mark}",
                    [*place, now],
                )
                known[place] = whole_number(row) + whole_number(reserved)
        if missing:
            raise Missing(missing)
        return known

    def _open_rate(self, place: Place) -> None:
        self._execute(
            f"INSERT INTO {self._account} (budget, part, window_start, used, read_at) VALUES "
            f"({self._marks(5)}) ON CONFLICT (budget, part, window_start) DO NOTHING",
            [*place, 0, 0.0],
        )

    def reserve(self, taken: Sequence[tuple[UUID, Want]], expires_at: float) -> None:
        rows = [(self._id(reservation), *want.place, want.amount, expires_at) for reservation, want in taken
                if not want.is_rate]  # fmt: skip
        if rows:
            self._execute(
                f"INSERT INTO {self._reservation} (reservation, budget, part, window_start, amount, expires_at) VALUES "
                + ", ".join([f"({self._marks(6)})"] * len(rows)),
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
            self._execute(
                f"UPDATE {self._reservation} SET amount = {self._mark}, expires_at = {self._mark}, "
                f"segment = {self._mark}, position = {self._mark} {self._where()} AND reservation = {self._mark}",
                [late.amount, expires_at, self._id(UUID(segment)), position, *late.place, self._id(late.reservation)],
            )

    def renew(self, reservation: UUID, expires_at: float) -> None:
        self._execute(
            f"UPDATE {self._reservation} SET expires_at = {self._mark} "
            f"WHERE reservation = {self._mark} AND segment IS NULL",
            [expires_at, self._id(reservation)],
        )

    def _select(self, table: str, what: str, *, lock: bool = False) -> str:
        locking = " FOR UPDATE" if lock and self._dialect.name == "postgres" else ""
        return f"SELECT {what} FROM {table} {self._where()}{locking}"

    def _where(self) -> str:
        return f"WHERE budget = {self._mark} AND part = {self._mark} AND window_start = {self._mark}"

    def _marks(self, count: int) -> str:
        return ", ".join([self._mark] * count)

    def _id(self, identity: UUID) -> object:
        return str(identity) if self._dialect.name == "postgres" else identity.bytes


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
    mark = store.dialect.placeholder
    sql = (
        f"INSERT INTO {store.dialect.prefix}budget_account (budget, part, window_start, used, read_at) VALUES "
        f"({', '.join([mark] * 5)}) ON CONFLICT (budget, part, window_start) DO NOTHING"
    )
    store.change(lambda execute: execute(sql, [*place, used, read_at]))
