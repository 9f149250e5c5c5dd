"""What this process knows to be used of each part of each budget: what the store said, and its own since."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from usage_tracker.budgets.amounts import limit_of
from usage_tracker.budgets.budget import Budget, Measure, counted, rolls
from usage_tracker.budgets.rates import Rate
from usage_tracker.budgets.view import View
from usage_tracker.budgets.windows import Window, window_at
from usage_tracker.event import Origin
from usage_tracker.zones import parse_zone

FOREVER = float("inf")
LOST_SECONDS = 120.0
"""What was appended to a segment that nobody knows any more, so long ago, was stored with it."""
MOST_ACCOUNTS = 50_000
"""Users and sessions come and go."""
MOST_ENTRIES = 20_000
"""Beyond that, while the store takes nothing, what calls have used is kept in sums."""
QUARTER_HOUR = 900 * 10**9
"""No window of the calendar begins within one, in any zone; in nanoseconds."""

Mark = tuple[str, int]
"""A segment of the journal, and the position that an event ends before; no segment where it could not be kept."""
Name = tuple[str, str]
"""A budget, and a part of it."""


class Account:
    """One part of a budget."""

    __slots__ = ("budget", "ceiling", "limit", "name", "own", "part", "rate", "slow", "until", "used")

    def __init__(self, budget: Budget, part: str) -> None:
        self.budget = budget
        self.part = part
        self.name: Name = budget.name, part
        self.limit = limit_of(budget)
        self.used = 0
        """By events in the store."""
        self.own = 0
        """By this process, and not among those."""
        self.until = 0.0
        """The end of the window that this is about."""
        self.rate = Rate() if budget.is_rate else None
        self.slow = budget.strict or budget.is_rate or budget.unpriced == "refuse"
        """Whether more is to be looked at than a sum."""
        self.ceiling = 0
        """What `own` must stay below for a call to be made without a second look; 0 where each needs one."""

    @property
    def is_over(self) -> bool:
        return self.used + self.own >= self.limit


class Match:
    """The parts that calls from one origin to one model count in."""

    __slots__ = ("accounts", "calls", "cost", "origin", "rates", "tokens")

    def __init__(self, origin: Origin, accounts: tuple[Account, ...]) -> None:
        self.origin = origin
        """Held, so that its id is its own."""
        self.accounts = accounts
        sums = [account for account in accounts if account.rate is None]
        self.cost = [account for account in sums if account.budget.measure == "cost"]
        self.tokens = [account for account in sums if account.budget.measure == "tokens"]
        self.calls = [account for account in sums if account.budget.measure == "calls"]
        self.rates = [each.rate for each in accounts if each.rate is not None and each.budget.measure == "tokens"]
        """Limits of the rate that are counted when a call has ended."""


Entry = tuple[Mark, int, Match, int, int, int]
"""What one call of this process has used, for as long as that may not be among what the store said: its mark, when
it started (in nanoseconds), what it counts in, its cost, its tokens, and whether it is one call. A plain tuple, for one
is made with each call."""


def window_of(budget: Budget, now: float) -> Window:
    return window_at(budget.per, parse_zone(budget.zone), datetime.fromtimestamp(now, UTC))


def start_of(budget: Budget, now: float) -> int:
    """The start of its window, in seconds since 1970; 0 where it rolls."""
    return 0 if rolls(budget) else int(window_of(budget, now).start.timestamp())


class Accounts:
    """All parts that this process has met. Who does more than `add` holds the lock."""

    def __init__(self) -> None:
        self.view = View(read_at=0.0)
        self.lock = threading.RLock()
        """Re-entrant: the garbage collector may end a stream, and so a call, wherever it runs."""
        self._by_name: dict[Name, Account] = {}
        self._rates: dict[Name, Rate] = {}
        """Of accounts that were closed in the middle of a minute."""
        self._entries: deque[Entry] = deque()
        self._untold: dict[str, float] = {}
        """Segments that views don't tell of, since which: one may be newer than the view, or gone for long."""
        self._tidy_at = MOST_ENTRIES

    def take(self, view: View) -> bool:
        """Go on from what the store says now; whether the accounts are new ones."""
        anew = view.budgets != self.view.budgets or len(self._by_name) > MOST_ACCOUNTS
        self.view = view
        if anew:
            self._keep_rates()
            self._by_name = {}
        entries = self._taken_out()
        untold = {segment for (segment, _), *_ in entries} - view.stored.keys()
        self._untold = {segment: self._untold.get(segment, view.read_at) for segment in untold}
        left = [entry for entry in entries if not stored(entry, view, self._untold)]
        self._entries.extend(left)
        self._sum_up(self._known())
        return anew

    def _known(self) -> list[Account]:
        """All accounts. While who asks looks at them, the garbage collector may end a call that opens another one."""
        return list(self._by_name.values())

    def of(self, budget: Budget, part: str) -> Account:
        account = self._by_name.get((budget.name, part))
        if account is None:
            account = self._by_name[budget.name, part] = Account(budget, part)
            if account.rate is not None:
                account.rate = self._rates.pop(account.name, account.rate)
            self._sum_up([account])
        return account

    def by_now(self, account: Account) -> Account | None:
        """What has become of one since a call is held for it; None where its budget is gone, or counts otherwise."""
        if self._by_name.get(account.name) is account:
            return account
        was = account.budget
        budget = next((each for each in self.view.budgets if each.name == was.name and each.enforces), None)
        return None if budget is None or counted(budget) != counted(was) else self.of(budget, account.part)

    def _keep_rates(self) -> None:
        """What the last minute has used is nowhere else."""
        now = time.time()
        rates = self._rates | {account.name: account.rate for account in self._known() if account.rate is not None}
        self._rates = {name: rate for name, rate in rates.items() if rate.used(now)}

    def add(self, mark: Mark, started_at: int, match: Match, cost: int, tokens: int, calls: int) -> None:
        """What a call of this process has used. `started_at` in nanoseconds since 1970."""
        with self.lock:
            for account in match.cost:
                account.own += cost
            for account in match.tokens:
                account.own += tokens
            for account in match.calls:
                account.own += calls
            self._entries.append((mark, started_at, match, cost, tokens, calls))
            if match.rates:
                now = time.time()
                for rate in match.rates:
                    rate.add(tokens, now)

    def tidy(self) -> None:
        """Keep one entry for what calls of one kind have used within a quarter of an hour, where there are too many. It
        counts until the last of those calls is stored."""
        if len(self._entries) < self._tidy_at:
            return
        sums: dict[tuple[str, Match, int], Entry] = {}
        with self.lock:
            for entry in self._taken_out():
                (segment, _), started_at, match, *_ = entry
                key = segment, match, started_at // QUARTER_HOUR
                known = sums.get(key)
                sums[key] = entry if known is None else both(entry, known)
            self._entries.extend(sums.values())
            self._tidy_at = max(MOST_ENTRIES, 2 * len(sums))

    def _taken_out(self) -> deque[Entry]:
        """All entries; what the garbage collector ends meanwhile, in this thread, is not among them and not lost."""
        taken, self._entries = self._entries, deque()
        return taken

    def turn(self, account: Account) -> None:
        """Its window is over: begin the next."""
        self._sum_up([account])

    def keep_parents(self) -> None:
        """In a forked child: what the parent used is the parent's to report, and stays known until the store says."""
        self.lock = threading.RLock()
        for account in self._known():
            account.used, account.own, account.ceiling = account.used + account.own, 0, account.ceiling - account.own
        self._entries.clear()

    def _sum_up(self, accounts: Sequence[Account]) -> None:
        now, starts, own = time.time(), dict[str, int](), dict[tuple[Name, Measure], int]()
        for account in accounts:
            budget = account.budget
            start = starts.get(budget.name)
            if start is None:
                start = starts[budget.name] = start_of(budget, now)
            account.until = FOREVER if rolls(budget) else window_of(budget, now).end.timestamp()
            current = self.view.since.get(budget.name) == start
            account.used = self.view.used.get(budget.name, {}).get(account.part, 0) if current else 0
        for _, started_at, match, *amounts in tuple(self._entries):
            for counting, amount in zip((match.cost, match.tokens, match.calls), amounts, strict=True):
                for account in counting:
                    if started_at / 1e9 >= starts.get(account.budget.name, FOREVER):
                        key = account.name, account.budget.measure
                        own[key] = own.get(key, 0) + amount
        for account in accounts:
            account.own = own.get((account.name, account.budget.measure), 0)
            account.ceiling = 0 if account.slow else max(account.limit - account.used, 0)


def stored(entry: Entry, view: View, untold: Mapping[str, float]) -> bool:
    """Whether the store's sums have it. `untold`: since when views don't tell of its segment."""
    (segment, end), started_at, *_ = entry
    position = view.stored.get(segment)
    if position is not None:
        return position >= end
    return max(started_at / 1e9, untold[segment]) < view.read_at - LOST_SECONDS


def both(one: Entry, other: Entry) -> Entry:
    """Two of one segment and kind, as one that is stored when both are."""
    mark, started_at, match, cost, tokens, calls = one
    return max(mark, other[0]), max(started_at, other[1]), match, cost + other[3], tokens + other[4], calls + other[5]
