"""`usage-tracker prices set`, `import` and `diff`: new versions of the store's price book, and what is new in them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from usage_tracker.cli.change_log import THROUGH
from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import printable
from usage_tracker.cli.options import dsn_option, output_option
from usage_tracker.cli.output import emit, emit_data, say
from usage_tracker.cli.plain import csv_lines, json_document
from usage_tracker.cli.price_books import read_stored, stored_in
from usage_tracker.cli.stores import NothingYet, reading, writing
from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError
from usage_tracker.pricing.book import Table
from usage_tracker.pricing.book_text import Difference, differ, identity, name_of, write_book
from usage_tracker.pricing.price_keys import PRICE_KEYS, TOKEN_KEYS, TOOL_KEYS
from usage_tracker.pricing.reading import MOST_PLACES, UNUSED, load_book, read_book
from usage_tracker.stores.changes import this_account
from usage_tracker.stores.prices import add_version, read_entries, read_versions

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def parse_amount(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Decimal | None:
    """A number, to the digit."""
    if text is None:
        return None
    with suppress(InvalidOperation):
        amount = Decimal(text)
        if amount.is_finite() and abs(amount.adjusted()) <= MOST_PLACES:
            return amount
    raise click.BadParameter(f"{text!r} is no number, such as 0.25")


def price_options(command: AnyFunction) -> AnyFunction:
    """An option for each price of a book."""
    for key in reversed(PRICE_KEYS):
        unit = "a million tokens" if key in TOKEN_KEYS else "one"
        flag = f"--{key.replace('_', '-')}"
        dollars = click.option(flag, key, callback=parse_amount, metavar="USD", help=f"US dollars for {unit}.")
        command = dollars(command)
    return command


dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would change.")
note_option = click.option("--note", default="", metavar="TEXT", help="Kept with the new version.")


@click.command(
    "set",
    help="""Give the models that match NAME (* and ? are wildcards) a price of your own, or another one.

    It goes to the top of the store's price book, as a new version; an entry for the same NAME, provider and days is
    replaced. Programs that run use it within 15 seconds; what is priced already keeps its cost.

    \b
    Examples:
      usage-tracker prices set 'acme-chat-*' --provider acme --input 2.5 --cache-read 0.25 --output 10
      usage-tracker prices set prod-chat --provider azure --model gpt-4o-2024-11-20
      usage-tracker prices set 'arn:aws:bedrock:*:application-inference-profile/a1b2' \\
          --model global.anthropic.claude-sonnet-4-5-20250929-v1:0
      usage-tracker prices set '*' --provider openai --multiplier 0.85
      usage-tracker prices set acme-paint-1 --provider acme --image 0.04
      usage-tracker prices set 'mistral-*' --search 0.03

    Fees of hosted tools alone are for what a list lacks: tokens keep their price.

    Prices of tiers, steps by the length of the prompt, conditions: `usage-tracker prices import` takes a file.
    """,
)
@click.argument("match", metavar="NAME")
@click.option("--provider", metavar="NAME", help="Only where this provider serves it.")
@click.option("--from", "since", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The first day that it holds.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The first day that it doesn't any more."
)
@click.option("--model", metavar="NAME", help="Price it as this model.")
@click.option("--as-provider", metavar="NAME", help="… of this provider.")
@click.option(
    "--multiplier",
    callback=parse_amount,
    metavar="NUMBER",
    help="Times what the standard lists say; prices of yours further down don't count then.",
)
@price_options
@note_option
@dry_run_option
@dsn_option
def set_price(match: str, since: Any, until: Any, note: str, dry_run: bool, dsn: Dsn, **said: Any) -> None:
    days = {"from": since and since.date(), "until": until and until.date()}
    entry = {key: value for key, value in {"match": match, **days, **said}.items() if value is not None}
    own = entry.keys() - {"match", "provider", "from", "until"}
    if not own:
        raise click.UsageError("give it a price, such as --input 2.5 --output 10, another --model, or a --multiplier")
    if own <= set(TOOL_KEYS):
        entry["add"] = {key: entry.pop(key) for key in PRICE_KEYS if key in own}
    check([entry])
    change(dsn, lambda entries: placed(entry, entries), note or f"set {name_of(entry)}", dry_run)


def check(entries: Sequence[Table]) -> None:
    """Raises click.UsageError where the entries say nothing that makes sense."""
    try:
        read_book(write_book(entries), "price")
    except ConfigError as error:
        words = str(error).partition(": ")[2].removesuffix(f"; {UNUSED}")
        raise click.UsageError(words) from None


def placed(entry: Table, entries: Sequence[Table]) -> list[Table]:
    """The entries with this one in the place of the one that is about the same, or at the top."""
    kept = [entry if identity(other) == identity(entry) else dict(other) for other in entries]
    return kept if entry in kept else [entry, *kept]


@click.command(
    "import",
    help="""Put the price book FILE (TOML; - is stdin) in the place of the one in the store, as a new version.

    A file with a mistake is refused as a whole, with the line. What is in the store and not in FILE is gone from the
    new version; older versions stay as they are.

    \b
    Examples:
      usage-tracker prices import book.toml --dry-run
      usage-tracker prices list -o toml | sed s/2.5/2.25/ | usage-tracker prices import -
    """,
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@note_option
@dry_run_option
@dsn_option
def import_book(file: Path, note: str, dry_run: bool, dsn: Dsn) -> None:
    if str(file) == "-":
        with click.open_file("-", encoding="utf-8-sig") as stdin:
            try:
                text = stdin.read()
            except UnicodeDecodeError as error:
                raise click.ClickException(f"stdin is no UTF-8 text (byte {error.start})") from None
        book = read_book(text, "stdin")
    else:
        book = load_book(file)
    entries = [dict(entry.table) for entry in book.entries]
    change(dsn, lambda _: entries, note or f"import {file.name}", dry_run)


def change(dsn: Dsn, make: Callable[[Sequence[Table]], list[Table]], note: str, dry_run: bool) -> None:
    """Make a new version of the store's book out of its newest one, and show what differs."""
    if dry_run:
        _, before = stored_in(dsn)
        emit([differences_text(differ(before, make(before)))])
        return
    with writing(dsn) as store:
        known, before = read_stored(store)
        after = make(before)
        found = differ(before, after)
        if not found:
            say(f"The price book in {dsn.shown} says so already; no new version.")
            return
        version = add_version(store, known, note, after, this_account(THROUGH))
    if version is None:
        raise click.ClickException("somebody else has changed the price book just now; run the command again")
    emit([differences_text(found)])
    count = f"{len(after)} {'entry' if len(after) == 1 else 'entries'}"
    say(f"Version {version} of the price book in {dsn.shown}: {count}. Programs that run use it within 15 seconds.")


def differences_text(found: Sequence[Difference]) -> str:
    return "".join(f"{printable(str(each))}\n" for each in found)


@click.command(
    help="""What differs between two versions of the price book: numbers of the store's, or TOML files.

    Without arguments, the newest version and the one before it; with one, that and the newest.

    \b
    Examples:
      usage-tracker prices diff
      usage-tracker prices diff 3 5
      usage-tracker prices diff book.toml -o json
    """
)
@click.argument("old", required=False)
@click.argument("new", required=False)
@dsn_option
@output_option(("table", "json", "csv"))
def diff(old: str | None, new: str | None, dsn: Dsn, output: str) -> None:
    numbers = versions_in(dsn)
    if old is None:
        old, new = [None, None, *map(str, numbers)][-2:]
    elif new is None:
        if not numbers:
            raise click.ClickException(f"there is no price book in {dsn.shown} to compare with")
        new = str(numbers[-1])
    found: list[Difference] = []
    if old is not None and new is not None:
        found = differ(entries_of(old, dsn, numbers), entries_of(new, dsn, numbers))
    rows = [each._asdict() for each in found]
    if output == "json":
        emit([json_document(old=old, new=new, differences=rows)])
    elif output == "csv":
        emit_data(csv_lines(Difference._fields, rows))
    elif found:
        from usage_tracker.cli.table import render_table

        columns = [
            Column("Entry", [printable(each.entry) for each in found]),
            Column("", [each.change for each in found], fixed=True),
            Column("What", [printable(each.what) for each in found]),
        ]
        emit([render_table(f"Price book · {old} → {new}", columns, ())])
    elif old is not None:
        say(f"{old} and {new} say the same.")
    if old is None:
        say(f"There {'is one version' if numbers else 'is no version'} of the price book in {dsn.shown}.")


def versions_in(dsn: Dsn) -> list[int]:
    try:
        with reading(dsn) as store:
            return [version.number for version in read_versions(store)]
    except NothingYet:
        return []


def entries_of(name: str, dsn: Dsn, numbers: Sequence[int]) -> list[Table]:
    """The entries of a version of the store's book, or of a file."""
    if not name.isdecimal():
        return [dict(entry.table) for entry in load_book(Path(name)).entries]
    if int(name) not in numbers:
        there = ", ".join(map(str, numbers)) or "none"
        raise click.ClickException(f"there is no version {name} of the price book in {dsn.shown}; there is: {there}")
    with reading(dsn) as store:
        return read_entries(store, int(name))
