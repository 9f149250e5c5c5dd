"""Strict budgets: what calls may use, reserved in the store before they are made and settled after.

One thread of the process talks to the store, and takes all calls that wait into one transaction, which locks the
budgets' rows in one order. What is known to be used, by events, plus what is reserved never exceeds the limit. A
reservation goes when its event is among what is known; that of a process that died expires.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from uuid import UUID, uuid4

from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.reservation_tables import (
    Missing,
    Refused,
    Settled,
    Tables,
    Want,
    open_account,
)
from usage_tracker.budgets.windows import hours_of
from usage_tracker.errors import StoreError, StoreUnavailable
from usage_tracker.forking import undivided
from usage_tracker.guard import guarded
from usage_tracker.stores import Store
from usage_tracker.stores.store import Execute
from usage_tracker.threads import start_lasting

logger = logging.getLogger("usage_tracker")

EXPIRE_SECONDS = 90.0
"""How long a reservation lives without its process."""
RENEW_SECONDS = 20.0
LONGEST_WINDOW = 32 * 86_400.0
"""Of the calendar."""
AT_ONCE = 256
IDLE_SECONDS = 5.0
RETRY_SECONDS = 0.2
MOST_WAITING = 10_000
"""What has to be settled beyond that, while the store can't be reached, expires."""


class Asked:
    """A call that waits for its reservation."""

    def __init__(self, wants: Iterable[Want]) -> None:
        self.reservation = uuid4()
        self.wants = tuple(sorted(wants))
        """Once there is an answer, as they were taken."""
        self.answer: Future[Refused | None] = Future()


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
        self._lock = threading.RLock()
        """Re-entrant: the garbage collector may end a stream, and so settle a call, while the thread is started."""
        self._thread: threading.Thread | None = None
        self._starting = False
        self._ends = False
        """Whether the thread ends when nothing waits."""
        self._under_way: set[UUID] = set()
        """What has to be renewed; not what limits per minute gave, which is used, and of most calls never settled."""
        self._renew_at = 0.0
        INHERITED.append(self._store)
        self._store = None
        self.busy_since: float | None = None
        """Since when the store has left a request unanswered, by the monotonic clock."""

    def ask(self, wants: Iterable[Want]) -> Asked:
        """Reserve; the answer comes later, with StoreError where the store can't be reached."""
        asked = Asked(wants)
        self._put(asked)
        return asked

    def settle(self, settled: Settled) -> None:
        self._put(settled)

    def give_back(self, asked: Asked) -> None:
        """Nobody wants any more what was given, if it was. What limits per minute gave is used, not reserved."""
        answer = asked.answer
        if not answer.cancelled() and answer.exception() is None and answer.result() is None:
            self._put(Settled(asked.reservation, None))
            for want in asked.wants:
                if want.is_rate and want.amount:
                    self._put(Settled(asked.reservation, want.place, -want.amount))

    def is_silent(self, seconds: float) -> bool:
        """Whether the store has left a request unanswered for so long."""
        since = self.busy_since
        return since is not None and since < time.monotonic() - seconds

    def _put(self, request: "Asked | Settled") -> None:
        self._queue.put(request)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._starting:
                self._starting = True
                try:
                    self._thread = start_lasting("reservations", self._run)
                finally:
                    self._starting = False

    def drain(self, deadline: float) -> None:
        """At the end, let what is settled reach the store until then (monotonic); then the thread ends."""
        while self._thread is not None and not self._idle and time.monotonic() < deadline:
            time.sleep(0.005)
        self._ends = True

    @property
    def _idle(self) -> bool:
        return self._queue.empty() and self.busy_since is None

    def _run(self) -> None:
        with self._lock:
            if self._thread not in (None, threading.current_thread()):
                return  # who started this one was interrupted, and another one was started
            self._thread = threading.current_thread()
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
                self._under_way -= {late.reservation for late in settled}  # they are not renewed any more, and expire
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
            with undivided():  # a child would have half of what is imported for it
                self._store = self._open_store()
        store = self._store
        while True:
            try:
                answers = store.change(lambda execute: self._transact(execute, store, asked, settled))
            except Missing as missing:
                for place in missing.places:
                    open_account(store, self.budgets, self._read_part, place)
            else:
                self._under_way |= {
                    each.reservation
                    for each in asked
                    if answers[each.reservation] is None and not all(want.is_rate for want in each.wants)
                }
                self._under_way -= {each.reservation for each in settled}
                return answers

    def _transact(
        self, execute: Execute, store: Store, asked: Sequence[Asked], settled: Sequence[Settled]
    ) -> dict[UUID, Refused | None]:
        tables = Tables(execute, store)
        now = tables.now()
        for each in asked:
            each.wants = tuple(want.at(now) for want in each.wants)
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
            tables.settle(late, now + self._counts_for(late))
        if self._under_way and time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + RENEW_SECONDS
            for reservation in self._under_way:
                tables.renew(reservation, now + EXPIRE_SECONDS)
        return answers

    def _counts_for(self, late: Settled) -> float:
        """How long what a call has used counts while its event isn't stored: as long as the window, for it was spent,
        whatever becomes of the event."""
        budget = self.budgets.get(late.place.budget) if late.place is not None else None
        hours = hours_of(budget.per) if budget is not None else None
        return LONGEST_WINDOW if hours is None else hours * 3600.0

    def _give_up(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


INHERITED: list[Store | None] = []
"""Connections of a parent process, which its child must not close."""
