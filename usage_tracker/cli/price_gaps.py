"""`usage-tracker prices unpriced`: the calls without a cost, and how to price them."""

from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import click

from usage_tracker.cli.columns import Column, heading
from usage_tracker.cli.figures import UNKNOWN, show_count, show_groups
from usage_tracker.cli.options import Conditions, output_option, resolve_range, selection_options
from usage_tracker.cli.output import emit, emit_data, say
from usage_tracker.cli.plain import csv_lines, json_document, json_head
from usage_tracker.cli.price_books import open_books, open_pricer, prices_option
from usage_tracker.cli.price_reasons import Reason, reason_of, telling_unpriced
from usage_tracker.cli.render import show_question
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.conditions import exactly
from usage_tracker.dsn import Dsn
from usage_tracker.pricing import Pricer
from usage_tracker.report import Query, Row, run
from usage_tracker.stores import Store

BY = ("provider", "model", "service_tier")
FIGURES = ("unpriced", "calls", "input_tokens", "output_tokens", "why", "remedy", "newest")
MOST_REASONS = 50
"""Models that are looked into, of those with most calls."""
REMEDIES = 5
"""Models whose remedy is said below the table."""


@click.command(
    help="""The models whose calls should have a cost and have none, those with most calls first: why, and what helps.

    \b
    Examples:
      usage-tracker prices unpriced
      usage-tracker prices unpriced --since 7d --where project=alpha
      usage-tracker prices unpriced -o json
    """
)
@selection_options
@prices_option
@output_option(("table", "json", "csv"))
def unpriced(
    since: str | None, until: str | None, where: Conditions, zone: tzinfo, dsn: Dsn, path: Path | None, output: str
) -> None:
    query = Query(*resolve_range(since, until, zone), BY, where, zone)
    gaps: list[Gap] = []
    remark = None
    try:
        with reading(dsn) as store:
            rows = [row for row in run(store, query).rows if row.unpriced]
            rows.sort(key=lambda row: (-row.unpriced, str(row.group)))
            pricer = open_pricer(open_books(dsn, path)) if rows else None
            gaps = [look_into(store, pricer if place < MOST_REASONS else None, query, row)
                    for place, row in enumerate(rows)]  # fmt: skip
    except NothingYet as nothing:
        remark = str(nothing)
    if output == "json":
        found = [as_figures(gap) for gap in gaps]
        emit([json_document(**json_head(query), models=found)])
    elif output == "csv":
        emit_data(csv_lines([*BY, *FIGURES], [as_figures(gap) for gap in gaps]))
    elif gaps:
        emit([as_table(query, gaps)])
    if not gaps:
        say(remark or f"Every call that should have a cost has one{show_question(query)}.")


class Gap(NamedTuple):
    """The calls of one model that have no cost, and the newest of them."""

    row: Row
    newest: str | None
    """Its id."""
    reason: Reason | None
    """Why that one has none."""


def look_into(store: Store, pricer: Pricer | None, query: Query, row: Row) -> Gap:
    if pricer is None:
        return Gap(row, None, None)
    group = [exactly(name, value) for name, value in zip(BY, row.group, strict=True)]
    event = telling_unpriced(store, query, group)
    return Gap(row, None, None) if event is None else Gap(row, event["event_id"], reason_of(pricer, event))


def as_figures(gap: Gap) -> dict[str, Any]:
    row, reason = gap.row, gap.reason
    return {
        **dict(zip(BY, row.group, strict=True)),
        "unpriced": row.unpriced,
        "calls": row.calls,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "why": reason and reason.why,
        "remedy": reason and reason.remedy,
        "newest": gap.newest,
    }


def as_table(query: Query, gaps: list[Gap]) -> str:
    from usage_tracker.cli.table import render_table

    rows = [gap.row for gap in gaps]
    columns = [
        *(
            Column(heading(name), show_groups(name, [row.group[place] for row in rows]))
            for place, name in enumerate(BY)
        ),
        Column("Unpriced", [show_count(row.unpriced) for row in rows], number=True),
        Column("Of calls", [show_count(row.calls) for row in rows], number=True, rank=2),
        Column("Input", [show_count(row.input_tokens) for row in rows], number=True, rank=3),
        Column("Output", [show_count(row.output_tokens) for row in rows], number=True, rank=3),
        Column("Why", [gap.reason.why if gap.reason else UNKNOWN for gap in gaps]),
    ]
    notes = []
    if first := gaps[0].newest:
        which = "each model's newest call, if possible of one that the app didn't leave"
        notes = [f"Why is that of {which}; the first one's: `usage-tracker events show {first}`."]
    notes += dict.fromkeys(gap.reason.remedy for gap in gaps[:REMEDIES] if gap.reason)
    return render_table(f"Calls without a cost{show_question(query)}", columns, notes)
