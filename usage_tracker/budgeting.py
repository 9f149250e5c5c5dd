"""What the leader does for the budgets of its host. Where there are none, nothing of them is loaded.

It reads them from the store with each second, and leaves what it has read in the spool folder, where the host's other
processes look (see `enforcing`). So budgets cost a host one reader, however many processes run.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from usage_tracker.budgets import VIEW_FILE
from usage_tracker.config import Settings
from usage_tracker.forking import undivided

if TYPE_CHECKING:
    from decimal import Decimal

    from usage_tracker.budgets.alerts import Alerts
    from usage_tracker.budgets.budget import Budget
    from usage_tracker.budgets.refresh import Refresher
    from usage_tracker.budgets.view import View, ViewFile
    from usage_tracker.budgets.windows import Window
    from usage_tracker.stores import Store

FIRST_LOOKS_SECONDS = 2.0
"""How often it is looked whether there are budgets, where there are none."""
UNUSUAL_SECONDS = 60.0
LAST_ALERT_SECONDS = 1.0


class Begun(NamedTuple):
    """What it takes, from when there is a budget or somebody to alert."""

    refresher: "Refresher"
    file: "ViewFile"
    alerts: "Alerts"


class Budgeting:
    """See Chore. Reads the budgets, tells the host's processes of them, and alerts."""

    def __init__(
        self,
        settings: Settings,
        use: "Callable[[View], None]" = lambda view: None,
        dropped: Callable[[], int] = lambda: 0,
        *,
        alerts: bool = True,
        once: bool = False,
    ) -> None:
        """`use`: what holds this process's own calls to budgets. `alerts`: not for who only tells its neighbours of a
        budget: the log of who ships is where they are looked for. `once`: at the end, alerts are waited for, however
        long their receivers take."""
        self._settings = settings
        self._alerting = alerts
        self._last_alert_seconds = None if once else LAST_ALERT_SECONDS
        self._use = use
        self._dropped = dropped
        """How many events of this process are lost: where the disk is full, that isn't noted in the folder."""
        self._told_dropped = 0
        self._begun: Begun | None = None
        self._unusual_at = 0.0
        self._look_at = 0.0

    def load(self) -> None:
        """Nothing: most hosts have no budget."""

    def __call__(self, store: "Store", *, last: bool = False) -> None:
        """Look at the budgets, unless it is too early for that. `last`: who comes next finds what is known now. Raises
        StoreError."""
        if self._begun is None:
            if last or not self._is_needed(store):
                return
            self._begun = self._begin()
        refresher, file, alerts = self._begun
        view = refresher.refresh(store, last=last)
        if view is not None:
            file.save(view)
            self._use(view)
            self._notice_unusual(store, alerts)
            alerts.send_later()
        if last:
            alerts.wait(self._last_alert_seconds)

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
        if os.path.exists(self._settings.spool_dir / VIEW_FILE):
            return True
        return any(store.select(f"SELECT 1 FROM {store.dialect.prefix}budget LIMIT 1"))  # noqa: S608  our own name

    def _begin(self) -> Begun:
        with undivided():
            from usage_tracker.budgets.alerts import Alerts, budget_alerts
            from usage_tracker.budgets.receivers import receivers_of
            from usage_tracker.budgets.refresh import Refresher
            from usage_tracker.budgets.view import ViewFile
            from usage_tracker.spending import read_used, read_usual
            from usage_tracker.stores import open_store

        dsn = self._settings.dsn
        assert dsn is not None, "who leads knows the store"
        file = ViewFile(self._settings.spool_dir, self._settings.spool_group)
        if self._settings.budgets == "wait":
            file.ask_for()
        alerts = Alerts(receivers_of(self._settings) if self._alerting else [], lambda: open_store(dsn))

        def notice(store: "Store", budget: "Budget", window: "Window", used: "Mapping[str, Decimal]") -> None:
            alerts.notice(store, budget_alerts(budget, window, used))

        refresher = Refresher(self._settings.spool_dir, read_used, read_usual, notice if self._alerting else None)
        return Begun(refresher, file, alerts)

    def _notice_unusual(self, store: "Store", alerts: "Alerts") -> None:
        """Where somebody wants to hear of it."""
        if alerts.has_receivers and time.monotonic() >= self._unusual_at:
            with undivided():
                from usage_tracker.journal.aside import noted_since
                from usage_tracker.unusual import look_for, today

            self._unusual_at = time.monotonic() + UNUSUAL_SECONDS
            own = self._dropped()
            lost = noted_since(self._settings.spool_dir, today()) or (own if own > self._told_dropped else 0)
            alerts.notice(store, look_for(store, lost, self._settings.host))
            self._told_dropped = own
