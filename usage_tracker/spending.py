"""What the calls within budgets' scopes have used in a window: questions to the report, so that both say the same.

Budgets that differ only in the values that they name, such as one for each of thousands of teams, are one question.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, cast

from usage_tracker.budgets.budget import Budget, rolls
from usage_tracker.budgets.scope import NOBODY, WHOLE
from usage_tracker.budgets.view import Usual
from usage_tracker.budgets.windows import Window
from usage_tracker.conditions import Condition
from usage_tracker.report.dimensions import MOST_DIMENSIONS
from usage_tracker.report.groups import read_groups
from usage_tracker.report.listing import list_events
from usage_tracker.report.question import Query
from usage_tracker.report.sums import NOTHING, Group, Sums
from usage_tracker.stores import Store

REPORTED = {"model": "request_model"}
"""A budget's words, where a report has another for the same."""
TOLD_APART = (
    "user", "session", "tag", "project", "team", "api_key", "app", "host", "model", "operation", "provider", "sdk",
)  # fmt: skip
"""By what budgets are told apart; that of which there are most values first."""
AT_ONCE = 500
"""Values of one question. SQLite takes 32,766 in a statement."""


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

UsedOf = Mapping[Budget, Mapping[str, Used]]
"""Of each budget by part; one that has only one part has that one."""


class Question(NamedTuple):
    """What budgets have used that differ only in the values that they name."""

    query: Query
    """By the dimensions of those values, and then by the parts of each budget."""
    budgets: Mapping[Group, Sequence[Budget]]
    """By their values."""

    @property
    def all(self) -> list[Budget]:
        return [budget for alike in self.budgets.values() for budget in alike]


class Alike(NamedTuple):
    """What budgets of one question have in common."""

    since: datetime
    until: datetime
    named: tuple[str, ...]
    """The dimensions of the values that they name."""
    each: str | None
    where: tuple[Condition, ...]
    """Their other conditions."""


def read_used(store: Store, windows: Mapping[Budget, Window]) -> UsedOf:
    """What each budget has used in its window. Raises StoreError."""
    found: dict[Budget, Mapping[str, Used]] = {}
    for question in questions(windows):
        found.update(answer(store, question))
    return found


def questions(windows: Mapping[Budget, Window]) -> Iterator[Question]:
    """As few as tell what all the budgets have used."""
    asked: dict[Alike, dict[Group, list[Budget]]] = {}
    for budget, window in windows.items():
        named = values_of(budget)
        rest = sorted({test for test in budget.where if test.dimension not in named}, key=str)
        until = next_midnight(window.end + AHEAD) if rolls(budget) else window.end
        alike = Alike(window.start, until, tuple(named), budget.each, tuple(rest))
        asked.setdefault(alike, {}).setdefault(tuple(named.values()), []).append(budget)
    for alike, budgets in asked.items():
        values = list(budgets)
        for start in range(0, len(values), AT_ONCE):
            some = {each: budgets[each] for each in values[start : start + AT_ONCE]}
            yield Question(query_of(alike, some), some)


def values_of(budget: Budget) -> dict[str, str]:
    """The values that it names, by dimension: as many as a question can be grouped by."""
    found: dict[str, str] = {}
    room = MOST_DIMENSIONS if budget.each is None else MOST_DIMENSIONS - 1
    for dimension in TOLD_APART:
        tests = [test for test in budget.where if test.dimension == dimension]
        literal = tests[0].literal if len(tests) == 1 and tests[0].equal else None
        if literal is not None and dimension != budget.each and len(found) < room:
            found[dimension] = literal
    return found


def query_of(alike: Alike, budgets: Mapping[Group, object]) -> Query:
    by = [reported(name) for name in (*alike.named, *([] if alike.each is None else [alike.each]))]
    among = (by[0], frozenset(str(values[0]) for values in budgets)) if alike.named else None
    return Query(alike.since, alike.until, tuple(by), conditions(alike.where), among=among)


def answer(store: Store, question: Question) -> UsedOf:
    """Raises StoreError."""
    found: dict[Budget, dict[str, Used]] = {
        budget: {} if budget.each is not None else {WHOLE: used(budget, NOTHING)} for budget in question.all
    }
    named = len(next(iter(question.budgets)))
    for group, sums in read_groups(store, question.query).items():
        for budget in question.budgets.get(group[:named], ()):
            part = WHOLE if budget.each is None else NOBODY if group[-1] is None else cast(str, group[-1])
            found[budget][part] = used(budget, sums)
    return found


def reported(name: str) -> str:
    return REPORTED.get(name, name)


def next_midnight(moment: datetime) -> datetime:
    """In UTC. Sums are by whole days of it: of a part of one, each event of a user or a tag would be read."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def conditions(where: Sequence[Condition]) -> tuple[Condition, ...]:
    """A budget's scope, as a report has it."""
    return tuple(test._replace(dimension=reported(test.dimension)) for test in where)


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
    where = (*conditions(budget.where), Condition("status", True, "ok"))
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
