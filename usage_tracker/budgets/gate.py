"""Whether a call may be made at once: an in-memory check that takes about a microsecond. Where it fails, see `holding`.

Without `strict`, what others have used is known as of the last look into the store, and this process's own calls are
added when they end. So a limit is passed by at most what others use within `SEEN_SECONDS`, plus all calls under way.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from usage_tracker.budgets.accounts import Accounts, Mark, Match
from usage_tracker.budgets.holding import Holding, Seen
from usage_tracker.budgets.refusals import Log
from usage_tracker.budgets.reservations import Ledger
from usage_tracker.budgets.reserving import Reserving
from usage_tracker.budgets.scope import Described, Scopes, parts_of
from usage_tracker.budgets.unit_prices import PLAIN_INPUT, Kind, UnitPrices, kind_of, total
from usage_tracker.budgets.view import View
from usage_tracker.capture import Call
from usage_tracker.capture.admission import Hold
from usage_tracker.event import CallKind, Origin, Told, UsageEvent
from usage_tracker.providers.counts import Words, counts_of
from usage_tracker.providers.told import event_of, told_as_read

SEEN_SECONDS = 4.0
"""After how long the store's sums have an event, and every process knows: a second each for the batch to fill, for the
leader's round and its reading, and for the neighbours to look. Longer where TRACKER_BATCH_SECONDS is."""
MOST_MATCHES = 8192


class Gate:
    """The budgets of one process. See `capture.admission.Gate`."""

    def __init__(
        self, prices: UnitPrices, ledger: Ledger | None, place: Callable[[], tuple[str, int]], wake: Callable[[], None]
    ) -> None:
        self._prices = prices
        self._place = place
        """See `Journal.place`."""
        self._accounts = Accounts()
        self._scopes = Scopes(())
        self._matches: dict[CallKind | tuple[int, str | None, str], Match] = {}
        """By what calls have in common, or by the origin, the model that was asked for and the operation."""
        self._told: dict[tuple[CallKind, Words], tuple[Match, Kind]] = {}
        """What calls count in and how they are priced, by their kind and the words of their answers."""
        self._unpriced: deque[tuple[Origin, UsageEvent, Mark]] = deque()
        """Calls that ended before price data was loaded."""
        self._seen = Seen()
        log = Log()
        self._reserving = Reserving(ledger, self._accounts, prices, place, log)
        self._holding = Holding(
            self._seen, self._accounts, prices, self._reserving, self._match, self._unpriced, wake, log
        )

    def use(self, view: View) -> None:
        """Go on from what the store says now."""
        with self._accounts.lock:
            if view.budgets != self._accounts.view.budgets:
                self._scopes = Scopes(budget for budget in view.budgets if budget.enforces)
            if self._accounts.take(view) or len(self._matches) > MOST_MATCHES or len(self._told) > MOST_MATCHES:
                self._matches, self._told = {}, {}
            self._seen.read_at(view.read_at)
        if (ledger := self._reserving.ledger) is not None:
            ledger.budgets = {budget.name: budget for budget in view.budgets}
        while self._prices.ready and self._unpriced:
            self.spent(*self._unpriced.popleft())

    def tidy(self) -> None:
        """Now and then, off the app's path: bound what is kept of calls while the store takes nothing, and let what is
        known of it grow old."""
        self._accounts.tidy()
        self._seen.grow_old()

    def after_fork(self) -> None:
        self._accounts.keep_parents()
        self._unpriced.clear()
        if (ledger := self._reserving.ledger) is not None:
            ledger.start_anew()

    def admit(self, call: Call, body: object) -> Hold | None:
        kind = call.kind
        match = self._matches.get(kind) if kind is not None else None
        if match is None:
            match = self._match_of(call)
        accounts = match.accounts
        now = time.time()
        if now >= self._seen.fresh_until:
            if not accounts and self._seen.known:
                return None
            return self._holding.hold(call, Described(*call.described()), body)
        for account in accounts:
            if account.own >= account.ceiling or now >= account.until:
                return self._holding.hold(call, Described(*call.described()), body)
        if accounts and self._unpriced:
            return self._holding.hold(call, Described(*call.described()), body)
        return None

    def _match_of(self, call: Call) -> Match:
        origin, model, operation = call.described()
        match = self._matches.get((id(origin), model, operation)) or self._match(origin, model, operation)
        if call.kind is not None and len(self._matches) < 2 * MOST_MATCHES:
            self._matches[call.kind] = match
        return match

    def spent(self, origin: Origin, event: UsageEvent, mark: Mark | None = None) -> Match:
        """A call of this process has ended, and is in the journal; at the mark, or only just. What it counts in."""
        key = id(origin), event.request_model, event.operation
        match = self._matches.get(key) or self._match(origin, event.request_model, event.operation)
        if not match.accounts:
            return match
        if mark is None:
            mark = self._place()
        cost = 0
        if match.cost:
            if not self._prices.ready:
                self._unpriced.append((origin, event, mark))
                return match
            cost = self._prices.cost(origin, event) or 0
        usage = event.usage
        tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        self._accounts.add(mark, event.started_at, match, cost, tokens, 1 if event.completes is None else 0)
        return match

    def told(self, kind: CallKind, told: tuple[Any, ...]) -> None:
        """As `spent`, of a call whose answer is still to be read. A few of its numbers are enough, once another one
        like it was read."""
        counts = counts_of(kind, told[-1])
        if counts is None:
            self._read(kind, told)
            return
        into, out, cached, words = counts
        known = self._told.get((kind, words))
        if known is None:
            self._told[kind, words] = self._read(kind, told)
            return
        match, priced = known
        if not match.accounts:
            return
        cost = 0
        if match.cost:
            units = self._prices.units.get(priced)
            if units is None or into > PLAIN_INPUT:
                self._read(kind, told)
                return
            cost = total(units, into, out, cached)
        self._accounts.add(self._place(), told[0], match, cost, into + out, 1)

    def _read(self, kind: CallKind, told: tuple[Any, ...]) -> tuple[Match, Kind]:
        """What such calls count in, and how they are priced."""
        origin, event = event_of(kind, Told(*(*told[:-1], told_as_read(told[-1]))))
        return self.spent(origin, event), kind_of(origin, event)

    def _match(self, origin: Origin, model: str | None, operation: str) -> Match:
        call = Described(origin, model, operation)
        with self._accounts.lock:
            match = Match(
                origin,
                tuple(
                    self._accounts.of(budget, part)
                    for budget in self._scopes.of(call)
                    for part in parts_of(budget, call)
                ),
            )
            if len(self._matches) < 2 * MOST_MATCHES:
                self._matches[id(origin), model, operation] = match
        return match
