"""What is said of refused calls: to who made them, and in the log."""

import logging
from datetime import datetime
from decimal import Decimal

from usage_tracker.budgets.amounts import exact, limit_of, show
from usage_tracker.budgets.budget import Budget, rolls
from usage_tracker.budgets.scope import named
from usage_tracker.budgets.windows import window_at
from usage_tracker.errors import BudgetExceeded
from usage_tracker.seldom import Seldom
from usage_tracker.zones import parse_zone

logger = logging.getLogger("usage_tracker")


def called(budget: Budget, part: str) -> str:
    whose = named(part)
    return f"the budget {budget.name!r} ({budget.scope}{f': {whose}' if whose else ''})"


def used_up(budget: Budget, part: str, used: int, now: datetime, needed: int | None = None) -> BudgetExceeded:
    """It has no room. `needed`: what the call may use, where that was asked."""
    window = window_at(budget.per, parse_zone(budget.zone), now)
    resets_at = None if rolls(budget) else window.end
    spent = exact(used, budget.measure)
    what = f"has used {show(spent, budget.measure)} of {show(budget.limit, budget.measure)} per {budget.per}"
    if needed is not None and used < limit_of(budget):
        what += f", and this call may use {show(exact(needed, budget.measure), budget.measure)}"
    if resets_at is None:
        when = f"there is room again as calls grow older than {budget.per}"
    else:
        when = f"it resets at {resets_at.astimezone(parse_zone(budget.zone)):%Y-%m-%d %H:%M:%S} {budget.zone}"
    return refusal(budget, part, f"{called(budget, part)} {what}; {when}", spent, resets_at)


def unknown(budget: Budget, part: str) -> BudgetExceeded:
    """Nobody knows whether it has room, and its owner wants no call then."""
    return refusal(
        budget,
        part,
        f"what {called(budget, part)} has used can't be known while the store can't be reached, and it is closed then",
    )


def unpriced(budget: Budget, part: str, model: str | None) -> BudgetExceeded:
    return refusal(
        budget,
        part,
        f"{called(budget, part)} refuses calls without a known price, and {model!r} has none; "
        "see `usage-tracker prices set`",
    )


def refusal(
    budget: Budget, part: str, sentence: str, spent: Decimal | None = None, resets_at: datetime | None = None
) -> BudgetExceeded:
    return BudgetExceeded(
        sentence[:1].upper() + sentence[1:],
        budget=budget.name,
        part=named(part),
        measure=budget.measure,
        spent=spent,
        limit=budget.limit,
        resets_at=resets_at,
    )


class Log:
    """What a process's log is told of its budgets."""

    def __init__(self) -> None:
        self._warnings: dict[str, Seldom] = {}

    def refuse(self, error: BudgetExceeded) -> BudgetExceeded:
        """The error, for who raises it. Who made the call is told by that: the log has no warning of it."""
        logger.info("%s", error)
        return error

    def warn(self, about: str, sentence: str) -> None:
        if self._warnings.setdefault(about, Seldom()).due():
            logger.warning("%s", sentence)
