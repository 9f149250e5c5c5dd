"""What the calls within a budget's scope have used in a window: a question to the report, so that both say the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.scope import NOBODY, WHOLE
from usage_tracker.budgets.windows import Window
from usage_tracker.report.conditions import Condition
from usage_tracker.report.groups import NOTHING, Sums, read_groups
from usage_tracker.report.question import Query
from usage_tracker.stores import Store

REPORTED = {"model": "request_model"}
"""A budget's words, where a report has another for the same."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one part of a budget has used, by events that are stored."""

    amount: Decimal
    """In the budget's measure."""
    calls: int
    unpriced: int
    """Calls without a known cost: they are in no sum of dollars."""


NOTHING_USED = Used(Decimal(0), 0, 0)


def read_used(store: Store, budget: Budget, window: Window) -> Mapping[str, Used]:
    """By part; a budget that has only one has that one. Raises StoreError."""
    by = () if budget.each is None else (REPORTED.get(budget.each, budget.each),)
    where = tuple(
        Condition(REPORTED.get(test.dimension, test.dimension), test.equal, test.pattern) for test in budget.where
    )
    groups = read_groups(store, Query(window.start, window.end, by, where))
    if budget.each is None:
        return {WHOLE: used(budget, groups.get((), NOTHING))}
    return {NOBODY if value is None else cast(str, value): used(budget, sums) for (value,), sums in groups.items()}


def used(budget: Budget, sums: Sums) -> Used:
    amount = {
        "cost": sums.cost,
        "tokens": Decimal(sums.input_tokens + sums.output_tokens),
        "calls": Decimal(sums.calls),
    }[budget.measure]
    return Used(amount, sums.calls, sums.unpriced)


def read_pace(store: Store, budget: Budget, since: datetime, until: datetime) -> Mapping[str, Used]:
    """As `read_used`, of another stretch of time."""
    return read_used(store, budget, Window(since, until))
