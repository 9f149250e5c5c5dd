"""`usage-tracker report`: who used what, and what it cost; and its short forms `daily`, `weekly`, `monthly` and
`top`."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import click

from usage_tracker.cli.columns import FIELDS, PERCENTILES
from usage_tracker.cli.commands import COMMANDS
from usage_tracker.cli.notes import explain
from usage_tracker.cli.options import Conditions, output_option, resolve_range, selection_options
from usage_tracker.cli.output import as_for_a_file, emit, emit_data, say, write_file
from usage_tracker.cli.render import FOR_PROGRAMS, HOLDS_NOTES, RENDERERS, as_chart, nothing_found
from usage_tracker.cli.report_sources import Answer, ask, ask_files, find_source
from usage_tracker.cli.waiting import waiting_note
from usage_tracker.dates import first_day, months_later
from usage_tracker.dsn import Dsn
from usage_tracker.report import DIMENSIONS, UNITS, CostBasis, Query, Range
from usage_tracker.report.comparison import earlier
from usage_tracker.report.spelling import did_you_mean


def names_in(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an option that is repeated or has commas."""
    return tuple(name.strip() for text in texts for name in text.split(",") if name.strip())


def check_fields(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    names = names_in(texts)
    for name in names:
        if name not in FIELDS:
            meant = did_you_mean(name, FIELDS)
            raise click.BadParameter(f"{name!r} is not a figure{meant} There are: {', '.join(FIELDS)}")
    return names


SHARED = (
    selection_options,
    click.option(
        "--from",
        "origin",
        metavar="PLACE",
        help="Ask exported events instead of the store: a folder, s3://… and its kin, or the DSN of another store.",
    ),
    click.option(
        "--engine",
        default="duckdb",
        show_default=True,
        metavar="ENGINE",
        help="What reads exported events: duckdb, spark, or a Spark master such as spark://host:7077.",
    ),
    click.option(
        "--top",
        type=click.IntRange(min=1),
        metavar="N",
        help="Only the N most expensive, and a row of Others.",
    ),
    click.option(
        "--compare",
        metavar="WHEN",
        help="Hold each row against an earlier time: `previous`, or any of --since such as last-month.",
    ),
    click.option(
        "--cost",
        type=click.Choice(["recorded", "current", "reported"]),
        default="recorded",
        show_default=True,
        help="Which cost: as it was priced when calls were stored, at prices of today, or as providers reported it.",
    ),
    click.option("--chart", is_flag=True, help="Bars instead of a table."),
    click.option(
        "--fields",
        multiple=True,
        callback=check_fields,
        metavar="NAME",
        help="The figures to show, such as calls,cost; unset: those that say something.",
    ),
    output_option(RENDERERS),
    click.option(
        "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write to a file, not to stdout."
    ),
)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(SHARED):
        command = option(command)
    return command


@click.command(
    help=f"""Who used what, and what it cost: totals of calls, tokens and dollars.

    \b
    Without options: the month to date by model.
    Unknown figures are shown as —, and unpriced calls are named below the table.

    \b
    Dimensions of --by, up to three:
      {", ".join(UNITS)} (in the time zone; weeks start on Monday)
      {", ".join(list(DIMENSIONS)[:8])},
      {", ".join(list(DIMENSIONS)[8:])},
      tag:KEY (of tags such as tier:pro, tag:tier is pro)

    \b
    Ranges go from the start of --since to the end of --until; the range is printed.
      --since 7d                                   from midnight seven days ago until now
      --during last-month                          last month
      --since 2026-08-01 --until 2026-08-15        both days included

    \b
    Conditions (--where), all of which hold:
      model=gpt-4o   'model=gpt-*'   team!=core    * is any text, ? is one character, \\ escapes
      project=none                                 calls without a project
      tag=tier:pro                                 calls that have this tag
      flag=sum_mismatch                            calls whose cost has this flag, such as unpriced

    \b
    Examples:
      usage-tracker report --by project --compare previous
      usage-tracker report --by day,model --since 7d --top 5 -z Europe/Berlin
      usage-tracker report --by model --fields calls,p50_duration_ms,p95_duration_ms
      usage-tracker report --by day --chart
      usage-tracker report --by user --where project=alpha -o csv --out users.csv
    """
)
@click.option(
    "-b",
    "--by",
    multiple=True,
    default=("model",),
    metavar="DIMENSION",
    help="What to group by, up to three: --by day,model or repeated.  [default: model]",
)
@shared_options
def report(by: tuple[str, ...], **options: Any) -> None:
    show(names_in(by), **options)


def short_form(name: str, unit: str, first: Callable[[date], date]) -> click.Command:
    """A report by one unit of time, from a first day that suits it. It starts with a whole week or month."""

    @click.option("-b", "--by", multiple=True, metavar="DIMENSION", help=f"What else to group by, beside the {unit}.")
    @shared_options
    def command(by: tuple[str, ...], since: str | None, zone: tzinfo, **options: Any) -> None:
        if since is None:
            since = first(datetime.now(zone).date()).isoformat()
        show((unit, *names_in(by)), since=since, zone=zone, **options)

    summary = f"{COMMANDS[name].summary}\n\nA short form of `usage-tracker report --by {unit}`, with its options."
    return click.command(name, help=summary)(command)


daily = short_form("daily", "day", lambda today: today - timedelta(days=29))
weekly = short_form("weekly", "week", lambda today: first_day("week", today) - timedelta(weeks=11))
monthly = short_form("monthly", "month", lambda today: months_later(first_day("month", today), -11))


@click.command(
    help="""Who spends most: the ten most expensive of today.

    A short form of `usage-tracker report --by DIMENSION --since today --top 10`, with its options. Without a
    DIMENSION it is by model.
    """
)
@click.argument("dimension", default="model")
@shared_options
def top(dimension: str, since: str | None, top: int | None, **options: Any) -> None:
    show(names_in((dimension,)), since=since or "today", top=top or 10, **options)


def show(
    by: tuple[str, ...],
    *,
    since: str | None,
    until: str | None,
    where: Conditions,
    zone: tzinfo,
    dsn: Dsn,
    origin: str | None,
    engine: str,
    top: int | None,
    compare: str | None,
    cost: CostBasis,
    chart: bool,
    fields: tuple[str, ...],
    output: str,
    out: Path | None,
) -> None:
    """Ask, and print the answer with what has to be known of it."""
    if not by:
        raise click.BadParameter("name at least one dimension", param_hint="--by")
    asked = resolve_range(since, until, zone)
    try:
        query = Query(*asked, by, where, zone, top, percentiles=wants_percentiles(fields, output), cost=cost)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--by") from None
    if compare is not None:
        query = replace(query, before=resolve_earlier(compare, asked, zone))
    source = dsn if origin is None else find_source(origin)
    for_people = output == "table" and not chart
    if isinstance(source, Dsn):
        answer = ask(source, query, budgets=for_people and out is None and origin is None)
    else:
        answer = ask_files(source, engine, dsn, query)
    report, notes = answer.report, notes_of(answer, output)
    render = as_chart if chart and output == "table" else RENDERERS[output]
    nothing = None if report.rows else answer.missing or nothing_found(query)
    if out is not None:
        with as_for_a_file():
            text = f"{nothing}\n" if nothing and output == "table" else render(report, notes, fields)
        write_file(out, text)
        say(f"Written to {out}.")
    elif not nothing or output != "table":
        text = render(report, notes, fields)
        (emit_data if output in FOR_PROGRAMS else emit)([text, *answer.budgets])
    if nothing:
        say(nothing)
    elif output not in HOLDS_NOTES:
        for note in notes:
            say(note)
    if answer.pruned:
        say(answer.pruned)
    if isinstance(source, Dsn) and (waiting := waiting_note(source)):
        say(waiting)


def notes_of(answer: Answer, output: str) -> list[str]:
    """What a document says for programs has all that people are told beside it."""
    pruned = [answer.pruned] if answer.pruned and output == "json" else []
    return [*explain(answer.report), *pruned]


def resolve_earlier(compare: str, asked: Range, zone: tzinfo) -> Range:
    """The range that --compare names. Raises click.BadParameter."""
    try:
        return earlier(compare, asked, zone, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--compare") from None


def wants_percentiles(fields: tuple[str, ...], output: str) -> bool:
    """Programs are given all figures; people those that they ask for."""
    return bool(PERCENTILES.intersection(fields)) if fields else output in FOR_PROGRAMS
