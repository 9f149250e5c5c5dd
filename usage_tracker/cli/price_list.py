"""`usage-tracker prices list` and `show`: what is known of prices, and what a call would be billed by."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from usage_tracker.cli.columns import Column
from usage_tracker.cli.event import show_price
from usage_tracker.cli.figures import UNKNOWN, printable
from usage_tracker.cli.options import dsn_option, output_option
from usage_tracker.cli.output import emit, emit_data, say
from usage_tracker.cli.plain import csv_lines, json_document
from usage_tracker.cli.price_books import open_books, open_pricer, plain_table, prices_option
from usage_tracker.dsn import Dsn
from usage_tracker.plain_values import exact
from usage_tracker.pricing import Pricer, newest_data
from usage_tracker.pricing.book import Book
from usage_tracker.pricing.book_text import name_of, said, write_book
from usage_tracker.pricing.genai import PROVIDERS
from usage_tracker.pricing.occasion import MINUTES_OF_DAY, STANDARD, Occasion, usual
from usage_tracker.pricing.rates import Price, Rates, Stepped
from usage_tracker.pricing.reading import glob
from usage_tracker.providers.hosts import vendor_of

SHORT = {
    "input_tokens": "Input",
    "cache_read_tokens": "Cache read",
    "cache_write_tokens": "Cache write",
    "output_tokens": "Output",
}
"""The prices that have a column in a list of models."""
RANKS = {"cache_write_tokens": 3, "cache_read_tokens": 2}
MOST_MODELS = 200
OURS = {theirs: name for name, theirs in PROVIDERS.items()} | {"google": "gemini"}
"""Providers as genai-prices calls them, and as we do; `google` is two of ours."""

list_output = output_option(("table", "json", "csv", "toml"), "The format. toml: a file that `prices import` takes.")


@click.command(
    "list",
    help="""The entries of your price book or, with a PATTERN, the standard prices of all known models of that name.

    \b
    Examples:
      usage-tracker prices list
      usage-tracker prices list -o toml > book.toml     to edit, and to bring back with `prices import`
      usage-tracker prices list 'gpt-5*' --provider openai
      usage-tracker prices list 'claude-*' -o csv
    """,
)
@click.argument("pattern", required=False)
@click.option("--provider", metavar="NAME", help="With a PATTERN, only of this provider, such as openai.")
@dsn_option
@prices_option
@list_output
def list_prices(pattern: str | None, provider: str | None, dsn: Dsn, path: Path | None, output: str) -> None:
    if provider is not None and pattern is None:
        raise click.UsageError(f"--provider goes with a PATTERN: usage-tracker prices list '*' --provider {provider}")
    books = open_books(dsn, path)
    if pattern is None:
        list_entries(books, output)
        return
    if output == "toml":
        raise click.UsageError("toml is the form of a price book: leave the pattern out")
    models = known_models(pattern, provider, books)
    if output == "json":
        emit([json_document(currency="USD", models=models)])
    elif output == "csv":
        emit_data(csv_lines(["provider", "model", *SHORT, "source", "version"], [flat(row) for row in models]))
    elif models:
        emit([models_table(pattern, models[:MOST_MODELS])])
        if len(models) > MOST_MODELS:
            say(f"{len(models) - MOST_MODELS} more: name a provider, or use -o json")
    if not models:
        say(f"No known model matches {pattern!r}. `usage-tracker prices set` gives one a price.")


def list_entries(books: Sequence[Book], output: str) -> None:
    """The entries of all books, the first that counts first."""
    entries = [(book.version, entry.table) for book in books for entry in book.entries]
    if output == "toml":
        emit([write_book(table for _, table in entries)])
    elif output == "json":
        tables = [{"version": version, **plain_table(table)} for version, table in entries]
        emit([json_document(currency="USD", entries=tables)])
    elif output == "csv":
        rows = [{"version": version, "entry": name_of(table), "says": said(table)} for version, table in entries]
        emit_data(csv_lines(["version", "entry", "says"], rows))
    elif entries:
        from usage_tracker.cli.table import render_table

        columns = [
            Column("Book", [name for name, _ in entries], fixed=True),
            Column("Entry", [printable(name_of(table)) for _, table in entries]),
            Column("Says", [printable(said(table)) for _, table in entries]),
        ]
        emit([render_table("Price book · the first that matches decides", columns, ())])
    if not entries:
        say(
            "The price book is empty: calls are priced by genai-prices. `usage-tracker prices set --help` says how to "
            "add to it, `usage-tracker prices list 'gpt-*'` lists what is known anyway."
        )


def known_models(pattern: str, wanted: str | None, books: Sequence[Book]) -> list[dict[str, Any]]:
    """What is known of the models of genai-prices' data whose names match, as they would be billed today."""
    pricer, names = open_pricer(books), glob(pattern)
    rows = []
    for provider, model in newest_data().all():
        name = OURS.get(provider.id, provider.id)
        if wanted in (None, name) and names.search(model.id):
            rates = pricer.lists.find(occasion_of(name, model.id, STANDARD, today()))
            if isinstance(rates, Rates):
                rows.append({"provider": name, "model": model.id, **rates_in_figures(rates)})
    return rows


def occasion_of(provider: str, model: str, tier: str, day: date) -> Occasion:
    days = (day - date(1970, 1, 1)).days
    return usual(provider, model, tier, days * MINUTES_OF_DAY + MINUTES_OF_DAY // 2)


def today() -> date:
    return datetime.now(UTC).date()


def rates_in_figures(rates: Rates) -> dict[str, Any]:
    prices = {unit: [{"above_input_tokens": start, "price": exact(price)} for start, price in steps_of(listed)]
              for unit, listed in rates.prices.items()}  # fmt: skip
    return {"source": rates.source, "version": rates.version, "prices": prices}


def steps_of(price: Price) -> Iterator[tuple[int | None, Decimal]]:
    """US dollars for one, with the input tokens above which it holds."""
    if isinstance(price, Stepped):
        yield None, price.base
        yield from price.above
    else:
        yield None, price


def flat(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **{unit: row["prices"][unit][0]["price"] if unit in row["prices"] else None for unit in SHORT}}


def models_table(pattern: str, models: Sequence[dict[str, Any]]) -> str:
    from usage_tracker.cli.table import render_table

    columns = [
        Column("Provider", [row["provider"] for row in models], fixed=True),
        Column("Model", [row["model"] for row in models], name=True),
        *(
            Column(header, [in_millions(row, unit) for row in models], number=True, rank=RANKS.get(unit, 0))
            for unit, header in SHORT.items()
        ),
        Column("Source", [row["source"] for row in models], rank=4),
    ]
    note = "US dollars for a million tokens; * more above a number of input tokens: `usage-tracker prices show MODEL`."
    return render_table(f"Prices of {printable(pattern)} · {today()}", columns, [note])


def in_millions(row: dict[str, Any], unit: str) -> str:
    """To six digits: in genai-prices' data some are a float's 17."""
    steps = row["prices"].get(unit)
    if not steps:
        return UNKNOWN
    price = Decimal(f"{Decimal(steps[0]['price']) * 1_000_000:.6g}")
    return f"${exact(price)}{'*' if len(steps) > 1 else ''}"


@click.command(
    help="""What a call of MODEL costs, unit by unit, and which source says so.

    Without --provider, that of the model's vendor or, where the name doesn't tell, of all that have it.

    \b
    Examples:
      usage-tracker prices show gpt-5.4
      usage-tracker prices show gpt-5.6-luna --at 2026-07-29
      usage-tracker prices show us.anthropic.claude-sonnet-4-5-20250929-v1:0 --provider bedrock
      usage-tracker prices show gpt-5 --tier flex -o json
    """
)
@click.argument("model")
@click.option("--provider", metavar="NAME", help="Who serves it, such as openai, azure or bedrock.")
@click.option("--tier", metavar="NAME", default=STANDARD, show_default=True, help="Such as batch, flex or priority.")
@click.option("--at", metavar="DAY", type=click.DateTime(["%Y-%m-%d"]), help="As of this day; unset: today.")
@dsn_option
@prices_option
@output_option(("table", "json"))
def show(
    model: str, provider: str | None, tier: str, at: datetime | None, dsn: Dsn, path: Path | None, output: str
) -> None:
    pricer = open_pricer(open_books(dsn, path))
    day = at.date() if at else today()
    found = list(lists_of(pricer, model, providers_of(model, provider), tier.lower(), day))
    if output == "json":
        lists = [{"provider": name, "model": model, **rates_in_figures(rates)} for name, rates in found]
        emit([json_document(currency="USD", at=f"{day}", lists=lists)])
    for name, rates in found if output == "table" else ():
        emit([rates_table(name, model, rates, tier, day), "\n"])
    if not found:
        raise click.ClickException(
            f"no {tier} price of {model!r} is known{f' at {provider}' if provider else ''} on {day}; "
            f"`usage-tracker prices list '*{model[:6]}*'` looks for others, `usage-tracker prices set` gives it one"
        )


def providers_of(model: str, provider: str | None) -> Iterable[str]:
    if provider:
        return [provider]
    vendor = vendor_of(model)
    if vendor:
        return [vendor]
    return ["", *dict.fromkeys(OURS.get(each.id, each.id) for each, _ in newest_data().all())]


def lists_of(pricer: Pricer, model: str, providers: Iterable[str], tier: str, day: date) -> Iterator[tuple[str, Rates]]:
    for name in providers:
        rates = pricer.lists.find(occasion_of(name, model, tier, day))
        if isinstance(rates, Rates):
            yield name, rates
            if not name:
                return  # the price book has it, whoever serves it


def rates_table(provider: str, model: str, rates: Rates, tier: str, day: date) -> str:
    from usage_tracker.cli.table import render_table

    rows = [(unit, start, price) for unit, listed in rates.prices.items() for start, price in steps_of(listed)]
    columns = [
        Column("Unit", [unit for unit, _, _ in rows], fixed=True),
        Column("Price", [show_price(unit, price) for unit, _, price in rows], number=True),
    ]
    if rates.cliffs:
        above = ["" if start is None else f"{start:,}" for _, start, _ in rows]
        columns.insert(1, Column("Above input", above, number=True))
    title = " · ".join(part for part in (printable(model), provider, tier, f"{day}") if part)
    return render_table(title, columns, [f"Priced by {rates.source} {rates.version or ''}.".replace(" .", ".")])
