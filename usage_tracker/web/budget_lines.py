"""Where budgets stand and who has changed them, as lines for pages."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, tzinfo
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple

from usage_tracker.budgets.book import read_budgets
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.outlook import Outlook
from usage_tracker.budgets.scope import named
from usage_tracker.cli.budget_figures import read_outlooks, shortened
from usage_tracker.cli.budget_text import show_amount, show_percent, show_time, state
from usage_tracker.cli.change_log import change_words
from usage_tracker.cli.figures import UNKNOWN, counted, printable
from usage_tracker.errors import SchemaError
from usage_tracker.stores import Store
from usage_tracker.stores.changes import Change, read_changes
from usage_tracker.web.parameters import Refused
from usage_tracker.web.reading import MOST_READ, Reader

KEPT_SECONDS = 5.0
STANDING_SECONDS = 5.0
"""How long a page waits for where budgets stand: each is a question to the store, and there may be thousands."""
PARTS = 20
"""Of a budget for each user, those who have used most."""
WARNED = 3
MOST_PARTS = 200
"""The same of those who have used it up, all of whom are listed otherwise."""
CHANGES = 30


class Bar(NamedTuple):
    """How much of a budget was used, and will be."""

    used: float
    """In percent, from 0 to 100."""
    projected: float


class Line(NamedTuple):
    name: str
    part: str
    """Whose, of a budget for each user or the like."""
    first: bool
    """Whether it is the first line of its budget."""
    scope: str
    spent: str
    limit: str
    per: str
    percent: str
    bar: Bar
    left: str
    projected: str
    hit: str
    resets: str
    state: str
    tone: str
    """`bad` where it is used up, `near` where it will be."""


class Standing(NamedTuple):
    """Where budgets stand."""

    outlooks: list[Outlook]
    untold: list[str]
    """The names of those of which more parts have used something than are read here."""
    late: int = 0
    """How many others could not be read in time."""

    @property
    def note(self) -> str:
        """Sentences where some aren't told."""
        missing = []
        if self.untold:
            missing.append(
                f"Where {', '.join(self.untold)} stands isn't shown: that are more than {MOST_READ:,} parts."
            )
        if self.late:
            stand = f"{counted(self.late, 'budget')} stand{'s' * (self.late == 1)}"
            missing.append(f"Where {stand} isn't shown: to read that takes too long.")
        return " ".join([*missing, "`usage-tracker budget status` reads all of them."]) if missing else ""


class Kept(NamedTuple):
    """What is read at once, however many budgets there are."""

    budgets: list[Budget]
    changes: list[Change]


class Books(NamedTuple):
    """What the store says of budgets."""

    budgets: list[Budget]
    standing: Standing
    changes: list[Change]


class Changed(NamedTuple):
    at: str
    who: str
    through: str
    what: str


def read_kept(store: Store) -> Kept:
    """Raises StoreError."""
    return Kept(read_budgets(store), read_changes(store, limit=CHANGES))


async def kept(reader: Reader) -> Kept:
    """Raises NothingYet and StoreError."""
    return await reader.shared("budgets", read_kept, KEPT_SECONDS)


async def standing(reader: Reader, now: datetime, seconds: float | None = None) -> Standing:
    """Of as many budgets as can be read in those seconds; None: for as long as a page waits. Raises NothingYet and
    StoreError."""
    limit = STANDING_SECONDS if seconds is None else seconds

    async def read() -> Standing:
        try:
            budgets = await reader.do(read_budgets)
        except SchemaError:  # of before there were budgets, or they are not for this role
            return Standing([], [])
        return await stand(reader, budgets, now, limit)

    return await reader.answers.once(("outlooks", limit), read, KEPT_SECONDS)


async def standing_of(reader: Reader, budget: Budget, now: datetime, seconds: float) -> Standing:
    """Raises StoreError."""
    return await reader.answers.once(("outlooks", budget), lambda: stand(reader, [budget], now, seconds), KEPT_SECONDS)


async def books(reader: Reader, now: datetime, seconds: float | None = None) -> Books:
    """`seconds`: as for `standing`. Raises NothingYet and StoreError."""
    known, seen = await asyncio.gather(kept(reader), standing(reader, now, seconds))
    return Books(known.budgets, seen, known.changes)


async def stand(reader: Reader, budgets: Sequence[Budget], now: datetime, seconds: float) -> Standing:
    """Limits of the rate count within programs, and stand nowhere."""
    left = [budget for budget in reversed(budgets) if not budget.is_rate]
    outlooks: list[Outlook] = []
    untold: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while left:
                budget = left[-1]
                try:
                    outlooks += await reader.do(partial(read_outlooks, budgets=[budget], now=now))
                except Refused:
                    untold.append(budget.name)
                left.pop()
    return Standing(outlooks, untold, len(left))


def lines(outlooks: Sequence[Outlook]) -> list[Line]:
    found: list[Line] = []
    for _, parts in groupby(shortened(outlooks, PARTS), key=lambda each: each.budget.name):
        found += [line(each, first=not place) for place, each in enumerate(islice(parts, MOST_PARTS))]
    return found


def line(outlook: Outlook, *, first: bool) -> Line:
    budget, measure = outlook.budget, outlook.budget.measure
    share = float(outlook.share) * 100
    ahead = share if outlook.projected is None else float(outlook.projected / budget.limit) * 100
    return Line(
        budget.name,
        printable(named(outlook.part) or ("" if budget.each is None else "nobody yet")),
        first,
        printable(budget.scope),
        show_amount(outlook.spent, measure),
        show_amount(budget.limit, measure),
        budget.per,
        show_percent(outlook.share),
        Bar(*(min(max(part, 0.0), 100.0) for part in (share, max(ahead, share)))),  # credits have none
        show_amount(outlook.left, measure) if outlook.left >= 0 else f"{show_amount(-outlook.left, measure)} over",
        UNKNOWN if outlook.projected is None else show_amount(outlook.projected, measure),
        "now" if outlook.over else show_time(outlook.hit_at, budget),
        "rolls along" if outlook.resets_at is None else show_time(outlook.resets_at, budget),
        state(outlook),
        "bad" if outlook.over else "near" if is_near(outlook) else "",
    )


def is_near(outlook: Outlook) -> bool:
    """Whether somebody should look: a soft limit is passed, or the limit will be before it resets."""
    return outlook.hit_at is not None or any(outlook.share >= share for share in outlook.budget.soft)


class Warnings(NamedTuple):
    """Of the budgets that are used up or will be, the fullest."""

    lines: list[Line]
    more: int


def warnings(outlooks: Sequence[Outlook]) -> Warnings:
    wanted = [each for each in outlooks if each.over or is_near(each)]
    wanted.sort(key=lambda each: (not each.over, -each.share))
    return Warnings([line(each, first=True) for each in wanted[:WARNED]], len(wanted[WARNED:]))


def changed(changes: Sequence[Change], zone: tzinfo) -> list[Changed]:
    return [
        Changed(f"{each.at.astimezone(zone):%Y-%m-%d %H:%M}", each.who, each.through, change_words(each))
        for each in changes
    ]
