"""`usage-tracker reprice`: price stored calls again, at the prices of their own time that are known now."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from pathlib import Path

import click

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import show_count, show_groups, show_money
from usage_tracker.cli.notes import calls
from usage_tracker.cli.options import Conditions, output_option, resolve_range, selection_options
from usage_tracker.cli.output import emit, emit_data, say
from usage_tracker.cli.plain import csv_lines, json_document, json_head
from usage_tracker.cli.price_books import open_books, open_pricer, prices_option
from usage_tracker.cli.render import show_question
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.dsn import Dsn
from usage_tracker.plain_values import plain
from usage_tracker.report import Query
from usage_tracker.report.repricing import Comparison, compare_prices
from usage_tracker.stores import Store

AT_ONCE = 5000
"""Calls that are changed in one transaction, with the rollups that they count in."""
COLUMNS = ("provider", "model", "calls", "changed", "refused", "unpriced", "before", "after", "difference")


@dataclass
class Sums:
    """What repricing means for the calls of one model."""

    calls: int = 0
    changed: int = 0
    refused: int = 0
    unpriced: int = 0
    """Calls without a cost, before and after."""
    before: Decimal | None = None
    """None: none of them has a cost."""
    after: Decimal | None = None

    def add(self, each: Comparison) -> None:
        before: Decimal | None = each.event["cost"]
        after = each.now.amount if each.outcome == "changed" else before
        self.calls += 1
        self.changed += each.outcome == "changed"
        self.refused += each.outcome == "refused"
        self.unpriced += after is None and "unpriced" in each.event["cost_flags"]
        self.before, self.after = plus(self.before, before), plus(self.after, after)

    @property
    def difference(self) -> Decimal | None:
        """What the sum of costs moves by."""
        return None if self.after is None else self.after - (self.before or Decimal(0))


def plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return one if other is None else other if one is None else one + other


@click.command(
    help="""Price the calls of a range again: each at the prices of its own time, as they are known now.

    Use it after `usage-tracker prices set`, or with newer price data, for calls that were stored without a cost or with
    a wrong one. Without --apply it only shows the difference, model by model. What a call did cost is kept beside the
    new cost (`usage-tracker events show` has both), and reports move along in the same transaction. A call that has a
    cost, and no known price of its time any more, keeps what it has.

    \b
    Examples:
      usage-tracker reprice --since 7d
      usage-tracker reprice --since 2026-08 --until 2026-08 --where 'model=acme-*'
      usage-tracker reprice --since 2026-08 --until 2026-08 --where 'model=acme-*' --apply
    """
)
@selection_options
@prices_option
@click.option("--apply", is_flag=True, help="Change the costs; without it, nothing is changed.")
@output_option(("table", "json", "csv"))
def reprice(
    since: str | None,
    until: str | None,
    where: Conditions,
    zone: tzinfo,
    dsn: Dsn,
    path: Path | None,
    apply: bool,
    output: str,
) -> None:
    if since is None:
        raise click.UsageError("say which calls with --since, such as --since 7d or --since all")
    query = Query(*resolve_range(since, until, zone), ("provider", "model"), where, zone)
    sums: defaultdict[tuple[str | None, str | None], Sums] = defaultdict(Sums)
    remark = None
    try:
        pricer = open_pricer(open_books(dsn, path))
        with reading(dsn) as store:
            for hour in compare_prices(store, pricer, query.since, query.until, where):
                for each in hour:
                    sums[each.event["provider"], each.event["model"] or each.event["request_model"]].add(each)
                if apply:
                    change(store, [each for each in hour if each.outcome == "changed"])
    except NothingYet as nothing:
        remark = str(nothing)
    rows = sorted(sums.items(), key=lambda item: (-abs(item[1].difference or Decimal(0)), str(item[0])))
    show(query, rows, output)
    say(remark or summary(query, [found for _, found in rows], apply))


def change(store: Store, changed: Sequence[Comparison]) -> None:
    for start in range(0, len(changed), AT_ONCE):
        store.reprice([each.repriced() for each in changed[start : start + AT_ONCE]])


Rows = Sequence[tuple[tuple[str | None, str | None], Sums]]


def show(query: Query, rows: Rows, output: str) -> None:
    found = [
        {"provider": provider, "model": model, **vars(each), "difference": each.difference}
        for (provider, model), each in rows
    ]
    if output == "json":
        plain_rows = [{name: plain(row[name]) for name in COLUMNS} for row in found]
        emit([json_document(**json_head(query), currency="USD", rows=plain_rows)])
    elif output == "csv":
        emit_data(csv_lines(COLUMNS, found))
    elif rows:
        from usage_tracker.cli.table import render_table

        was = [*(each.before for _, each in rows), sum_of(rows, "before")]
        is_now = [*(each.after for _, each in rows), sum_of(rows, "after")]
        moved = [*(each.difference for _, each in rows), sum_of(rows, "difference")]
        *before, total_before = show_money(was, is_now)
        *after, total_after = show_money(is_now, was)
        *differences, difference = show_money(moved, is_now)
        columns = [
            Column("Provider", show_groups("provider", [provider for (provider, _), _ in rows]), total="Total"),
            Column("Model", show_groups("model", [model for (_, model), _ in rows]), name=True),
            Column("Calls", [show_count(each.calls) for _, each in rows], number=True, rank=1),
            Column("Changed", [show_count(each.changed) for _, each in rows], number=True),
            Column("Refused", [show_count(each.refused) for _, each in rows], number=True, rank=3),
            Column("No cost", [show_count(each.unpriced) for _, each in rows], number=True, rank=2),
            Column("Before", before, total_before, number=True, money=True),
            Column("After", after, total_after, number=True, money=True),
            Column("Difference", differences, difference, number=True, money=True),
        ]
        emit([render_table(f"Priced again{show_question(query)}", columns, ())])


def sum_of(rows: Rows, name: str) -> Decimal | None:
    total: Decimal | None = None
    for _, each in rows:
        total = plus(total, getattr(each, name))
    return total


def summary(query: Query, found: Sequence[Sums], applied: bool) -> str:
    if not found:
        return f"No calls{show_question(query)}."
    changed, refused = sum(each.changed for each in found), sum(each.refused for each in found)
    unpriced = sum(each.unpriced for each in found)
    kept = (
        f" {calls(refused, 'keeps its', 'keep their')} cost: no price of that time is known, which `usage-tracker "
        "prices set --from` gives."
        if refused
        else ""
    )
    if unpriced:
        them = calls(unpriced, "still has", "still have")
        kept += f" {them} no cost: `usage-tracker prices unpriced` says why."
    if applied:
        return f"{calls(changed, 'has', 'have')} another cost now.{kept}"
    again = "; add --apply to change them" if changed else ""
    return f"{changed:,} of {sum(each.calls for each in found):,} calls would cost something else{again}.{kept}"
