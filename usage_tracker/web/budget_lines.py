"""Where budgets stand and who has changed them, as lines for pages."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, tzinfo
from itertools import groupby, islice
from typing import NamedTuple

from usage_tracker.budgets.book import read_budgets
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.outlook import Outlook
from usage_tracker.budgets.scope import named
from usage_tracker.cli.budget_figures import read_outlooks, shortened
from usage_tracker.cli.budget_text import show_amount, show_percent, show_time, state
from usage_tracker.cli.change_log import change_words
from usage_tracker.cli.figures import UNKNOWN, printable
from usage_tracker.errors import SchemaError
from usage_tracker.stores import Store
from usage_tracker.stores.changes import Change, read_changes
from usage_tracker.web.parameters import Refused
from usage_tracker.web.reading import MOST_READ, Reader

KEPT_SECONDS = 5.0
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

    @property
    def note(self) -> str:
        """A sentence where one isn't told."""
        if not self.untold:
            return ""
        return (
            f"Where {', '.join(self.untold)} stands isn't shown: that are more than {MOST_READ:,} parts. "
            "`usage-tracker budget status` reads all of them."
        )


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


def read_standing(store: Store, now: datetime) -> Standing:
    """Limits of the rate count within programs. Of a store of before there were budgets, none. Raises StoreError."""
    standing = Standing([], [])
    with suppress(SchemaError):
        for budget in read_budgets(store):
            if not budget.is_rate:
                try:
                    standing.outlooks.extend(read_outlooks(store, [budget], now))
                except Refused:
                    standing.untold.append(budget.name)
    return standing


def read_kept(store: Store) -> tuple[list[Budget], list[Change]]:
    """Raises StoreError."""
    return read_budgets(store), read_changes(store, limit=CHANGES)


async def standing(reader: Reader, now: datetime) -> Standing:
    """Raises NothingYet and StoreError."""
    return await reader.shared("outlooks", lambda store: read_standing(store, now), KEPT_SECONDS)


async def books(reader: Reader, now: datetime) -> Books:
    """Raises NothingYet and StoreError."""
    kept, seen = await asyncio.gather(reader.shared("budgets", read_kept, KEPT_SECONDS), standing(reader, now))
    return Books(kept[0], seen, kept[1])


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
