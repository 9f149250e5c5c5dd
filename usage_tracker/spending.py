"""What the calls within a budget's scope have used in a window: a question to the report, so that both say the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

from usage_tracker.budgets.budget import Budget, rolls
from usage_tracker.budgets.scope import NOBODY, WHOLE
from usage_tracker.budgets.view import Usual
from usage_tracker.budgets.windows import Window
from usage_tracker.conditions import Condition
from usage_tracker.report.groups import read_groups
from usage_tracker.report.listing import list_events
from usage_tracker.report.question import Query
from usage_tracker.report.sums import NOTHING, Sums
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
AHEAD = timedelta(hours=1)
"""By how much the clock of a host may be ahead: what it has stored counts at once, also where a window ends now."""


def read_used(store: Store, budget: Budget, window: Window) -> Mapping[str, Used]:
    """By part; a budget that has only one has that one. Raises StoreError."""
    by = () if budget.each is None else (REPORTED.get(budget.each, budget.each),)
    until = next_midnight(window.end + AHEAD) if rolls(budget) else window.end
    groups = read_groups(store, Query(window.start, until, by, conditions(budget)))
    if budget.each is None:
        return {WHOLE: used(budget, groups.get((), NOTHING))}
    return {NOBODY if value is None else cast(str, value): used(budget, sums) for (value,), sums in groups.items()}


def next_midnight(moment: datetime) -> datetime:
    """In UTC. Sums are by whole days of it: of a part of one, each event of a user or a tag would be read."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def conditions(budget: Budget) -> tuple[Condition, ...]:
    """The budget's scope, as a report has it."""
    return tuple(test._replace(dimension=REPORTED.get(test.dimension, test.dimension)) for test in budget.where)


def used(budget: Budget, sums: Sums) -> Used:
    amount = {
        "cost": sums.cost,
        "tokens": Decimal(sums.input_tokens + sums.output_tokens),
        "calls": Decimal(sums.calls),
    }[budget.measure]
    return Used(amount, sums.calls, sums.unpriced)


USUAL_DAYS = 7
USUAL_CALLS = 1000
"""The newest of so many days tell what is usual."""
LEAST_CALLS = 20
"""Fewer of a model tell nothing."""


def read_usual(store: Store, budget: Budget, now: datetime) -> dict[str, Usual]:
    """By model, what nineteen of twenty calls within the budget's scope have stayed below. Raises StoreError."""
    where = (*conditions(budget), Condition("status", True, "ok"))
    counts: dict[str, list[tuple[int, int]]] = {}
    for event in list_events(store, now - timedelta(days=USUAL_DAYS), now, where, USUAL_CALLS):
        into, out = event["input_tokens"], event["output_tokens"]
        if into is not None and out is not None and event["request_model"] is not None:
            counts.setdefault(event["request_model"], []).append((into, out))
    return {
        model: Usual(*(sorted(column)[len(column) * 95 // 100] for column in zip(*found, strict=True)))
        for model, found in counts.items()
        if len(found) >= LEAST_CALLS
    }
