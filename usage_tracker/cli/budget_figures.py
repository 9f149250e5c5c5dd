"""What was used of each budget, out of the store, and the table of it. `report` and the overview show it, too."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from usage_tracker.budgets.book import read_budgets
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.outlook import Outlook, look_ahead
from usage_tracker.budgets.scope import WHOLE, named
from usage_tracker.budgets.windows import Window, window_at
from usage_tracker.cli.budget_text import show_amount, show_percent, show_time, state
from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import UNKNOWN, printable
from usage_tracker.spending import NOTHING_USED, UsedOf, read_used
from usage_tracker.stores import Store
from usage_tracker.zones import parse_zone

MOST_PARTS = 5
"""Of a budget for each user, those who have used most."""


def read_outlooks(store: Store, budgets: Iterable[Budget], now: datetime) -> list[Outlook]:
    """Of every part, the one that has used most first within each budget. Raises StoreError."""
    windows = windows_at(budgets, now)
    return outlooks_of(windows, read_used(store, windows), now)


def windows_at(budgets: Iterable[Budget], now: datetime) -> dict[Budget, Window]:
    return {budget: window_at(budget.per, parse_zone(budget.zone), now) for budget in budgets}


def outlooks_of(windows: Mapping[Budget, Window], used_of: UsedOf, now: datetime) -> list[Outlook]:
    """Of those budgets whose use is known."""
    found = []
    for budget, window in windows.items():
        if (parts := used_of.get(budget)) is None:
            continue
        for part, used in sorted((parts or {WHOLE: NOTHING_USED}).items(), key=lambda pair: -pair[1].amount):
            found.append(look_ahead(budget, part, window, used.amount, used.calls, used.unpriced, now))
    return found


def shortened(outlooks: Sequence[Outlook], most: int = MOST_PARTS) -> list[Outlook]:
    """At most so many parts of each budget, and all that are over."""
    counts: dict[str, int] = {}
    kept = []
    for outlook in outlooks:
        counts[outlook.budget.name] = counts.get(outlook.budget.name, 0) + 1
        if counts[outlook.budget.name] <= most or outlook.over:
            kept.append(outlook)
    return kept


def outlook_columns(outlooks: Sequence[Outlook]) -> list[Column]:
    def amounts(values: Iterable[tuple[Outlook, Decimal | None]]) -> list[str]:
        return [UNKNOWN if value is None else show_amount(value, outlook.budget.measure) for outlook, value in values]

    columns = [Column("Budget", [outlook.budget.name for outlook in outlooks])]
    if any(outlook.budget.each for outlook in outlooks):
        columns.append(Column("Of", [printable(named(outlook.part) or UNKNOWN) for outlook in outlooks]))
    columns += [
        Column("Spent", amounts((each, each.spent) for each in outlooks), number=True),
        Column("Limit", amounts((each, each.budget.limit) for each in outlooks), number=True),
        Column("Used", [show_percent(each.share) for each in outlooks], number=True),
        Column("Left", amounts((each, each.left) for each in outlooks), number=True, rank=2),
        Column("Projected", amounts((each, each.projected) for each in outlooks), number=True, rank=3),
        Column(
            "Used up",
            ["now" if each.over else show_time(each.hit_at, each.budget) for each in outlooks],
            fixed=True,
            rank=1,
        ),
        Column(
            "Resets",
            [show_time(each.resets_at, each.budget) for each in outlooks],
            fixed=True,
            rank=4,
        ),
        Column("State", list(map(state, outlooks)), fixed=True),
    ]
    return columns


def budget_lines(store: Store) -> list[str]:
    """The table, for below a report and on the overview; nothing where there is no budget. Raises StoreError."""
    budgets = [budget for budget in read_budgets(store) if not budget.is_rate]
    outlooks = shortened(read_outlooks(store, budgets, datetime.now(UTC)))
    if not outlooks:
        return []
    from usage_tracker.cli.table import render_table

    instead = "`usage-tracker budget status -o json`"
    return ["\n", render_table("Budgets", outlook_columns(outlooks), (), instead=instead)]
