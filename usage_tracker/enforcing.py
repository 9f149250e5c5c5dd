"""How a process comes to know of budgets and is held to them. Where there are none, nothing of them is loaded.

The process that leads the spool folder reads them from the store with each second, and leaves what it has read in the
folder; the others look there. So budgets cost a host one reader, however many processes run.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from usage_tracker.config import Settings
from usage_tracker.forking import undivided
from usage_tracker.guard import guarded

if TYPE_CHECKING:
    from decimal import Decimal

    from usage_tracker.budgets.alerts import Alerts
    from usage_tracker.budgets.budget import Budget
    from usage_tracker.budgets.gate import Gate
    from usage_tracker.budgets.refresh import Refresher
    from usage_tracker.budgets.reservations import Ledger
    from usage_tracker.budgets.unit_prices import UnitPrices
    from usage_tracker.budgets.view import View, ViewFile
    from usage_tracker.budgets.windows import Window
    from usage_tracker.capture import Recorder
    from usage_tracker.journal import Journal
    from usage_tracker.stores import Store

FIRST_LOOKS_SECONDS = 2.0
"""How often it is looked whether there are budgets, where there are none."""
UNUSUAL_SECONDS = 60.0
LAST_ALERT_SECONDS = 1.0
OLD_SECONDS = 30.0
"""That there were no budgets so long ago is no answer to who waits for them."""


class Leading:
    """What the leader does for the budgets of its host: reads them, tells its neighbours, and alerts."""

    def __init__(
        self,
        settings: Settings,
        use: "Callable[[View], None] | None" = None,
        dropped: Callable[[], int] = lambda: 0,
        *,
        alerts: bool = True,
    ) -> None:
        """`alerts`: not for who only tells its neighbours of a budget: the log of who ships is where they are looked
        for."""
        self._settings = settings
        self._alerting = alerts
        self._use = use
        self._dropped = dropped
        """How many events of this process are lost: where the disk is full, that isn't noted in the folder."""
        self._told_dropped = 0
        self._refresher: Refresher | None = None
        self._file: ViewFile | None = None
        self._alerts: Alerts | None = None
        self._unusual_at = 0.0
        self._look_at = 0.0

    def load(self) -> None:
        """Nothing: most hosts have no budget."""

    def __call__(self, store: "Store", *, last: bool = False) -> None:
        """Look at the budgets, unless it is too early for that. `last`: who comes next finds what is known now. Raises
        StoreError."""
        if self._refresher is None:
            if last or not self._is_needed(store):
                return
            self._begin()
        assert self._refresher is not None
        assert self._file is not None
        assert self._alerts is not None
        view = self._refresher.refresh(store, last=last)
        if view is not None:
            self._file.save(view)
            if self._use is not None:
                self._use(view)
            self._notice_unusual(store)
            self._alerts.send_later()
        if last:
            self._alerts.wait(LAST_ALERT_SECONDS)

    def _is_needed(self, store: "Store") -> bool:
        """Whether there is a budget, or was, or somebody waits to hear of that, or of what is unusual. Raises
        StoreError."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + FIRST_LOOKS_SECONDS
        settings = self._settings
        if settings.alert_webhook or settings.alert_slack or settings.alert_smtp or settings.on_alert:
            return True
        if settings.budgets == "wait":
            return True
        if os.path.exists(self._settings.spool_dir / "budgets.json"):
            return True
        return any(store.select(f"SELECT 1 FROM {store.dialect.prefix}budget LIMIT 1"))  # noqa: S608  our own name

    def _begin(self) -> None:
        with undivided():
            from usage_tracker.budgets.alerts import Alerts
            from usage_tracker.budgets.receivers import receivers_of
            from usage_tracker.budgets.refresh import Refresher
            from usage_tracker.budgets.view import ViewFile
            from usage_tracker.spending import read_used, read_usual
            from usage_tracker.stores import open_store

        dsn = self._settings.dsn
        assert dsn is not None, "who leads knows the store"
        self._file = ViewFile(self._settings.spool_dir, self._settings.spool_group)
        if self._settings.budgets == "wait":
            self._file.ask_for()
        receivers, noticed = (receivers_of(self._settings), self._notice) if self._alerting else ([], None)
        self._alerts = Alerts(receivers, lambda: open_store(dsn))
        self._refresher = Refresher(self._settings.spool_dir, read_used, read_usual, noticed)

    def _notice(self, store: "Store", budget: "Budget", window: "Window", used: "Mapping[str, Decimal]") -> None:
        from usage_tracker.budgets.alerts import budget_alerts

        assert self._alerts is not None
        self._alerts.notice(store, budget_alerts(budget, window, used))

    def _notice_unusual(self, store: "Store") -> None:
        """Where somebody wants to hear of it."""
        assert self._alerts is not None
        if self._alerts.has_receivers and time.monotonic() >= self._unusual_at:
            with undivided():
                from usage_tracker.journal.aside import noted_since
                from usage_tracker.unusual import look_for, today

            self._unusual_at = time.monotonic() + UNUSUAL_SECONDS
            own = self._dropped()
            lost = noted_since(self._settings.spool_dir, today()) or (own if own > self._told_dropped else 0)
            self._alerts.notice(store, look_for(store, lost, self._settings.host))
            self._told_dropped = own


class Enforcing:
    """This process's budgets."""

    def __init__(
        self,
        settings: Settings,
        journal: "Journal",
        recorder: "Recorder",
        wake: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._recorder = recorder
        self._wake = wake
        self._path = settings.spool_dir / "budgets.json"
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
        if self._gate is not None:
            self._gate.tidy()

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
