"""What a reconciliation found: as a table, as JSON, as CSV, and in a sentence."""

from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import show_changes, show_count, show_groups, show_money, show_range, show_share
from usage_tracker.cli.output import emit, emit_data
from usage_tracker.cli.plain import csv_lines, json_document, json_head
from usage_tracker.plain_values import exact, plain
from usage_tracker.report.accounts import Figures
from usage_tracker.report.reconciling import Reconciliation, Row, Tolerance

SIDES = ("ours", "theirs")
FIGURES = Figures._fields


def show(found: Reconciliation, provider: str, tolerance: Tolerance, output: str) -> None:
    by = found.query.by
    if output == "table":
        if found.rows:
            from usage_tracker.cli.table import render_table

            emit([render_table(title(found, provider), as_columns(found), ())])
    elif output == "json":
        document = {
            "provider": provider,
            "currency": "USD",
            "tolerance": {"share": exact(tolerance.share), "dollars": exact(tolerance.dollars)},
            "apart": found.apart,
            "rows": [as_object(row, by) for row in found.rows],
            "total": as_object(found.total, ()),
        }
        emit([json_document(**json_head(found.query), **document)])
    else:
        names = [*by, *(f"{side}_{name}" for side in SIDES for name in FIGURES), "difference", "unpriced", "apart"]
        emit_data(csv_lines(names, [flat(row, by) for row in found.rows]))


def as_object(row: Row, by: Sequence[str]) -> dict[str, object]:
    return {
        **{name: plain(value) for name, value in zip(by, row.group, strict=True)},
        **{side: {name: plain(getattr(getattr(row, side), name)) for name in FIGURES} for side in SIDES},
        "difference": plain(row.difference),
        "unpriced": row.unpriced,
        "apart": row.apart,
    }


def flat(row: Row, by: Sequence[str]) -> dict[str, object]:
    return {
        **dict(zip(by, row.group, strict=True)),
        **{f"{side}_{name}": getattr(getattr(row, side), name) for side in SIDES for name in FIGURES},
        "difference": row.difference,
        "unpriced": row.unpriced,
        "apart": row.apart,
    }


def as_columns(found: Reconciliation) -> list[Column]:
    rows = [*found.rows, found.total]
    columns = [
        Column(name.capitalize(), show_groups(name, [row.group[place] for row in found.rows]))
        for place, name in enumerate(found.query.by)
    ]
    columns[0] = columns[0]._replace(total="Total")
    for name, header in (("input_tokens", "Input"), ("output_tokens", "Output")):
        for side in SIDES:
            *cells, total = [show_count(getattr(getattr(row, side), name)) for row in rows]
            columns.append(Column(f"{header} {side}", cells, total, number=True, rank=3))
    if any(row.unpriced for row in rows):
        *cells, total = [show_count(row.unpriced) for row in rows]
        columns.append(Column("Unpriced", cells, total, number=True, rank=1))
    costs = {side: [getattr(row, side).cost for row in rows] for side in SIDES}
    every = [amount for amounts in costs.values() for amount in amounts]
    for side, amounts in costs.items():
        *cells, total = show_money(amounts, every)
        columns.append(Column(f"Cost {side}", cells, total, number=True, money=True))
    *cells, total = show_changes([row.difference for row in rows], every)
    columns.append(Column("Difference", cells, total, number=True, money=True))
    *cells, total = [show_share(row.ours.cost or Decimal(0), row.theirs.cost) for row in rows]
    columns.append(Column("%", cells, total, number=True, rank=2))
    *cells, total = ["≠" if row.apart else "" for row in rows]
    return [*columns, Column("", cells, total, fixed=True)]


def title(found: Reconciliation, provider: str) -> str:
    return f"Ours and {provider}'s · {show_range(found.query.since, found.query.until, UTC)} · UTC"


def summary(found: Reconciliation, provider: str) -> str:
    if not found.rows:
        return f"No calls and no costs of {provider} in these days."
    apart = sum(row.apart for row in found.rows)
    if not found.apart:
        all_of_them = "The only row agrees" if len(found.rows) == 1 else f"All {len(found.rows):,} rows agree"
        return f"{all_of_them} with {provider}."
    if not apart:
        return f"Each row agrees with {provider}; their sums don't."
    return f"{apart:,} of {len(found.rows):,} rows {'is' if apart == 1 else 'are'} apart from {provider}'s figures (≠)."
