"""Calls that can't be let go at once: what they wait for, and which are refused."""

import time
from collections.abc import Callable, Generator, Sized
from datetime import UTC, datetime

from usage_tracker.budgets import refusals
from usage_tracker.budgets.accounts import Account, Accounts, Match
from usage_tracker.budgets.rates import Rate
from usage_tracker.budgets.reserving import RESERVE_SECONDS, THROTTLE_STEP, Reserving
from usage_tracker.budgets.scope import Described
from usage_tracker.budgets.unit_prices import UnitPrices
from usage_tracker.capture import Call
from usage_tracker.capture.admission import Hold, Step
from usage_tracker.event import Origin

FRESH_SECONDS = 30.0
"""How old what the store said may be; after that, it counts as unreachable."""
RECENT_SECONDS = 5.0
"""A call is held back or refused by what the store said so lately; before that, the store is asked again."""
FIRST_SECONDS = 2.0
"""How long a call may wait for the first look into the store."""
STEP_SECONDS = 0.02


Counted = tuple[Rate, int, float]
"""What a limit of the rate has counted, and when."""


class Seen:
    """What this process has seen of the store: whether anything, and until when that is new. In seconds since 1970."""

    __slots__ = ("_ahead", "fresh_until", "known", "recent_until")

    def __init__(self) -> None:
        self.known = False
        self.fresh_until = 0.0
        self.recent_until = 0.0
        self._ahead = 0.0
        """By how much the clock is ahead of the monotonic one."""

    def read_at(self, moment: float) -> None:
        now = time.time()
        moment = min(moment, now)  # of a time to come, where the clock was set back since
        self.fresh_until = moment + FRESH_SECONDS
        self.recent_until = moment + RECENT_SECONDS
        self._ahead = now - time.monotonic()
        self.known = True

    def grow_old(self) -> None:
        """Now and then: also where the clock was set back, as the monotonic one goes on."""
        ahead = time.time() - time.monotonic()
        back = max(0.0, self._ahead - ahead)
        self.fresh_until -= back
        self.recent_until -= back
        self._ahead = ahead


class Holding:
    def __init__(
        self,
        seen: Seen,
        accounts: Accounts,
        prices: UnitPrices,
        reserving: Reserving,
        match: Callable[[Origin, str | None, str], Match],
        unpriced: Sized,
        wake: Callable[[], None],
        log: refusals.Log,
    ) -> None:
        self._seen = seen
        self._accounts = accounts
        self._prices = prices
        self._reserving = reserving
        self._match = match
        """What a call counts in."""
        self._unpriced = unpriced
        """Calls that ended before price data was loaded."""
        self._wake = wake
        """Starts what looks into the store, where it doesn't run."""
        self._log = log
        self._gave_up_at: float | None = None

    def hold(self, call: Call, described: Described, body: object) -> Hold:
        taken: list[Counted] = []
        try:
            yield from self._hold(call, described, body, taken)
        except BaseException:  # refused, or who asked has left: no call is made
            with self._accounts.lock:
                for rate, amount, then in taken:
                    rate.give_back(amount, then)
            raise

    def _hold(self, call: Call, described: Described, body: object, taken: list[Counted]) -> Hold:
        yield from self._freshen()
        accounts = self._match(*described).accounts
        stale, began = time.time() >= self._seen.fresh_until, time.monotonic()
        needed: list[tuple[Account, int | None]] = []
        for account in accounts:
            if account.budget.measure == "cost" and (account.slow or self._unpriced):
                yield from self._need_prices(RESERVE_SECONDS if account.budget.strict else FIRST_SECONDS)
            if account.budget.unpriced == "refuse":
                self._check_price(account, described)
            if account.budget.strict:
                needed.append((account, self._reserving.needed(account, described, body)))
            elif account.rate is not None:
                taken.append((yield from self._pass_rate(account, account.rate, began)))
            else:
                if stale:
                    yield from self._pass_unknown(account, began)
                yield from self._pass_limit(account, began)
        if needed and not (yield from self._reserving.reserve(call, needed)):
            for account, _ in needed:
                yield from self._pass_unknown(account, began)
                yield from self._pass_limit(account, began)

    def _freshen(self) -> Generator[Step, None, None]:
        """Wait for a look into the store where the last one was long ago; not again and again, and for the first one
        only once."""
        self._wake()  # a process whose calls are all refused would never look again
        if time.time() < self._seen.recent_until:
            return
        now, gave_up_at = time.monotonic(), self._gave_up_at
        if gave_up_at is not None and (not self._seen.known or now < gave_up_at + FRESH_SECONDS):
            return
        while time.time() >= self._seen.recent_until:
            if time.monotonic() >= now + FIRST_SECONDS:
                self._gave_up_at = time.monotonic()
                if not self._seen.known:
                    self._log.warn("unknown", "it isn't known yet whether there are budgets; calls are made meanwhile")
                elif time.time() >= self._seen.fresh_until:
                    self._log.warn(
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
            raise self._log.refuse(refusals.unpriced(account.budget, account.part, described.model))

    def _pass_unknown(self, account: Account, began: float) -> Generator[Step, None, None]:
        """The store can't be reached."""
        if account.budget.unreachable == "open":
            return
        if account.budget.on_limit == "block":
            raise self._log.refuse(refusals.unknown(account.budget, account.part))
        yield max(0.0, began + account.budget.delay - time.monotonic())

    def _pass_limit(self, account: Account, began: float) -> Generator[Step, None, None]:
        """`began`: when waiting did, for whatever of the call's many budgets."""
        while (current := self._by_now(account)) is not None and self._is_over(current):
            if current.budget.on_limit == "block":
                used = current.used + current.own
                raise self._log.refuse(refusals.used_up(current.budget, current.part, used, datetime.now(UTC)))
            left = began + current.budget.delay - time.monotonic()
            if left <= 0:
                return
            yield min(left, THROTTLE_STEP)

    def _by_now(self, account: Account) -> Account | None:
        with self._accounts.lock:
            return self._accounts.by_now(account)

    def _is_over(self, account: Account) -> bool:
        if time.time() >= account.until:
            with self._accounts.lock:
                self._accounts.turn(account)
        return account.is_over

    def _pass_rate(self, account: Account, rate: Rate, began: float) -> Generator[Step, None, Counted]:
        """A limit of calls counts them as they are let go; one of tokens, when they have ended. What it has counted."""
        while True:
            with self._accounts.lock:
                now, current = time.time(), self._accounts.by_now(account)
                if current is None or current.rate is None:
                    return rate, 0, now
                rate, budget = current.rate, current.budget
                needed = 1 if budget.measure == "calls" else 0
                used = rate.used(now)
                left = began + budget.delay - time.monotonic()
                over = used + max(needed, 1) > current.limit
                if not over or (budget.on_limit == "throttle" and left <= 0):
                    rate.add(needed, now)
                    return rate, needed, now
            if budget.on_limit == "block":
                raise self._log.refuse(refusals.used_up(budget, account.part, int(used), datetime.now(UTC)))
            yield min(left, THROTTLE_STEP)
