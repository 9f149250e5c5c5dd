"""`usage-tracker` alone: where things stand, in one screen, and what to type next."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import NamedTuple

import click

from usage_tracker.budgets.outlook import project
from usage_tracker.budgets.windows import window_at
from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import (
    UNKNOWN,
    counted,
    difference,
    show_changes,
    show_count,
    show_groups,
    show_money,
    show_share,
)
from usage_tracker.cli.notes import calls, name_models
from usage_tracker.cli.options import choose_dsn
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.report_sources import lines_of_budgets
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.cli.waiting import spool_of, waiting_note
from usage_tracker.dsn import Dsn
from usage_tracker.journal.aside import noted_dropped
from usage_tracker.report import Query, Range, Report, Row, parse_range, previous, run
from usage_tracker.stores import Store
from usage_tracker.zones import parse_zone

DAYS = 30
TOP = 5
BLOCKS = "▁▂▃▄▅▆▇█"


class Overview(NamedTuple):
    """What one screen says."""

    today: Report
    month: Report
    """By model."""
    projects: Report
    days: Report
    budgets: Sequence[str]
    """The table of them."""
    now: datetime
    zone: tzinfo


def overview() -> NothingYet | None:
    """Show it, of the store and in the zone that the environment names; or give back why there is nothing to show."""
    dsn = choose_dsn(os.environ.get("TRACKER_DSN"))
    try:
        zone = parse_zone(os.environ.get("TRACKER_TZ") or "UTC")
    except ValueError as error:
        raise click.UsageError(f"TRACKER_TZ: {error}") from None
    try:
        seen = look(dsn, zone)
    except NothingYet as nothing:
        return nothing
    emit([*show(seen), *seen.budgets])
    warnings = [*warn(seen.month), *warn_of_journal(dsn)]
    if warnings:
        say("")
    for warning in warnings:
        say(f"! {warning}")
    emit([NEXT])
    return None


def look(dsn: Dsn, zone: tzinfo, now: datetime | None = None) -> Overview:
    """Ask the store. Raises NothingYet and StoreError."""
    moment = now or datetime.now(UTC)
    with reading(dsn) as store:
        today = parse_range("today", None, zone, moment)
        month = parse_range("mtd", None, zone, moment)

        def compared(asked: Range, *by: str) -> Report:
            return run(store, Query(*asked, by, (), zone, TOP, previous(asked, zone, moment)))

        return Overview(
            compared(today),
            compared(month, "model"),
            compared(month, "project"),
            last_days(store, zone, moment),
            lines_of_budgets(store),
            moment,
            zone,
        )


def last_days(store: Store, zone: tzinfo, now: datetime) -> Report:
    return run(store, Query(*parse_range(f"{DAYS - 1}d", None, zone, now), ("day",), (), zone))


def show(seen: Overview) -> list[str]:
    """The screen, piece by piece."""
    from usage_tracker.cli.table import render_table

    month = seen.month.total
    figures = [
        ("Today", seen.today.total, seen.today.total_before),
        ("Month to date", month, seen.month.total_before),
    ]
    money = show_money([row.cost for _, row, _ in figures])
    columns = [
        Column("", [name for name, _, _ in figures], fixed=True),
        Column("Calls", [show_count(row.calls) for _, row, _ in figures], number=True),
        Column("Errors", [show_count(row.errors) for _, row, _ in figures], number=True, rank=3),
        Column("Input", [show_count(row.input_tokens) for _, row, _ in figures], number=True, rank=1),
        Column("Output", [show_count(row.output_tokens) for _, row, _ in figures], number=True, rank=1),
        Column("Cost", money, number=True, money=True),
        Column(
            "Before",
            show_money(
                [before.cost if before else None for _, _, before in figures], [row.cost for _, row, _ in figures]
            ),
            number=True,
            money=True,
            rank=2,
        ),
        Column(
            "Δ %", [show_share(row.cost, before.cost if before else None) for _, row, before in figures], number=True
        ),
    ]
    local = seen.now.astimezone(seen.zone)
    return [
        render_table(f"{local:%Y-%m-%d %H:%M} · {seen.zone}", columns, (), instead=None),
        f"\n{DAYS} days  {sparkline(seen.days, local.date())}  {total_cost(seen.days)}\n",
        f"{pace(month, seen.zone, seen.now)}\n\n",
        top("Model", seen.month),
        "\n",
        top("Project", seen.projects),
    ]


def top(header: str, report: Report) -> str:
    """The most expensive, this month, beside the month before."""
    from usage_tracker.cli.table import render_table

    rows = report.rows
    names = show_groups(report.query.by[0], [row.group[0] for row in rows])
    before = [report.before[row.group].cost for row in rows]
    costs = [row.cost for row in rows]
    changes = [difference(now, then) for now, then in zip(costs, before, strict=True)]
    columns = [
        Column(header, names, name=True),
        Column("Calls", [show_count(row.calls) for row in rows], number=True),
        Column("Cost", show_money(costs), number=True, money=True),
        Column("Δ", show_changes(changes, costs), number=True, money=True, rank=1),
    ]
    return render_table(f"This month by {header.lower()}", columns, (), instead=None)


def pace(month: Row, zone: tzinfo, now: datetime) -> str:
    """What the month will cost, in words."""
    projected = project_month(month, zone, now)
    if projected is None:
        return "It is not known yet what the month will cost"
    return f"At this pace {show_money([projected], [month.cost])[0]} by the end of the month"


def project_month(month: Row, zone: tzinfo, now: datetime) -> Decimal | None:
    """What the month will have cost if it goes on as it did; None: no cost is known, or it has begun only now."""
    return None if month.cost is None else project(month.cost, window_at("month", zone, now), now)


def sparkline(report: Report, today: date) -> str:
    """A block for each day: its cost or, where none is known, its calls. A day of credits has none."""
    by_cost = any(row.cost for row in report.rows)
    sizes = {row.group[0]: row.cost or Decimal(0) if by_cost else Decimal(row.calls) for row in report.rows}
    largest = max(sizes.values(), default=Decimal(0))
    days = [sizes.get(today - timedelta(days=ago), Decimal(0)) for ago in reversed(range(DAYS))]
    return "".join(" " if size <= 0 else BLOCKS[min(7, int(size / largest * 8))] for size in days)


def total_cost(report: Report) -> str:
    return show_money([report.total.cost])[0] if report.total.cost is not None else UNKNOWN


def warn(month: Report) -> list[str]:
    """What needs somebody's eye."""
    total = month.total
    warnings = []
    if total.unpriced:
        warnings.append(
            f"{calls(total.unpriced, 'is', 'are')} unpriced this month ({name_models(month.unpriced_models)}): "
            f"{'its' if total.unpriced == 1 else 'their'} cost is in no sum; see `usage-tracker prices unpriced`."
        )
    if total.estimated:
        warnings.append(f"{calls(total.estimated, 'has', 'have')} estimated tokens this month.")
    return warnings


def warn_of_journal(dsn: Dsn) -> list[str]:
    """What is not in the store: events that wait, and events that were lost."""
    warnings = []
    if waiting := waiting_note(dsn):
        warnings.append(waiting)
    if dropped := noted_dropped(spool_of(dsn)):
        warnings.append(f"{counted(dropped, 'event')} dropped, and in no figure; `usage-tracker doctor` says why.")
    return warnings


NEXT = """
Next:
  usage-tracker report --by project,model --compare previous
  usage-tracker daily --chart
  usage-tracker events --where status=error
  usage-tracker --help
"""
