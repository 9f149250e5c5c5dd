"""`usage-tracker import`: usage that others have recorded, into the store."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usage_tracker.cli.commands import LazyGroup, Place
from usage_tracker.cli.figures import counted
from usage_tracker.cli.notes import calls
from usage_tracker.cli.options import dsn_option, parse_typed, parsed, resolve_range
from usage_tracker.cli.output import is_terminal, progress, say
from usage_tracker.cli.stores import writing
from usage_tracker.config import load_settings
from usage_tracker.dsn import Dsn
from usage_tracker.instants import to_moment

if TYPE_CHECKING:
    from typing import TypeVar

    from usage_tracker.history import Source

    Chosen = TypeVar("Chosen", bound=Source)

HERE = "usage_tracker.cli.importing"
SOURCES = {
    "litellm": Place(HERE, "from_litellm", "The spend logs of LiteLLM's proxy, from its Postgres."),
    "llm-accounting": Place(HERE, "from_llm_accounting", "The table of llm-accounting."),
    "openai": Place(HERE, "from_openai", "OpenAI's usage export, a CSV file of sums."),
    "jsonl": Place(HERE, "from_jsonl", "Events of another store of ours, as it exports them."),
}

group = LazyGroup(
    "import",
    places=SOURCES,
    help="""Bring usage that others have recorded into the store, each call once.

    It may be interrupted, and run again and again: what the store has is left out, and it goes on where it stopped.
    What a source says that a call cost becomes `reported_cost`; `cost` is by our own prices of the call's own time.

    \b
    Examples:
      usage-tracker import litellm --from postgresql://litellm@db/litellm
      usage-tracker import litellm --from postgresql://litellm@db/litellm --until 2026-08-31
      usage-tracker import llm-accounting --from sqlite:///accounting.sqlite
      usage-tracker import openai completions_usage.csv
      usage-tracker import jsonl usage.jsonl
      usage-tracker import jsonl august.jsonl september.jsonl
    """,
)


def parse_proxy(text: str) -> tuple[Dsn, str | None]:
    """The database that a proxy's DATABASE_URL names, and the schema in it."""
    from usage_tracker.history.spend_logs import without_prisma

    address, schema = without_prisma(text)
    return parse_typed(address), schema


from_option = click.option(
    "--from", "origin", required=True, callback=parsed(parse_typed), metavar="DSN",
    help="The source's database.",
)  # fmt: skip
file_type = click.Path(exists=True, dir_okay=False, path_type=Path)
app_option = click.option("--app", metavar="NAME", help="The app that the calls are to be of.")
since_option = click.option(
    "--since", metavar="WHEN", help="Look from there on, such as 2026-08 or all; unset: where the last import came to."
)
until_option = click.option(
    "--until", metavar="WHEN", help="Only calls up to then; the day or month that it names is included."
)

pruned_option = click.option(
    "--pruned",
    is_flag=True,
    help="Bring also calls of the time whose events were pruned; those that were there are then counted again.",
)


@click.command(help="The spend logs of LiteLLM's proxy (LiteLLM_SpendLogs), from its Postgres.")
@click.option(
    "--from",
    "origin",
    required=True,
    callback=parsed(parse_proxy),
    metavar="DSN",
    help="The proxy's database, as its DATABASE_URL names it.",
)
@dsn_option
@since_option
@until_option
@pruned_option
@click.option(
    "--app", default="litellm", show_default=True, metavar="NAME", help="The app that the calls are to be of."
)
@click.option(
    "--sessions", is_flag=True, help="Take session ids too. The proxy makes one up for each request that has none."
)
def from_litellm(
    origin: tuple[Dsn, str | None],
    dsn: Dsn,
    since: str | None,
    until: str | None,
    pruned: bool,
    app: str,
    sessions: bool,
) -> None:
    from usage_tracker.history.spend_logs import SpendLogs

    source, schema = origin
    secret = load_settings(ship=False).fingerprint_key
    bring(dsn, since, until, pruned, lambda end: [SpendLogs(source, app, end, sessions, schema, secret)])


@click.command(help="The table of llm-accounting (accounting_entries), from its SQLite file or Postgres.")
@from_option
@dsn_option
@since_option
@until_option
@pruned_option
@app_option
def from_llm_accounting(
    origin: Dsn, dsn: Dsn, since: str | None, until: str | None, pruned: bool, app: str | None
) -> None:
    from usage_tracker.history.llm_accounting import AccountingEntries

    bring(dsn, since, until, pruned, lambda end: [AccountingEntries(origin, app, end)])


@click.command(
    help="""OpenAI's usage export, a CSV file. Its lines are sums: each becomes one event, with the number of calls in
    `usage`, when its day or hour is over.

    Export a day broken down in one way. By hours instead of days, or by users as well, it has other lines, which count
    once more."""
)
@click.argument("path", type=file_type, metavar="FILE")
@dsn_option
@since_option
@until_option
@pruned_option
@app_option
def from_openai(path: Path, dsn: Dsn, since: str | None, until: str | None, pruned: bool, app: str | None) -> None:
    from usage_tracker.history.openai_usage import UsageExport

    [export] = bring(dsn, since or "all", until, pruned, lambda end: [UsageExport(path, app, end)])
    if export.unfinished:
        lines = counted(export.unfinished, "line")
        say(f"Left out, as the day or hour isn't over: {lines}. Export that again when it is.")


@click.command(
    help="""Events of another store of ours as JSON lines, with their ids and with what they cost there: one file or
    many, such as those of `usage-tracker export --format jsonl --to`."""
)
@click.argument("paths", type=file_type, nargs=-1, required=True, metavar="FILE...")
@dsn_option
@since_option
@until_option
@pruned_option
def from_jsonl(paths: tuple[Path, ...], dsn: Dsn, since: str | None, until: str | None, pruned: bool) -> None:
    from usage_tracker.history.event_lines import EventLines

    bring(dsn, since or "all", until, pruned, lambda end: [EventLines(path, end) for path in paths])


def bring(
    dsn: Dsn,
    since: str | None,
    until: str | None,
    pruned: bool,
    open_sources: "Callable[[datetime | None], Sequence[Chosen]]",
) -> "Sequence[Chosen]":
    """The sources that were brought in."""
    from usage_tracker.history import Brought, Importer
    from usage_tracker.history.importing import optional
    from usage_tracker.lazy_pricer import LazyPricer
    from usage_tracker.report.kept import find_kept

    chosen = resolve_range(since or "all", until, UTC)
    sources = open_sources(chosen.until if until else None)
    settings = load_settings(ship=False)
    with writing(dsn) as store:
        gone = None if pruned else find_kept(store)
        importer = Importer(store, LazyPricer(settings.prices), settings.batch_size, gone)
        starts = [importer.since(source) if since is None else optional(chosen.since) for source in sources]
        length = count_all(sources, starts) if is_terminal(sys.stderr) else None
        with progress("Importing", length) as advance:
            each = [importer.bring(source, start, advance) for source, start in zip(sources, starts, strict=True)]
        brought = Brought(*map(sum, zip(*each, strict=True)))
        while store.compact():
            continue
    known = brought.read - brought.stored - brought.refused - brought.gone
    say(
        f"{calls(brought.stored, 'brought', 'brought')} to {dsn.shown}"
        + (f"; {known:,} {'was' if known == 1 else 'were'} there already" if known else "")
        + (f", {brought.changed:,} with other tokens, which stay as they are" if brought.changed else "")
        + (f"; {brought.refused:,} can't be stored" if brought.refused else "")
        + "."
    )
    if gone is not None and brought.gone:
        say(
            f"Left out: {brought.gone:,} of the time up to {to_moment(gone.since):%Y-%m-%d %H:%M} UTC, whose events "
            "were pruned: the sums may have them already. With --pruned they are brought all the same."
        )
    return sources


def count_all(sources: "Sequence[Source]", starts: Sequence[int | None]) -> int | None:
    """How many calls there are to be read, where that can be known before."""
    length = 0
    for source, start in zip(sources, starts, strict=True):
        if (count := source.count(start)) is None:
            return None
        length += count
    return length
