"""The first page: what was spent, on what, and where it is going."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from usage_tracker.cli.figures import UNKNOWN, show_count, show_groups, show_money, show_part, show_share
from usage_tracker.cli.notes import explain
from usage_tracker.cli.overview import project_month
from usage_tracker.conditions import exactly
from usage_tracker.report import (
    TAGGED,
    Query,
    Range,
    Report,
    Row,
    parse_range,
    previous,
)
from usage_tracker.report.dimensions import MOST_DIMENSIONS
from usage_tracker.report.ranges import DEFAULT_SINCE
from usage_tracker.report.ranking import rank
from usage_tracker.report.sums import Group
from usage_tracker.web.budget_lines import Warnings, standing, warnings
from usage_tracker.web.charts import Chart, over_time
from usage_tracker.web.colours import assign
from usage_tracker.web.parameters import Refused, one_of
from usage_tracker.web.prices_age import KEPT_SECONDS, PriceData, price_data
from usage_tracker.web.pruned import notes_on_reports
from usage_tracker.web.reading import Reader
from usage_tracker.web.view import View, fitting_unit

RANKS = ("model", "provider", "project", "team", "app", "user", "api_key", "operation", "tag", "service_tier", "status")
"""The dimensions that have a tab. By session and host, rollups know nothing: see Explore."""
DRAWN = 8
"""Series of the chart, the rest is one."""
LISTED = 50
MOST_BY = MOST_DIMENSIONS - 1
"""Dimensions of the table: the chart has time beside them."""

MEASURE = one_of("measure", "What the chart shows.", ("cost", "calls", "tokens"), default="cost")


COSTS = {"recorded": "Cost", "reported": "Cost, as reported", "current": "Cost, at today's prices"}


class Figure(NamedTuple):
    """One of the large figures."""

    name: str
    shown: str
    exact: str
    change: str = ""
    """Beside the period before; empty where there is none."""
    direction: str = ""
    """`up`, `down` or nothing."""
    note: str = ""
    tone: str = ""
    """`bad` where it needs somebody's eye."""
    address: str = ""


class Ranked(NamedTuple):
    name: str
    colour: str
    calls: str
    errors: str
    input: str
    output: str
    cost: str
    before: str
    change: str
    share: float
    """Of the largest, from 0 to 100."""
    percent: str
    """Of the total."""
    address: str | None
    """Where only this one is shown."""


@dataclass(frozen=True)
class Overview:
    query: Query
    figures: list[Figure]
    chart: Chart
    ranking: list[Ranked]
    total: Row
    total_shown: dict[str, str]
    notes: list[str]
    budgets: Warnings


async def look(reader: Reader, view: View, measure: str, path: str, root: str, now: datetime) -> Overview:
    """Ask what the page shows. Raises Refused, NothingYet and StoreError."""
    asked = view.range(now)
    by = view.by or ("model",)
    ranking = replace(replace(view, by=by, top=LISTED).query(now), before=period_before(asked, view, now))
    if ranking.unit is not None or len(by) > MOST_BY:
        raise Refused("the overview is by time and at most two other dimensions; Explore takes any three", "by")
    timed = Query(*asked, (fitting_unit(asked), *by), view.where, view.zone, DRAWN, cost=view.cost)
    month = Query(*parse_range("mtd", None, view.zone, now), (), view.where, view.zone, cost=view.cost)
    ranked, drawn, monthly, budgets, prices, pruned = await asyncio.gather(
        reader.ask(ranking),
        reader.ask(timed),
        reader.ask(month),
        standing(reader, now),
        reader.known("price data", price_data, KEPT_SECONDS),
        notes_on_reports(reader, ranking, timed),
    )
    # those that are drawn first, which need not stand first in the table: it is by its first dimension
    costliest = sorted(ranked.rows, key=lambda row: rank((row.cost or Decimal(0), row.calls), row.group))
    colours = assign(row.group for row in costliest)
    return Overview(
        ranking,
        figures(ranked, monthly, prices, view, now, root),
        over_time(drawn, measure, colours),
        ranks(ranked, colours, replace(view, by=by), path),
        ranked.total,
        totals(ranked),
        [*explain(ranked), *pruned, *filter(None, [budgets.note])],
        warnings(budgets.outlooks),
    )


def period_before(asked: Range, view: View, now: datetime) -> Range | None:
    """What the range is held against; None where it has no start, or the calendar has nothing before it."""
    try:
        return previous(asked, view.zone, now)
    except ValueError:
        return None


def figures(report: Report, month: Report, prices: PriceData, view: View, now: datetime, root: str) -> list[Figure]:
    total, before = report.total, report.total_before
    errors = f"{show_part(total.errors, total.calls)} of all calls" if total.calls and total.errors else ""
    local = now.astimezone(view.zone).date()
    forecast = project_month(month.total, view.zone, now)
    age = prices.age(local)
    return [
        Figure(
            COSTS[view.cost],
            short_money(total.cost),
            exact_money(total.cost),
            *changed(report, lambda row: row.cost),
            note=f"{exact_money(before.cost)} before" if before and before.cost is not None else "",
        ),
        Figure("Calls", short(total.calls), show_count(total.calls), *changed(report, lambda row: row.calls)),
        Figure(
            "Tokens",
            short(total.tokens),
            show_count(total.tokens),
            *changed(report, lambda row: row.tokens),
            note=f"{rough(total.input_tokens)} in, {rough(total.output_tokens)} out",
        ),
        Figure(
            "Errors",
            short(total.errors),
            show_count(total.errors),
            *changed(report, lambda row: row.errors),
            note=errors,
            tone="bad" if total.calls and total.errors / total.calls >= 0.05 else "",
            address=failed_calls(view).address(root + "/events"),
        ),
        Figure(
            "Unpriced calls",
            short(total.unpriced),
            show_count(total.unpriced),
            *changed(report, lambda row: row.unpriced),
            note=what_is_unknown(report),
            tone="bad" if total.unpriced else "",
        ),
        Figure(
            "Month's end",
            short_money(forecast),
            exact_money(forecast),
            note=f"{'not known yet' if forecast is None else 'at this pace'}; {short_money(month.total.cost)} so far",
        ),
        Figure(
            "Price data",
            UNKNOWN if age is None else "today" if age == 0 else f"{age} day{'s' * (age != 1)}",
            f"genai-prices {prices.version}, its newest price holds from {prices.newest}",
            note=f"since its newest, {prices.version}",
            tone="bad" if age is not None and age > 120 else "",
        ),
    ]


def what_is_unknown(report: Report) -> str:
    if report.total.unpriced:
        return "their cost is in no sum"
    return f"not known yet of {show_count(report.untold)}" if report.untold else "every cost is known"


def failed_calls(view: View) -> View:
    """Those of the view's range, which the list of calls is told: it goes back to the first one by itself."""
    since, where = view.since or DEFAULT_SINCE, (*view.where, exactly("status", "error"))
    return replace(view, since=since, where=where, by=(), cost="recorded")


def changed(report: Report, pick: Callable[[Row], Decimal | int | None]) -> tuple[str, str]:
    """By how much a figure of the total has changed, and in which direction; nothing where there is nothing to say."""
    before = report.total_before
    return change(pick(report.total), None if before is None else pick(before))


def change(now: Decimal | int | None, before: Decimal | int | None) -> tuple[str, str]:
    if now is None or before is None:
        return "", ""
    shown = show_share(Decimal(now), Decimal(before))
    if shown == UNKNOWN:
        return ("new", "up") if now and not before else ("", "")
    return shown.lstrip("+-"), "up" if now > before else "down" if now < before else ""


def short(count: int | None) -> str:
    """A count in at most four digits; the page has the exact one beside it."""
    if count is None:
        return UNKNOWN
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if abs(count) >= size:
            scaled = count / size
            return f"{scaled:.1f}{unit}" if scaled < 100 else f"{scaled:,.0f}{unit}"
    return f"{count:,}"


def rough(count: int | None) -> str:
    return f"{count / 1000:.0f}k" if count is not None and 10_000 <= abs(count) < 1_000_000 else short(count)


def short_money(amount: Decimal | None) -> str:
    if amount is not None and abs(amount) >= 100_000:
        return f"{'-' if amount < 0 else ''}${abs(amount):,.0f}"
    return show_money([amount])[0]


def exact_money(amount: Decimal | None) -> str:
    return show_money([amount])[0]


def ranks(report: Report, colours: dict[Group, str], view: View, path: str) -> list[Ranked]:
    rows = [row for row in report.rows if row.calls or (report.before and report.before[row.group].calls)]
    costs = show_money(row.cost for row in rows)
    earlier = [report.before[row.group].cost if report.before else None for row in rows]
    befores = show_money(earlier, (row.cost for row in rows))
    largest = max((row.cost for row in rows if row.cost is not None), default=Decimal(0))
    whole = report.total.cost or Decimal(0)
    found = []
    for row, cost, was, shown_before in zip(rows, costs, earlier, befores, strict=True):
        amount, alone = row.cost or Decimal(0), view.only(view.by, row.group)
        found.append(
            Ranked(
                " · ".join(show_groups(name, [value])[0] for name, value in zip(view.by, row.group, strict=True)),
                colours[row.group],
                show_count(row.calls),
                show_count(row.errors),
                show_count(row.input_tokens),
                show_count(row.output_tokens),
                cost,
                shown_before,
                show_share(row.cost, was),
                float(max(amount, Decimal(0)) / largest * 100) if largest > 0 else 0.0,
                show_part(amount, whole) if whole and row.cost is not None else "",
                None if alone is None else alone.address(path),
            )
        )
    return found


def totals(report: Report) -> dict[str, str]:
    total, before = report.total, report.total_before
    cost, was = show_money([total.cost, before.cost if before else None])
    return {
        "calls": show_count(total.calls),
        "errors": show_count(total.errors),
        "input": show_count(total.input_tokens),
        "output": show_count(total.output_tokens),
        "cost": cost,
        "before": was,
        "change": show_share(total.cost, before.cost if before else None),
    }


def words(dimension: str) -> str:
    short = {"api_key": "API key", "service_tier": "Tier", "sdk": "SDK"}
    if dimension.startswith(TAGGED):
        return f"Tag {dimension.removeprefix(TAGGED)}"
    return short.get(dimension, dimension.replace("_", " ").capitalize())
