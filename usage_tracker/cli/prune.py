"""`usage-tracker prune`: old events out of the store, their sums kept."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import click

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import show_bytes, show_count
from usage_tracker.cli.options import dsn_option, output_option, tz_option
from usage_tracker.cli.output import emit, progress, say
from usage_tracker.cli.plain import json_document
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.dsn import Dsn
from usage_tracker.errors import StoreError
from usage_tracker.plain_values import plain
from usage_tracker.report import parse_period
from usage_tracker.stores import Store
from usage_tracker.stores.pruning import Prunable

VACUUMED_BYTES = 256 << 20
"""A file that has no more than this left is written anew unasked: that takes a second or two."""


@click.command(
    help="""Take old events out of the store. Their sums stay, and with them the reports on them.

    Without --yes nothing is deleted: what would go is shown. Reports by day, week or month and by provider, model,
    project, team, user, tag and the like say the same before and after, for whole hours of UTC; single calls, sessions,
    hosts and parts of an hour can't be told any more. Programs go on recording meanwhile, and nothing is stored twice.

    In Postgres, as the schema's owner, months that are over are dropped at once, and what is left is deleted in
    batches: a --before that starts a month spares the server that. In SQLite, rows are deleted in batches, and the file
    then gives their space back if what remains is small, or with --vacuum.

    \b
    Examples:
      usage-tracker prune --older-than 180d
      usage-tracker prune --before 2026-06-01 --yes
      0 4 * * 0  usage-tracker prune --older-than 26w --yes      every Sunday, by cron
    """
)
@click.option("--older-than", metavar="AGE", help="Events older than 90d, 26w or 48h.")
@click.option("--before", metavar="WHEN", help="Events from before 2026-06-01, 2026-06, last-month or the like.")
@tz_option
@dsn_option
@click.option("--yes", is_flag=True, help="Do it; without this, only show what would go.")
@click.option(
    "--vacuum/--no-vacuum",
    default=None,
    help="SQLite: give freed space back to the disk; others can't write until that is done.",
)
@output_option(("table", "json"))
def prune(
    older_than: str | None,
    before: str | None,
    zone: tzinfo,
    dsn: Dsn,
    yes: bool,
    vacuum: bool | None,
    output: str,
) -> None:
    end = resolve_end(older_than, before, zone)
    parts: Sequence[Prunable] = ()
    try:
        with reading(dsn) as store:
            parts = store.prunable(end)
            if output == "table" and parts:
                emit(as_table(end, zone, parts))
            if not parts:
                say(f"No events from before {show_end(end, zone)} are in {dsn.shown}.")
            elif yes:
                take_out(store, end, sum(part.events for part in parts), vacuum)
            else:
                say("Nothing was deleted; with --yes it is.")
    except NothingYet as nothing:
        say(str(nothing))
    if output == "json":
        emit(as_json(end, parts, deleted=yes))


def resolve_end(older_than: str | None, before: str | None, zone: tzinfo) -> datetime:
    """The instant before which events go. Raises click.UsageError."""
    if (older_than is None) == (before is None):
        raise click.UsageError("say how much goes, with either --older-than 180d or --before 2026-06-01")
    now = datetime.now(UTC)
    option, text = ("--older-than", older_than) if older_than is not None else ("--before", before)
    assert text is not None
    if (option == "--older-than") != (text[:1].isdigit() and text[-1:] in "mhdw"):
        form = "an age such as 180d, 26w or 48h" if option == "--older-than" else "a day such as 2026-06-01"
        raise click.BadParameter(f"{text!r} is not {form}", param_hint=option)
    try:
        end = parse_period(text, zone, now).since
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
    assert end is not None
    if end > now:
        raise click.BadParameter(f"{text!r} has not come yet", param_hint=option)
    return end


def show_end(end: datetime, zone: tzinfo) -> str:
    return f"{end.astimezone(zone):%Y-%m-%d %H:%M} {zone}"


def as_table(end: datetime, zone: tzinfo, parts: Sequence[Prunable]) -> list[str]:
    from usage_tracker.cli.table import render_table

    total = sum(part.events for part in parts), sum(part.bytes for part in parts)
    columns = [
        Column("Table", [part.table for part in parts], total="Total"),
        Column("How", ["dropped" if part.whole else "rows deleted" for part in parts], fixed=True),
        Column("Events", [show_count(part.events) for part in parts], show_count(total[0]), number=True),
        Column("On disk", [show_bytes(part.bytes) for part in parts], show_bytes(total[1]), number=True),
    ]
    return [render_table(f"Events from before {show_end(end, zone)}", columns, ())]


def as_json(end: datetime, parts: Sequence[Prunable], *, deleted: bool) -> list[str]:
    return [json_document(before=plain(end), deleted=deleted, parts=[part._asdict() for part in parts])]


def take_out(store: Store, end: datetime, total: int, vacuum: bool | None) -> None:
    deleted = 0
    with progress("Deleting", total) as advance:
        for count in store.prune(end):
            deleted += count
            advance(count)
    number = "1 event was" if deleted == 1 else f"{deleted:,} events were"
    say(f"{number} deleted; reports keep what {'it' if deleted == 1 else 'they'} counted.")
    give_back(store, vacuum)


def give_back(store: Store, vacuum: bool | None) -> None:
    """Give the freed space back where that is asked for, or quick."""
    free, used = store.free_bytes()
    if not free:
        return
    if vacuum or (vacuum is None and used <= VACUUMED_BYTES):
        try:
            store.vacuum()
        except StoreError as error:
            say(f"The file keeps {show_bytes(free)} for new events: {error}")
        else:
            say(f"{show_bytes(free)} were given back.")
    else:
        say(f"The file keeps {show_bytes(free)} for new events; --vacuum gives them back, while others wait to write.")
