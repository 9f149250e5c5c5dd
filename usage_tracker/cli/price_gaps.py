"""`usage-tracker prices unpriced`: the calls without a cost, and how to price them."""

from datetime import tzinfo

import click

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import printable, show_count, show_groups
from usage_tracker.cli.options import Conditions, resolve_range, selection_options
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.plain import SCHEMA_VERSION, csv_lines, json_head, json_text
from usage_tracker.cli.render import show_question
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.config import Dsn
from usage_tracker.pricing.occasion import STANDARD, TIERS
from usage_tracker.report import Query, Row, run

BY = ("provider", "model", "service_tier")


@click.command(
    help="""The models whose calls should have a cost and have none, those with most calls first, and how to price them.

    \b
    Examples:
      usage-tracker prices unpriced
      usage-tracker prices unpriced --since 7d --where project=alpha
      usage-tracker prices unpriced -o json
    """
)
@selection_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="The format.",
)
def unpriced(since: str | None, until: str | None, where: Conditions, zone: tzinfo, dsn: Dsn, output: str) -> None:
    query = Query(*resolve_range(since, until, zone), BY, where, zone)
    rows: list[Row] = []
    remark = None
    try:
        with reading(dsn) as store:
            rows = [row for row in run(store, query).rows if row.unpriced]
    except NothingYet as nothing:
        remark = str(nothing)
    rows.sort(key=lambda row: (-row.unpriced, str(row.group)))
    found = [
        {**dict(zip(BY, row.group, strict=True)), "unpriced": row.unpriced, "calls": row.calls,
         "input_tokens": row.input_tokens, "output_tokens": row.output_tokens, "remedy": remedy(row)}
        for row in rows
    ]  # fmt: skip
    if output == "json":
        emit([json_text({"schema_version": SCHEMA_VERSION, **json_head(query), "models": found})])
    elif output == "csv":
        emit(csv_lines([*BY, "unpriced", "calls", "input_tokens", "output_tokens", "remedy"], found))
    elif rows:
        emit([as_table(query, rows)])
    if not rows:
        say(remark or f"Every call that should have a cost has one{show_question(query)}.")


def as_table(query: Query, rows: list[Row]) -> str:
    from usage_tracker.cli.table import render_table

    columns = [
        *(
            Column(name.replace("_", " ").capitalize(), show_groups(name, [row.group[place] for row in rows]))
            for place, name in enumerate(BY)
        ),
        Column("Unpriced", [show_count(row.unpriced) for row in rows], number=True),
        Column("Of calls", [show_count(row.calls) for row in rows], number=True, rank=2),
        Column("Input", [show_count(row.input_tokens) for row in rows], number=True, rank=3),
        Column("Output", [show_count(row.output_tokens) for row in rows], number=True, rank=3),
    ]
    notes = ["Why a call has no cost: `usage-tracker events --where model=NAME`, then `usage-tracker events show ID`."]
    notes += dict.fromkeys(remedy(row) for row in rows[:3])
    return render_table(f"Calls without a cost{show_question(query)}", columns, notes)


def remedy(row: Row) -> str:
    """The command that prices such calls from now on."""
    provider, model, tier = row.group
    if model is None:
        return "The model is not known: neither the request nor the answer names it."
    whose = f" --provider {provider}" if provider else ""
    name = f"'{printable(str(model))}'"
    if tier and TIERS.get(str(tier).lower(), str(tier).lower()) != STANDARD:
        return f"Give {name} a price for the tier {printable(str(tier))} in a file for `usage-tracker prices import`."
    return f"usage-tracker prices set {name}{whose} --input USD --output USD    for a million tokens"
