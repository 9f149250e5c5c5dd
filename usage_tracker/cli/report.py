"""`usage-tracker report`: who used what, and what it cost."""

from datetime import tzinfo

import click

from usage_tracker.cli.notes import explain
from usage_tracker.cli.options import Conditions, resolve_range, selection_options
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.render import HOLDS_NOTES, RENDERERS, show_question
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.cli.waiting import waiting_note
from usage_tracker.config import Dsn
from usage_tracker.report import DIMENSIONS, UNITS, Query, no_calls, run


@click.command(
    help=f"""Who used what, and what it cost: totals of calls, tokens and dollars.

    \b
    Without options: the month to date by model.
    Unknown figures are shown as —, and unpriced calls are named below the table.

    \b
    Dimensions of --by, up to three:
      {", ".join(UNITS)} (in the time zone; weeks start on Monday)
      {", ".join(list(DIMENSIONS)[:8])},
      {", ".join(list(DIMENSIONS)[8:])}

    \b
    Ranges go from the start of --since to the end of --until; the range is printed.
      --since 7d                                   from midnight seven days ago until now
      --since last-month --until last-month        last month
      --since 2026-08-01 --until 2026-08-15        both days included

    \b
    Conditions (--where), all of which hold:
      model=gpt-4o   'model=gpt-*'   team!=core    * is any text, ? is one character, \\ escapes
      project=none                                 calls without a project
      tag=tier:pro                                 calls that have this tag

    \b
    Examples:
      usage-tracker report --by project
      usage-tracker report --by day,model --since 7d -z Europe/Berlin
      usage-tracker report --by user --where project=alpha -o csv > users.csv
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
@selection_options
@click.option(
    "-o", "--output", type=click.Choice(list(RENDERERS)), default="table", show_default=True, help="The format."
)
def report(
    by: tuple[str, ...],
    since: str | None,
    until: str | None,
    where: Conditions,
    zone: tzinfo,
    dsn: Dsn,
    output: str,
) -> None:
    names = tuple(name.strip() for text in by for name in text.split(",") if name.strip())
    if not names:
        raise click.BadParameter("name at least one dimension", param_hint="--by")
    try:
        query = Query(*resolve_range(since, until, zone), names, where, zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--by") from None
    missing = None
    try:
        with reading(dsn) as store:
            answer = run(store, query)
    except NothingYet as nothing:
        answer, missing = no_calls(query), str(nothing)
    notes = explain(answer)
    if output != "table" or answer.rows:
        emit([RENDERERS[output](answer, notes)])
    if missing or not answer.rows:
        say(missing or f"No calls{show_question(query)}. Try --since all, or fewer conditions.")
    elif output not in HOLDS_NOTES:
        for note in notes:
            say(note)
    if waiting := waiting_note(dsn):
        say(waiting)
