"""Alerts, each sent once however many processes run: a row of the store with a unique key is what is sent.

Who leads a host notices and inserts the row, unless it is there, and logs what is new. A thread of its own takes what
is due, by moving the time of the next attempt, and sends it. All of these times are the store's clock's. So an alert
comes twice only where a process dies between sending and saying so. Where nobody is named, a row says that it is in a
log.
"""
# ruff: noqa: S608  names of tables and columns are our own

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from usage_tracker.budgets.amounts import show
from usage_tracker.budgets.budget import Budget, rolls
from usage_tracker.budgets.receivers import Message, Receiver
from usage_tracker.budgets.scope import named
from usage_tracker.budgets.windows import Window
from usage_tracker.errors import RightsError, StoreError
from usage_tracker.guard import guarded
from usage_tracker.outgoing import NotSent
from usage_tracker.stores import Store
from usage_tracker.stores.clock import clock_within
from usage_tracker.stores.store import Execute, takes_effect
from usage_tracker.threads import start_thread

logger = logging.getLogger("usage_tracker")

LOOK_SECONDS = 5.0
LEASE_SECONDS = 60.0
"""An attempt takes less."""
FIRST_RETRY = 5.0
LONGEST_RETRY = 900.0
MOST_TRIES = 20
"""About three hours; then it is given up, and said."""
LOG = "log"
"""The receiver of what only a log was told."""
KEPT_SECONDS = 90 * 86_400


class Alert(NamedTuple):
    subject: str
    """A budget's name, or `anomaly`, `unpriced`, `dropped`."""
    part: str
    window_start: int
    threshold: str
    message: Message


def budget_alerts(budget: Budget, window: Window, used: Mapping[str, Decimal]) -> list[Alert]:
    """For each part, the shares of the limit that it has reached. A rolling window alerts once a day."""
    start = int(window.end.timestamp()) // 86_400 * 86_400 if rolls(budget) else int(window.start.timestamp())
    return [
        Alert(budget.name, part, start, f"{share:f}", said(budget, part, window, amount, share))
        for part, amount in used.items()
        for share in budget.thresholds
        if amount >= budget.limit * share
    ]


def said(budget: Budget, part: str, window: Window, amount: Decimal, share: Decimal) -> Message:
    whose = named(part)
    name = f"{budget.name} of {whose}" if whose else budget.name
    spent, limit = show(amount, budget.measure), show(budget.limit, budget.measure)
    text = (
        f"Budget {name}: {spent} of {limit} per {budget.per} used ({float(amount / budget.limit):.0%}), {budget.scope}."
    )
    if share >= 1 and budget.enforces:
        text += {"block": " Calls are refused.", "throttle": " Calls are held back."}[budget.on_limit]
    return {
        "kind": "budget",
        "text": text,
        "budget": budget.name,
        "part": whose,
        "scope": budget.scope,
        "threshold": f"{share:f}",
        "spent": f"{amount:f}",
        "limit": f"{budget.limit:f}",
        "measure": budget.measure,
        "per": budget.per,
        "window_start": window.start.isoformat(),
        "window_end": None if rolls(budget) else window.end.isoformat(),
    }


class Alerts:
    """What one leader notices and sends."""

    def __init__(self, receivers: Sequence[Receiver], open_store: Callable[[], Store]) -> None:
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._open_store = open_store
        self._raised: dict[str, Raised] = {}
        """By their subject, those of its newest window: of earlier ones nothing is noticed any more."""
        self._thread: threading.Thread | None = None
        self._look_at = 0.0

    @property
    def has_receivers(self) -> bool:
        return bool(self._receivers)

    def notice(self, store: Store, alerts: Sequence[Alert]) -> None:
        """Raise what is new. Raises StoreError."""
        fresh = [alert for alert in alerts if not self._was_raised(alert)]
        if not fresh:
            return
        for alert in self._raise(store, fresh):
            logger.warning("%s", alert.message["text"])
        for alert in fresh:
            self._remember(alert)

    def _raise(self, store: Store, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Note them in the store; those that weren't. Raises StoreError."""
        receivers = list(self._receivers) or [LOG]
        try:
            known = raised_before(store, alerts)
            lacking = [alert for alert in alerts if any((*alert[:4], each) not in known for each in receivers)]
            # no writing for nothing, as with each run of a program that cron starts
            new = store.change(lambda execute: insert(execute, store, lacking, receivers)) if lacking else []
        except RightsError:
            if self._receivers:
                raise
            return alerts  # a role that may note none: each who leads tells them
        if self._receivers and new:
            self._look_at = 0.0  # at once: the program may be about to end
        return new

    def _was_raised(self, alert: Alert) -> bool:
        raised = self._raised.get(alert.subject)
        return raised is not None and raised.limit == limit_of(alert) and (alert.part, alert.threshold) in raised.at

    def _remember(self, alert: Alert) -> None:
        raised, limit = self._raised.get(alert.subject), limit_of(alert)
        if raised is None or raised.limit != limit:
            raised = self._raised[alert.subject] = Raised(limit, set())
        raised.at.add((alert.part, alert.threshold))

    def send_later(self) -> None:
        """Send what is due in a thread of its own, unless one is at it."""
        now = time.monotonic()
        if not self._receivers or now < self._look_at or (self._thread is not None and self._thread.is_alive()):
            return
        self._look_at = now + LOOK_SECONDS
        self._thread = start_thread("alerts", self._send_guarded)

    def wait(self, seconds: float | None) -> None:
        """At the end, for what is being sent; each attempt has a bound of its own."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _send_guarded(self) -> None:
        with guarded("send alerts"):
            try:
                with closing(self._open_store()) as store:
                    self.send(store)
            except StoreError as error:
                logger.debug("alerts are sent later: %s", error)

    def send(self, store: Store) -> None:
        """Send what is due. Whoever doesn't take an alert gets no other this time: nobody waits for somebody else's
        silence, once for each alert. Raises StoreError."""
        asked = dict.fromkeys(self._receivers)
        while asked and (due := store.change(lambda execute: take(execute, store, list(asked)))) is not None:
            try:
                self._receivers[due.receiver].send(due.message)
            except NotSent as reason:
                del asked[due.receiver]
                delay = min(LONGEST_RETRY, max(FIRST_RETRY * 2 ** (due.tries - 1), reason.after or 0.0))
                if due.tries >= MOST_TRIES:
                    logger.error("an alert is given up: %s", reason)
                    delay = KEPT_SECONDS
                else:
                    logger.warning("an alert could not be sent, and is tried again in %d s: %s", delay, reason)
                note(store, due, "next_try_at", delay)
            else:
                note(store, due, "sent_at")


class Raised(NamedTuple):
    """What was raised of one subject."""

    limit: tuple[object, ...]
    at: set[tuple[str, str]]
    """The parts and the thresholds that they have reached."""


def limit_of(alert: Alert) -> tuple[object, ...]:
    """The window, and what is limited in it. Of a budget that limits something else now, an alert is another."""
    return (alert.window_start, *(alert.message.get(name) for name in ("limit", "measure", "per", "scope")))


class Due(NamedTuple):
    """An alert to be sent by this process now."""

    key: tuple[object, ...]
    receiver: str
    message: Message
    tries: int


KEY = ("subject", "part", "window_start", "threshold", "receiver")


def raised_before(store: Store, alerts: Sequence[Alert]) -> set[tuple[object, ...]]:
    """The keys that are there, of their subjects and windows. Raises StoreError."""
    mark = store.dialect.placeholder
    table = f"{store.dialect.prefix}budget_alert"
    sql = f"SELECT {', '.join(KEY)} FROM {table} WHERE subject = {mark} AND window_start = {mark}"
    asked = sorted({(alert.subject, alert.window_start) for alert in alerts})
    return {tuple(row) for pair in asked for row in store.select(sql, pair)}


def insert(execute: Execute, store: Store, alerts: Sequence[Alert], receivers: Sequence[str]) -> list[Alert]:
    """Those of which a row was not there."""
    mark, now = store.dialect.placeholder, clock_within(execute, store.dialect)
    columns = (*KEY, "message", "raised_at", "next_try_at", "sent_at")
    sql = (
        f"INSERT INTO {store.dialect.prefix}budget_alert ({', '.join(columns)}) "
        f"VALUES ({store.dialect.marks(len(columns))}) ON CONFLICT ({', '.join(KEY)}) DO NOTHING"
    )
    new = []
    # in one order, so that two leaders don't wait for each other
    for alert in sorted(alerts, key=lambda alert: alert[:4]):
        identity = hashlib.blake2b(repr((*alert[:4], *limit_of(alert)[1:])).encode(), digest_size=12).hexdigest()
        message = json.dumps({"id": identity, "at": datetime.now(UTC).isoformat(), **alert.message})
        written = [
            takes_effect(
                execute,
                store.dialect,
                sql,
                [*alert[:4], receiver, message, now, now, now if receiver == LOG else None],
            )
            for receiver in sorted(receivers)
        ]
        if any(written):
            new.append(alert)
    execute(f"DELETE FROM {store.dialect.prefix}budget_alert WHERE raised_at < {mark}", [now - KEPT_SECONDS])
    return new


def take(execute: Execute, store: Store, receivers: Sequence[str]) -> Due | None:
    """One that is due, and nobody else's for a minute."""
    mark, table = store.dialect.placeholder, f"{store.dialect.prefix}budget_alert"
    now = clock_within(execute, store.dialect)
    row = execute(
        f"SELECT {', '.join(KEY)}, message, tries FROM {table} WHERE sent_at IS NULL AND next_try_at <= {mark} "
        f"AND tries < {mark} AND receiver IN ({store.dialect.marks(len(receivers))}) "
        f"ORDER BY raised_at LIMIT 1{store.dialect.for_update(skip_locked=True)}",
        [now, MOST_TRIES, *receivers],
    )
    if row is None:
        return None
    *key, message, tries = row
    execute(
        f"UPDATE {table} SET tries = tries + 1, next_try_at = {mark} WHERE {where(mark)}", [now + LEASE_SECONDS, *key]
    )
    return Due(tuple(key), str(key[-1]), json.loads(str(message)), int(str(tries)) + 1)


def note(store: Store, due: Due, column: str, seconds: float = 0.0) -> None:
    """`seconds`: in how many it is."""
    mark = store.dialect.placeholder
    sql = f"UPDATE {store.dialect.prefix}budget_alert SET {column} = {mark} WHERE {where(mark)}"
    store.change(lambda execute: execute(sql, [clock_within(execute, store.dialect) + seconds, *due.key]))


def where(mark: str) -> str:
    return " AND ".join(f"{name} = {mark}" for name in KEY)
