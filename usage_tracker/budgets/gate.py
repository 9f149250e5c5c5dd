"""Whether a call may be made: an in-memory check that takes about a microsecond, and what is done where it fails.

Without `strict`, what others have used is known as of the last look into the store, and this process's own calls are
added when they end. So a limit is passed by at most what others use within `SEEN_SECONDS`, plus all calls under way.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from typing import Any

from usage_tracker.budgets import refusals
from usage_tracker.budgets.accounts import Account, Accounts, Mark, Match, start_of
from usage_tracker.budgets.estimates import estimate
from usage_tracker.budgets.rates import MINUTE
from usage_tracker.budgets.reservation_tables import Place, Refused, Settled, Want
from usage_tracker.budgets.reservations import Asked, Ledger
from usage_tracker.budgets.scope import Described, counts_in, parts_of
from usage_tracker.budgets.unit_prices import PLAIN_INPUT, Kind, UnitPrices, kind_of, total
from usage_tracker.budgets.view import View
from usage_tracker.capture import Call
from usage_tracker.capture.admission import Answered, Hold, Step
from usage_tracker.errors import BudgetExceeded, StoreError
from usage_tracker.event import CallKind, Origin, Told, UsageEvent
from usage_tracker.providers.counts import Words, counts_of
from usage_tracker.providers.told import event_of, told_as_read

logger = logging.getLogger("usage_tracker")

FRESH_SECONDS = 30.0
"""How old what the store said may be; after that, it counts as unreachable."""
SEEN_SECONDS = 4.0
"""After how long the store's sums have an event, and every process knows: a second each for the batch to fill, for the
leader's round and its reading, and for the neighbours to look. Longer where TRACKER_BATCH_SECONDS is."""
RECENT_SECONDS = 5.0
"""A call is held back or refused by what the store said so lately; before that, the store is asked again."""
FIRST_SECONDS = 2.0
"""How long a call may wait for the first look into the store."""
SILENT_SECONDS = 10.0
"""How long the store may leave the reservations of this process without an answer; then it counts as unreachable."""
RESERVE_SECONDS = 30.0
"""How long a call may wait for its turn, with a store that answers."""
STEP_SECONDS = 0.02
THROTTLE_STEP = 0.25
ANSWER_STEP = 1.0
QUIET_SECONDS = 60.0
MOST_MATCHES = 8192


class Gate:
    """The budgets of one process. See `capture.admission.Gate`."""

    def __init__(
        self, prices: UnitPrices, ledger: Ledger | None, place: Callable[[], tuple[str, int]], wake: Callable[[], None]
    ) -> None:
        self._prices = prices
        self._ledger = ledger
        """None: this process doesn't know the store, so nothing can be reserved."""
        self._place = place
        """See `Journal.place`."""
        self._wake = wake
        """Starts what looks into the store, where it doesn't run."""
        self._accounts = Accounts()
        self._matches: dict[CallKind | tuple[int, str | None, str], Match] = {}
        """By what calls have in common, or by the origin, the model that was asked for and the operation."""
        self._told: dict[tuple[CallKind, Words], tuple[Match, Kind]] = {}
        """What calls count in and how they are priced, by their kind and the words of their answers."""
        self._unpriced: deque[tuple[Origin, UsageEvent, Mark]] = deque()
        """Calls that ended before price data was loaded."""
        self._known = False
        self._fresh_until = 0.0
        self._recent_until = 0.0
        self._gave_up_at = -FRESH_SECONDS
        self._quiet_until: dict[str, float] = {}

    def use(self, view: View) -> None:
        """Go on from what the store says now."""
        with self._accounts.lock:
            if self._accounts.take(view) or len(self._matches) > MOST_MATCHES or len(self._told) > MOST_MATCHES:
                self._matches, self._told = {}, {}
            self._fresh_until = view.read_at + FRESH_SECONDS
            self._recent_until = view.read_at + RECENT_SECONDS
            self._known = True
        if self._ledger is not None:
            self._ledger.budgets = {budget.name: budget for budget in view.budgets}
        while self._prices.ready and self._unpriced:
            self.spent(*self._unpriced.popleft())

    def tidy(self) -> None:
        """Now and then, off the app's path: bound what is kept of calls while the store takes nothing."""
        self._accounts.tidy()

    def after_fork(self) -> None:
        self._accounts.keep_parents()
        self._unpriced.clear()
        if self._ledger is not None:
            self._ledger.start_anew()

    def admit(self, call: Call, body: object) -> Hold | None:
        kind = call.kind
        match = self._matches.get(kind) if kind is not None else None
        if match is None:
            match = self._match_of(call)
        accounts = match.accounts
        now = time.time()
        if now >= self._fresh_until:
            if not accounts and self._known:
                return None
            return self._hold(call, Described(*call.described()), body)
        for account in accounts:
            if account.own >= account.ceiling or now >= account.until:
                return self._hold(call, Described(*call.described()), body)
        if accounts and self._unpriced:
            return self._hold(call, Described(*call.described()), body)
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

    def used_of(self, account: Account, origin: Origin, event: UsageEvent) -> int:
        """What the call has used of it, in its measure; what is unknown is nothing, as in reports."""
        measure = account.budget.measure
        if measure == "cost":
            return self._prices.cost(origin, event) or 0
        if measure == "tokens":
            return (event.usage.input_tokens or 0) + (event.usage.output_tokens or 0)
        return 1 if event.completes is None else 0

    def _match(self, origin: Origin, model: str | None, operation: str) -> Match:
        call = Described(origin, model, operation)
        with self._accounts.lock:
            match = Match(
                origin,
                tuple(
                    self._accounts.of(budget, part)
                    for budget in self._accounts.view.budgets
                    if budget.enforces and counts_in(budget, call)
                    for part in parts_of(budget, call)
                ),
            )
            if len(self._matches) < 2 * MOST_MATCHES:
                self._matches[id(origin), model, operation] = match
        return match

    def _hold(self, call: Call, described: Described, body: object) -> Hold:
        yield from self._freshen()
        accounts = self._match(*described).accounts
        stale = time.time() >= self._fresh_until
        wants: list[tuple[Account, Want | None]] = []
        for account in accounts:
            if account.budget.measure == "cost" and (account.slow or self._unpriced):
                yield from self._need_prices(RESERVE_SECONDS if account.budget.strict else FIRST_SECONDS)
            if account.budget.unpriced == "refuse":
                self._check_price(account, described)
            if account.budget.strict:
                wants.append((account, self._want(account, described, body)))
            elif account.rate is not None:
                yield from self._pass_rate(account)
            else:
                if stale:
                    yield from self._pass_unknown(account)
                yield from self._pass_limit(account)
        if wants:
            yield from self._reserve(call, wants)

    def _freshen(self) -> Generator[Step, None, None]:
        """Wait for a look into the store where the last one was long ago; not again and again."""
        self._wake()  # a process whose calls are all refused would never look again
        if time.time() < self._recent_until:
            return
        now = time.monotonic()
        if now < self._gave_up_at + FRESH_SECONDS:
            return
        while time.time() >= self._recent_until:
            if time.monotonic() >= now + FIRST_SECONDS:
                self._gave_up_at = time.monotonic()
                if time.time() >= self._fresh_until:
                    self._warn(
                        "stale", "what budgets have used can't be read from the store; see `usage-tracker doctor`"
                    )
                return
            yield STEP_SECONDS

    def _need_prices(self, seconds: float) -> Generator[Step, None, None]:
        """Wait until price data is loaded, which is done in the background."""
        deadline = time.monotonic() + seconds
        while not self._prices.ready and time.monotonic() < deadline:
            yield STEP_SECONDS

    def _check_price(self, account: Account, described: Described) -> None:
        if self._prices.ready and self._prices.estimate(*described, 1, 1) is None:
            raise self._refuse(refusals.unpriced(account.budget, account.part, described.model))

    def _pass_unknown(self, account: Account) -> Generator[Step, None, None]:
        """The store can't be reached."""
        if account.budget.unreachable == "open":
            return
        if account.budget.on_limit == "block":
            raise self._refuse(refusals.unknown(account.budget, account.part))
        yield account.budget.delay

    def _pass_limit(self, account: Account) -> Generator[Step, None, None]:
        deadline = time.monotonic() + account.budget.delay
        while self._is_over(account):
            if account.budget.on_limit == "block":
                used = account.used + account.own
                raise self._refuse(refusals.used_up(account.budget, account.part, used, datetime.now(UTC)))
            left = deadline - time.monotonic()
            if left <= 0:
                return
            yield min(left, THROTTLE_STEP)

    def _is_over(self, account: Account) -> bool:
        if time.time() >= account.until:
            with self._accounts.lock:
                self._accounts.turn(account)
        return account.is_over

    def _pass_rate(self, account: Account) -> Generator[Step, None, None]:
        """A limit of calls counts them as they are let go; one of tokens, when they have ended."""
        assert account.rate is not None
        needed = 1 if account.budget.measure == "calls" else 0
        deadline = time.monotonic() + account.budget.delay
        while True:
            with self._accounts.lock:
                now = time.time()
                used = account.rate.used(now)
                left = deadline - time.monotonic()
                over = used + max(needed, 1) > account.limit
                if not over or (account.budget.on_limit == "throttle" and left <= 0):
                    account.rate.add(needed, now)
                    return
            if account.budget.on_limit == "block":
                raise self._refuse(refusals.used_up(account.budget, account.part, int(used), datetime.now(UTC)))
            yield min(left, THROTTLE_STEP)

    def _want(self, account: Account, described: Described, body: object) -> Want | None:
        """What the call may use of a strict budget; None: that can't be estimated, for price data isn't there."""
        budget, now = account.budget, time.time()
        usual = self._accounts.view.usual.get(budget.name, {})
        if budget.measure == "cost" and not self._prices.ready:
            return None
        amount = estimate(budget, described, body, usual, self._prices)
        if amount is None:
            amount = 0  # unpriced: counted, or refused before
        start = int(now // MINUTE) * MINUTE if budget.is_rate else start_of(budget, now)
        return Want(Place(budget.name, account.part, start), account.limit, amount, budget.is_rate)

    def _reserve(self, call: Call, wanted: Sequence[tuple[Account, Want | None]]) -> Generator[Step, None, None]:
        """Ask the store, and again while one that only holds calls back has no room."""
        accounts = {want.place: account for account, want in wanted if want is not None}
        wants = [want for _, want in wanted if want is not None]
        known = len(wants) == len(wanted)
        deadline = time.monotonic() + min((account.budget.delay for account, _ in wanted), default=0.0)
        while True:
            asked, answer = (yield from self._ask(wants)) if known else (None, None)
            if asked is None:
                for account, _ in wanted:
                    yield from self._pass_unknown(account)
                    yield from self._pass_limit(account)
                return
            if answer is None:
                call.reserved = Reservation(self, asked, accounts)
                return
            account = accounts[answer.want.place]
            left = deadline - time.monotonic()
            if account.budget.on_limit == "block":
                now = datetime.now(UTC)
                raise self._refuse(refusals.used_up(account.budget, account.part, answer.used, now, answer.want.amount))
            if left <= 0:
                return
            yield min(left, THROTTLE_STEP)

    def _ask(self, wants: Sequence[Want]) -> Generator[Step, None, tuple[Asked | None, Refused | None]]:
        """No Asked: the store can't be reached."""
        ledger = self._ledger
        if ledger is None:
            self._warn("reserve", "a strict budget can't be reserved from, for this process doesn't know the store")
            return None, None
        asked, deadline = ledger.ask(wants), time.monotonic() + RESERVE_SECONDS
        taken = False
        try:
            while not asked.answer.done() and time.monotonic() < deadline and not ledger.is_silent(SILENT_SECONDS):
                yield Answered(asked.answer, ANSWER_STEP)
            if asked.answer.done() and not asked.answer.cancelled():
                answer = asked.answer.result()
                taken = True
                return asked, answer
        except (StoreError, CancelledError):
            pass
        finally:
            if not taken and not asked.answer.cancel():  # who asked has left, and the store may have let it go
                asked.answer.add_done_callback(lambda answer: ledger.give_back(asked.reservation, answer))
        self._warn("reserve", "a strict budget can't be reserved from, for the store can't be reached")
        return None, None

    def _refuse(self, error: BudgetExceeded) -> BudgetExceeded:
        """Who made the call is told by the exception: the log has no warning of it."""
        logger.info("%s", error)
        return error

    def _warn(self, about: str, sentence: str) -> None:
        now = time.monotonic()
        if now >= self._quiet_until.get(about, 0.0):
            self._quiet_until[about] = now + QUIET_SECONDS
            logger.warning("%s", sentence)


class Reservation:
    """See `capture.call.Reserved`."""

    def __init__(self, gate: Gate, asked: Asked, accounts: dict[Place, Account]) -> None:
        self._gate = gate
        self._asked = asked
        self._accounts = accounts
        self._used: dict[Place, int] = {}

    def settle(self, origin: Origin, event: UsageEvent) -> None:
        ledger, mark = self._gate._ledger, self._gate._place()
        assert ledger is not None
        for want in self._asked.wants:
            amount = self._gate.used_of(self._accounts[want.place], origin, event)
            before = self._used.get(want.place)
            used = (before or 0) + amount
            self._used[want.place] = used
            if want.is_rate:
                more = used - (want.amount if before is None else before)
                if more:
                    ledger.settle(Settled(self._asked.reservation, want.place, more))
            else:
                ledger.settle(Settled(self._asked.reservation, want.place, used, mark))

    def release(self) -> None:
        ledger = self._gate._ledger
        if ledger is not None and not self._used:
            ledger.settle(Settled(self._asked.reservation, None))
