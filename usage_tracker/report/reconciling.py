"""Our figures beside a provider's own, by day, model and project, and which of them are apart."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import NamedTuple, cast

from usage_tracker.conditions import Condition
from usage_tracker.report.accounts import Account, Entry, Figures
from usage_tracker.report.conditions import parse_condition
from usage_tracker.report.query import Query, run
from usage_tracker.report.sums import Group, GroupValue
from usage_tracker.stores import Store

UNSAID = Figures()
KEYS = ("day", "model", "project")
DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
"""The date at the end of a model's full name."""
TOKENS = 1000
"""A difference that never matters."""


class Tolerance(NamedTuple):
    """How far figures may be from each other: a share of the provider's, and an amount that doesn't matter."""

    share: Decimal
    dollars: Decimal

    def holds(self, ours: Figures, theirs: Figures) -> bool:
        """Whether all that the provider says is as we have it. What is unknown to us counts as nothing."""
        return (
            self.near(ours.cost, theirs.cost, self.dollars)
            and self.near(ours.input_tokens, theirs.input_tokens, TOKENS)
            and self.near(ours.output_tokens, theirs.output_tokens, TOKENS)
        )

    def near(self, ours: Decimal | int | None, theirs: Decimal | int | None, least: Decimal | int) -> bool:
        if theirs is None:
            return True
        wanted = Decimal(theirs)
        return abs(wanted - (ours or 0)) <= max(Decimal(least), self.share * abs(wanted))


@dataclass(frozen=True)
class Row:
    group: Group
    ours: Figures = UNSAID
    theirs: Figures = UNSAID
    unpriced: int = 0
    """Calls of ours without a cost, which explain a difference."""
    apart: bool = False

    @property
    def difference(self) -> Decimal | None:
        """Ours less theirs, in US dollars."""
        return None if self.theirs.cost is None else (self.ours.cost or Decimal(0)) - self.theirs.cost


@dataclass(frozen=True)
class Reconciliation:
    query: Query
    rows: tuple[Row, ...]
    total: Row

    @property
    def apart(self) -> bool:
        return self.total.apart or any(row.apart for row in self.rows)


def compare_account(
    store: Store | None,
    account: Account,
    first: date,
    after: date,
    by: Collection[str],
    where: Iterable[Condition],
    projects: Mapping[str, str],
    tolerance: Tolerance,
) -> Reconciliation:
    """Hold the calls from the first day up to and without `after`, days of UTC, against the account.

    `store`: None where nothing was ever recorded. `projects`: our names of the provider's. Raises StoreError.
    """
    start, end = (datetime.combine(day, time(), UTC) for day in (first, after))
    of_provider = parse_condition(f"provider={account.provider}")
    query = Query(start, end, tuple(by), (of_provider, *where))
    rows: dict[Group, Row] = {}
    for found in () if store is None else run(store, query).rows:
        ours = Figures(
            found.calls - found.errors,
            found.input_tokens,
            found.cache_read_tokens,
            found.output_tokens,
            found.cost,
        )
        rows[found.group] = Row(found.group, ours, unpriced=found.unpriced)
    place_of_model = query.by.index("model") if "model" in query.by else None
    models = set() if place_of_model is None else {cast(str | None, group[place_of_model]) for group in rows}
    theirs: dict[Group, Figures] = {}
    for entry in account.entries:
        if first <= entry.day < after:
            group = group_of(entry, query.by, models, projects)
            theirs[group] = theirs.get(group, UNSAID).plus(entry.figures)
    known = account.knows()
    for group in {*rows, *theirs}:
        row = rows.get(group, Row(group))
        rows[group] = judge(replace(row, theirs=known.plus(theirs.get(group, UNSAID))), tolerance)
    ordered = tuple(sorted(rows.values(), key=lambda row: place(query.by, row)))
    return Reconciliation(query, ordered, judge(total_of(ordered, known), tolerance))


def group_of(entry: Entry, by: Collection[str], models: Collection[str | None], projects: Mapping[str, str]) -> Group:
    values: dict[str, GroupValue] = {
        "day": entry.day,
        "model": own_name(entry.model, models),
        "project": projects.get(entry.project or "", entry.project),
    }
    return tuple(values[name] for name in by)


def own_name(model: str | None, models: Collection[str | None]) -> str | None:
    """The name that our calls have for the provider's: itself or, with or without a date, the only one like it."""
    if model is None or model in models:
        return model
    alike = [ours for ours in models if ours and (DATED.sub("", ours) == model or ours == DATED.sub("", model))]
    return alike[0] if len(alike) == 1 else model


def judge(row: Row, tolerance: Tolerance) -> Row:
    return replace(row, apart=not tolerance.holds(row.ours, row.theirs))


def total_of(rows: Iterable[Row], known: Figures) -> Row:
    total = Row((), theirs=known)
    for row in rows:
        total = replace(
            total,
            ours=total.ours.plus(row.ours),
            theirs=total.theirs.plus(row.theirs),
            unpriced=total.unpriced + row.unpriced,
        )
    return total


def place(by: Collection[str], row: Row) -> tuple[object, ...]:
    """By day, then the largest difference first."""
    days = [value for name, value in zip(by, row.group, strict=True) if name == "day"]
    return (*days, -abs(row.difference or Decimal(0)), [str(value) for value in row.group])
