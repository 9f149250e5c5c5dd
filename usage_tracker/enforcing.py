"""How a process comes to know of budgets and has its calls held to them. Where there are none, nothing of them is
loaded: it looks in the spool folder for what the leader has read (see `budgeting`)."""

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from usage_tracker.budgets import VIEW_FILE
from usage_tracker.config import Settings
from usage_tracker.forking import undivided
from usage_tracker.guard import guarded

if TYPE_CHECKING:
    from usage_tracker.budgets.gate import Gate
    from usage_tracker.budgets.reservations import Ledger
    from usage_tracker.budgets.unit_prices import UnitPrices
    from usage_tracker.budgets.view import View, ViewFile
    from usage_tracker.capture import Recorder
    from usage_tracker.journal import Journal

OLD_SECONDS = 30.0
"""That there were no budgets so long ago is no answer to who waits for them."""


class Enforcing:
    """This process's budgets."""

    def __init__(self, settings: Settings, journal: "Journal", recorder: "Recorder", wake: Callable[[], None]) -> None:
        self._settings = settings
        self._journal = journal
        self._recorder = recorder
        self._wake = wake
        self._path = settings.spool_dir / VIEW_FILE
        self._file: ViewFile | None = None
        self._gate: Gate | None = None
        self._prices: UnitPrices | None = None
        self._ledger: Ledger | None = None
        self._view: View | None = None
        self._lock = threading.RLock()
        if settings.budgets != "off" and (settings.budgets == "wait" or os.path.exists(self._path)):
            with guarded("budgets"):
                self._begin()

    def _begin(self) -> None:
        """Calls are held to what a neighbour has read, or wait for it."""
        self.look(load_prices=False)
        if (
            self._settings.budgets == "wait"
            and self._recorder.gate is None
            and (self._view is None or self._view.read_at < time.time() - OLD_SECONDS)
        ):
            self._recorder.gate = self._made_gate()

    def look(self, *, load_prices: bool = True) -> None:
        """Take what a neighbour has read, if it is newer. `load_prices`: off the app's path, where that may take."""
        if self._gate is not None:
            self._gate.tidy()
        waits = self._settings.budgets == "wait" and self._view is None
        if self._settings.budgets == "off" or (self._file is None and not waits and not os.path.exists(self._path)):
            return
        if self._file is None:
            with undivided():
                from usage_tracker.budgets.view import ViewFile

            self._file = ViewFile(self._settings.spool_dir, self._settings.spool_group)
        if waits:
            self._file.ask_for()
        view = self._file.changed()
        if view is not None:
            self.use(view, load_prices=load_prices)
        elif load_prices and self._view is not None and self._prices is not None and not self._prices.ready:
            self.use(self._view)

    def use(self, view: "View", *, load_prices: bool = True) -> None:
        """Hold calls to these budgets from now on."""
        with self._lock:
            if self._settings.budgets == "off" or self._is_older(view):
                return
            self._view = view
            if not view.enforces:
                self._recorder.gate = None
                if self._gate is not None:
                    self._gate.use(view)  # who waits in it waits for no more
                return
            gate = self._made_gate()
            if load_prices and self._prices is not None:
                self._prices.load(view.book)
            gate.use(view)
            self._recorder.gate = gate

    def _is_older(self, view: "View") -> bool:
        """Whether what is known is newer; not where that is of a time to come, as the clock was set back."""
        return self._view is not None and view.read_at < self._view.read_at <= time.time()

    def _made_gate(self) -> "Gate":
        if self._gate is None:
            with undivided():
                from usage_tracker.budgets.gate import Gate
                from usage_tracker.budgets.unit_prices import UnitPrices

            self._prices = UnitPrices(self._settings.prices)
            self._ledger = self._made_ledger()
            self._gate = Gate(self._prices, self._ledger, self._journal.place, self._wake)
        return self._gate

    def _made_ledger(self) -> "Ledger | None":
        with undivided():
            from functools import partial

            from usage_tracker.budgets.refresh import read_part
            from usage_tracker.budgets.reservations import Ledger
            from usage_tracker.spending import read_used
            from usage_tracker.stores import open_store

        dsn = self._settings.dsn
        return None if dsn is None else Ledger(lambda: open_store(dsn), partial(read_part, read_used))

    def stop(self, deadline: float) -> None:
        """At the end, let strict budgets know what was used, until then (monotonic)."""
        if self._ledger is not None:
            self._ledger.drain(deadline)

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        if self._gate is not None:
            self._gate.after_fork()
