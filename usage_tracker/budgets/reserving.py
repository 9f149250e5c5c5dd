"""Calls that a strict budget is asked for before they are made: what they may use is taken of it in the store, and what
they did not use is given back."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import CancelledError
from datetime import UTC, datetime

from usage_tracker.budgets import refusals
from usage_tracker.budgets.accounts import Account, Accounts, start_of
from usage_tracker.budgets.estimates import estimate
from usage_tracker.budgets.reservation_tables import Place, Refused, Settled, Want
from usage_tracker.budgets.reservations import Asked, Ledger
from usage_tracker.budgets.scope import Described
from usage_tracker.budgets.unit_prices import UnitPrices
from usage_tracker.capture import Call
from usage_tracker.capture.admission import Answered, Step
from usage_tracker.errors import StoreError
from usage_tracker.event import Origin, UsageEvent

SILENT_SECONDS = 10.0
"""How long the store may leave the reservations of this process without an answer; then it counts as unreachable."""
RESERVE_SECONDS = 30.0
"""How long a call may wait for its turn, with a store that answers."""
THROTTLE_STEP = 0.25
UNLIMITED = 1 << 63
"""More than any store's integer holds."""
ANSWER_STEP = 1.0


class Reserving:
    def __init__(
        self,
        ledger: Ledger | None,
        accounts: Accounts,
        prices: UnitPrices,
        place: Callable[[], tuple[str, int]],
        log: refusals.Log,
    ) -> None:
        self.ledger = ledger
        """None: this process doesn't know the store, so nothing can be reserved."""
        self.place = place
        """See `Journal.place`."""
        self._accounts = accounts
        self._prices = prices
        self._log = log

    def needed(self, account: Account, described: Described, body: object) -> int | None:
        """What the call may use of a strict budget; None: that can't be estimated, for price data isn't there."""
        budget = account.budget
        usual = self._accounts.view.usual.get(budget.name, {})
        if budget.measure == "cost" and not self._prices.ready:
            return None
        amount = estimate(budget, described, body, usual, self._prices)
        return 0 if amount is None else amount  # unpriced: counted, or refused before

    def reserve(self, call: Call, needed: Sequence[tuple[Account, int | None]]) -> Generator[Step, None, bool]:
        """Ask the store, and again while one that only holds calls back has no room; once it has held the call for as
        long as it may, its room doesn't matter. False: it can't be asked."""
        amounts = {account: amount for account, amount in needed if amount is not None}
        known = len(amounts) == len(needed)
        passed: set[Account] = set()
        began = time.monotonic()
        while True:
            # anew each time: it may be held until another window has begun
            places = {place_now(account): account for account in amounts}
            wants = [
                Want(place, UNLIMITED if account in passed else account.limit, amounts[account], account.budget.is_rate)
                for place, account in places.items()
            ]
            asked, answer = (yield from self._ask(wants)) if known else (None, None)
            if asked is None:
                return False
            if answer is None:
                reservation = Reservation(self, asked, amounts)
                if all(place_now(account) == place for place, account in places.items()):
                    call.reserved = reservation
                    return True
                reservation.release()  # another window has begun meanwhile, and in that the call will
                continue
            account = next(each for each in amounts if each.name == answer.want.place.name)
            if account.budget.on_limit == "block":
                now, amount = datetime.now(UTC), answer.want.amount
                raise self._log.refuse(refusals.used_up(account.budget, account.part, answer.used, now, amount))
            left = began + account.budget.delay - time.monotonic()
            if left <= 0:
                passed.add(account)  # what it uses counts for those after it
                continue
            yield min(left, THROTTLE_STEP)
            amount = amounts.pop(account)
            with self._accounts.lock:
                current = self._accounts.by_now(account)
            if current is not None and current.budget.strict:
                amounts[current] = amount
            elif not amounts:
                return True

    def _ask(self, wants: Sequence[Want]) -> Generator[Step, None, tuple[Asked | None, Refused | None]]:
        """No Asked: the store can't be reached."""
        ledger = self.ledger
        if ledger is None:
            self._log.warn("reserve", "a strict budget can't be reserved from: this process doesn't know the store")
            return None, None
        asked, deadline = ledger.ask(wants), time.monotonic() + RESERVE_SECONDS
        taken, why = False, "the store gives no answer"
        try:
            while not asked.answer.done() and time.monotonic() < deadline and not ledger.is_silent(SILENT_SECONDS):
                yield Answered(asked.answer, ANSWER_STEP)
            if asked.answer.done() and not asked.answer.cancelled():
                answer = asked.answer.result()
                taken = True
                return asked, answer
        except CancelledError:
            pass
        except StoreError as error:
            why = str(error)
        finally:
            if not taken and not asked.answer.cancel():  # who asked has left, and the store may have let it go
                asked.answer.add_done_callback(lambda _: ledger.give_back(asked))
        self._log.warn("reserve", f"a strict budget can't be reserved from: {why}")
        return None, None

    def used_of(self, account: Account, origin: Origin, event: UsageEvent) -> int:
        """What the call has used of it, in its measure; what is unknown is nothing, as in reports."""
        measure = account.budget.measure
        if measure == "cost":
            return self._prices.cost(origin, event) or 0
        if measure == "tokens":
            return (event.usage.input_tokens or 0) + (event.usage.output_tokens or 0)
        return 1 if event.completes is None else 0


def place_now(account: Account) -> Place:
    """Where what a call uses of it counts that begins now."""
    budget = account.budget
    return Place(budget.name, account.part, 0 if budget.is_rate else start_of(budget, time.time()))


class Reservation:
    """See `capture.admission.Reserved`."""

    def __init__(self, reserving: Reserving, asked: Asked, accounts: Iterable[Account]) -> None:
        self._reserving = reserving
        self._asked = asked
        self._accounts = {account.name: account for account in accounts}
        self._used: dict[Place, int] = {}

    def settle(self, origin: Origin, event: UsageEvent) -> None:
        ledger, mark = self._reserving.ledger, self._reserving.place()
        assert ledger is not None
        for want in self._asked.wants:
            amount = self._reserving.used_of(self._accounts[want.place.name], origin, event)
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
        ledger = self._reserving.ledger
        if ledger is not None and not self._used:
            ledger.give_back(self._asked)
