"""`usage-tracker budget log` and `prices log`: who has changed what, and what stood there before and after."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import click
import msgspec

from usage_tracker.budgets.budget import decode
from usage_tracker.cli.budget_status import as_json as budget_json
from usage_tracker.cli.budget_text import describe
from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import UNKNOWN, printable
from usage_tracker.cli.options import dsn_option, output_option
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.plain import json_document
from usage_tracker.cli.price_books import plain_table
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.dsn import Dsn
from usage_tracker.pricing.book_text import differ
from usage_tracker.stores.changes import Change, Kind, read_changes

THROUGH = "command line"
MOST_SHOWN = 50

limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=MOST_SHOWN, show_default=True, help="The most changes."
)


@click.command(
    "log", help="The newest changes of budgets, or of the budget NAME: who, when, and what there was before."
)
@click.argument("name", required=False)
@limit_option
@output_option(("table", "json"))
@dsn_option
def budget_log(name: str | None, limit: int, output: str, dsn: Dsn) -> None:
    show(dsn, "budget", name, limit, output, "No budget was changed yet.")


@click.command("log", help="The newest changes of the store's price book: who, when, and which entries differ.")
@limit_option
@output_option(("table", "json"))
@dsn_option
def price_log(limit: int, output: str, dsn: Dsn) -> None:
    show(dsn, "prices", None, limit, output, "The store's price book was never changed.")


def show(dsn: Dsn, kind: Kind, subject: str | None, limit: int, output: str, nothing: str) -> None:
    try:
        with reading(dsn) as store:
            changes = read_changes(store, (kind,), subject, limit)
    except NothingYet:
        changes = []
    if output == "json":
        emit([changes_json(changes)])
        return
    if not changes:
        say(nothing)
        return
    from usage_tracker.cli.table import render_table

    columns = [
        Column("When", [f"{change.at:%Y-%m-%d %H:%M:%S}" for change in changes], fixed=True),
        Column("Who", [printable(change.who) for change in changes]),
        Column("With", [printable(change.through) for change in changes], rank=1),
        Column("What", [printable(change_words(change)) for change in changes]),
    ]
    emit([render_table("Changes", columns, ())])


def changes_json(changes: Sequence[Change]) -> str:
    return json_document(changes=list(map(as_json, changes)))


def as_json(change: Change) -> Mapping[str, object]:
    fields = {**change._asdict(), "before": content(change.before), "after": content(change.after)}
    return {name: plain_table(value) for name, value in fields.items()}


def content(text: str | None) -> Any:
    """A budget as `budget list` has it, or entries of a price book."""
    if text is None:
        return None
    found = json.loads(text, parse_float=Decimal)
    try:
        return budget_json(decode(text)) if isinstance(found, dict) else found
    except msgspec.MsgspecError:  # a budget of a newer version
        return found


def change_words(change: Change) -> str:
    """What was changed, in a sentence."""
    words: dict[str, Callable[[Change], str]] = {"budget": budget_words, "prices": price_words}
    return words[change.kind](change) if change.kind in words else change.subject


def budget_words(change: Change) -> str:
    if change.after is None:
        return f"removed {budget_text(change.before)}"
    if change.before is None:
        return f"added {budget_text(change.after)}"
    before, after = content(change.before), content(change.after)
    known = dict.fromkeys(("limit", "measure", "per", *before, *after))
    names = [name for name in known if before.get(name) != after.get(name)]
    differing = "; ".join(f"{name} {value_text(before, name)} → {value_text(after, name)}" for name in names)
    return f"changed {change.subject}: {differing}"


def budget_text(text: str | None) -> str:
    try:
        return describe(decode(text or ""))
    except msgspec.MsgspecError:  # of a newer version
        return text or UNKNOWN


def value_text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or ("all calls" if name == "where" else "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def price_words(change: Change) -> str:
    def entries(text: str | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(text, parse_float=Decimal) if text else []
        return found

    found = differ(entries(change.before), entries(change.after))
    return f"version {change.subject}: {'; '.join(map(str, found))}"
