"""`usage-tracker export`: every call of a range with every column, for other programs."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import tzinfo
from pathlib import Path

import click
from click.core import ParameterSource

from usage_tracker.cli.events import as_csv, as_jsonl
from usage_tracker.cli.export_files import export_files
from usage_tracker.cli.figures import counted
from usage_tracker.cli.options import Conditions, Span, resolve_range, selection_options
from usage_tracker.cli.output import emit_data, is_terminal, progress, say, write_pieces
from usage_tracker.cli.pruned import listing_note
from usage_tracker.cli.render import nothing_found
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.cli.waiting import waiting_note
from usage_tracker.dsn import Dsn
from usage_tracker.exporting import FORMS, Grain, Plan
from usage_tracker.report import Event, Query, export_events, run

FORMATS = {"jsonl": as_jsonl, "csv": as_csv}
ONLY_FILES = ("form", "grain", "settle", "again", "every")
"""Options that mean something with --to alone."""
ADVANCE = 1000


@click.command(
    help="""Every call of a range with every column, the oldest first, written as it is read; or, with --to, all as
    files for other programs.

    \b
    Ranges and conditions are those of `usage-tracker report`; without --since, it is all there is.
    jsonl  a JSON object for each call; nothing is lost: amounts are strings of exact digits, times are in UTC with
           microseconds, what is unknown is null
    csv    the same in cells, lists and objects as JSON, what is unknown empty; a text that a spreadsheet would take for
           a formula starts with an apostrophe
    A file is written as a whole or not at all.

    \b
    With --to, a folder or an object store has a file for each day (of UTC), in folders that are named day=2026-08-31.
    Only days that have changed are written, so it may run again and again, be killed, and run on any host: each
    call is there once. --format is one of
    parquet, csv, jsonl  every call with every column
    delta                the same as a Delta Lake table
    focus                what it cost, by day, model and project: FOCUS 1.2 for FinOps tools

    \b
    Examples:
      usage-tracker export --out usage.jsonl
      usage-tracker export --since 2026-08 --until 2026-08 --where project=alpha --out august.csv
      usage-tracker export --since yesterday --until yesterday | gzip > yesterday.jsonl.gz
      usage-tracker export --format parquet --to s3://lake/usage
      usage-tracker export --format focus --to /srv/finops --every 60
    """
)
@selection_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(list(FORMATS)),
    help="The format.  [default: that of the file's name, or jsonl]",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write to a file, not to stdout."
)
@click.option("--to", metavar="PLACE", help="A folder, s3://…, gs://…, az://… or what else fsspec knows.")
@click.option("--format", "form", type=click.Choice(FORMS), help="With --to, what the files are.  [default: parquet]")
@click.option(
    "--grain",
    type=click.Choice(["day", "hour"]),
    default="day",
    show_default=True,
    help="With --to, what a file holds; by the hour from some million calls a day on.",
)
@click.option(
    "--settle",
    type=Span(0, 87_600),
    default=0,
    metavar="HOURS",
    help="With --to, leave out what has not been over for so long: then hardly a file is ever written twice.",
)
@click.option("--again", is_flag=True, help="With --to, write all files anew.")
@click.option(
    "--every", type=Span(0.01, 525_600), metavar="MINUTES", help="With --to, again and again until interrupted."
)
def export(
    since: str | None,
    until: str | None,
    where: Conditions,
    zone: tzinfo,
    dsn: Dsn,
    output: str | None,
    out: Path | None,
    to: str | None,
    form: str | None,
    grain: Grain,
    settle: float,
    again: bool,
    every: float | None,
) -> None:
    if to is not None:
        if not to.strip():
            raise click.UsageError("--to names no place; write a folder, such as ./lake, or s3://…")
        if where or output or out:
            raise click.UsageError("--to takes all calls there are: it goes without --where, --output and --out")
        chosen = resolve_range(since or "all", until, zone)
        plan = Plan(to, form or "parquet", grain, chosen.since, chosen.until if until else None, settle, again)
        export_files(dsn, plan, every)
        return
    ctx = click.get_current_context()
    if any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ONLY_FILES):
        raise click.UsageError("--format, --grain, --settle, --again and --every go with --to")
    query = Query(*resolve_range(since or "all", until, zone), (), where, zone)
    write = FORMATS[output or ("csv" if out is not None and out.suffix.lower() == ".csv" else "jsonl")]
    passed = Counted()
    try:
        with reading(dsn) as store, closing(export_events(store, query.since, query.until, where)) as found:
            if out is None:
                emit_data(write(query, passed.each(found)))
            else:
                total = run(store, query).total.calls if is_terminal(sys.stderr) else None
                with progress("Exporting", total) as advance:
                    write_pieces(out, write(query, passed.each(found, advance)))
            gone = listing_note(store, query)
    except NothingYet as nothing:
        emit_data(write(query, ())) if out is None else write_pieces(out, write(query, ()))
        say(str(nothing))
        return
    if out is not None:
        say(f"{counted(passed.count, 'call')} written to {out}.")
    if not passed.count:
        say(nothing_found(query))
    for note in (gone, waiting_note(dsn)):
        if note:
            say(note)


class Counted:
    """How many events have gone by."""

    count = 0

    def each(self, events: Iterable[Event], advance: Callable[[int], None] = lambda _: None) -> Iterator[Event]:
        for event in events:
            self.count += 1
            if self.count % ADVANCE == 0:
                advance(ADVANCE)
            yield event
