"""`usage-tracker budget list`, `show`, `status` and `check`."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from usage_tracker.budgets.book import read_budgets
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.outlook import Outlook
from usage_tracker.budgets.scope import named
from usage_tracker.cli.budget_figures import outlook_columns, read_outlooks, shortened
from usage_tracker.cli.budget_text import describe, show_amount, state
from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import printable
from usage_tracker.cli.notes import calls
from usage_tracker.cli.options import dsn_option, output_option
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.plain import json_document
from usage_tracker.cli.stores import NothingYet, before, reading
from usage_tracker.dsn import Dsn
from usage_tracker.errors import SchemaError
from usage_tracker.plain_values import plain
from usage_tracker.stores import Store

OVER_BUDGET = 3
NONE_YET = "No budgets yet. Set one: usage-tracker budget set frontend --where team=frontend --limit 100 --per month"


def find(dsn: Dsn, names: Sequence[str], look: Callable[..., Any]) -> Any:
    """What `look(store, budgets)` gives for the budgets of these names, or all. Raises click.UsageError for a name that
    there is none of."""
    try:
        with reading(dsn) as store:
            budgets = read_budgets(store)
            for name in names:
                if all(budget.name != name for budget in budgets):
                    raise unknown(name, budgets)
            return look(store, [budget for budget in budgets if not names or budget.name in names])
    except NothingYet:
        if names:
            raise unknown(names[0], ()) from None
        return []
    except SchemaError as error:
        raise before(error, "using budgets") from None


def unknown(name: str, budgets: Iterable[Budget]) -> click.UsageError:
    there = ", ".join(budget.name for budget in budgets)
    return click.UsageError(f"there is no budget {name!r}; there {'are: ' + there if there else 'is none'}")


def standing(dsn: Dsn, names: Sequence[str]) -> tuple[list[Outlook], list[Budget]]:
    """Where budgets stand, and those that limit a rate per minute, of which nothing is known here."""

    def look(store: Store, budgets: list[Budget]) -> tuple[list[Outlook], list[Budget]]:
        windows = [budget for budget in budgets if not budget.is_rate]
        return read_outlooks(store, windows, datetime.now(UTC)), [budget for budget in budgets if budget.is_rate]

    found: tuple[list[Outlook], list[Budget]] = find(dsn, names, look) or ([], [])
    return found


def of_rates(rates: Sequence[Budget]) -> str:
    """Why nothing is said of these."""
    named = f"{', '.join(budget.name for budget in rates)}: "
    return f"{named}limits per minute count within the programs that make the calls, so nothing is known of them here."


@click.command("list", help="All budgets, and what each does at its limit.")
@output_option(("table", "json"))
@dsn_option
def list_all(output: str, dsn: Dsn) -> None:
    budgets: list[Budget] = find(dsn, (), lambda store, budgets: budgets)
    if output == "json":
        emit([json_document(budgets=[as_json(budget) for budget in budgets])])
        return
    if not budgets:
        say(NONE_YET)
        return
    from usage_tracker.cli.table import render_table

    columns = [
        Column("Budget", [budget.name for budget in budgets]),
        Column("Calls", [printable(budget.scope) for budget in budgets]),
        Column("Limit", [show_amount(budget.limit, budget.measure) for budget in budgets], number=True),
        Column("Per", [budget.per for budget in budgets], fixed=True),
        Column("Zone", [budget.zone for budget in budgets], rank=2),
        Column("At the limit", [budget.on_limit for budget in budgets], fixed=True),
        Column("Strict", ["yes" if budget.strict else "" for budget in budgets], rank=1),
    ]
    emit([render_table("Budgets", columns, ())])


def as_json(budget: Budget) -> dict[str, object]:
    return {
        "name": budget.name,
        "where": list(map(str, budget.where)),
        "each": budget.each,
        "limit": plain(budget.limit),
        "measure": budget.measure,
        "per": budget.per,
        "tz": budget.zone,
        "on_limit": budget.on_limit,
        "soft": list(map(plain, budget.soft)),
        "strict": budget.strict,
        "unreachable": budget.unreachable,
        "unpriced": budget.unpriced,
        "delay": budget.delay,
    }


def outlook_json(outlooks: Iterable[Outlook]) -> str:
    return json_document(
        budgets=[
            {
                **as_json(each.budget),
                "part": named(each.part),
                "since": plain(each.window.start),
                "until": plain(each.window.end),
                "spent": plain(each.spent),
                "left": plain(each.left),
                "calls": each.calls,
                "unpriced": each.unpriced,
                "projected": plain(each.projected and round(each.projected, 9)),
                "hit_at": plain(each.hit_at and each.hit_at.replace(microsecond=0)),
                "resets_at": plain(each.resets_at),
                "over": each.over,
                "state": state(each),
            }
            for each in outlooks
        ]
    )


@click.command(
    help="""Spent, left, where it is heading, and when the limit will be reached if it goes on like that.

    Figures are of the calls that are in the store; programs that run add their own of the last second.
    """
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@output_option(("table", "json"))
@dsn_option
def status(names: tuple[str, ...], output: str, dsn: Dsn) -> None:
    outlooks, rates = standing(dsn, names)
    if output == "json":
        emit([outlook_json(outlooks)])
    elif outlooks:
        show_table(outlooks, shortened(outlooks))
    if rates:
        say(of_rates(rates))
    elif not outlooks and output != "json":
        say(NONE_YET)


def show_table(outlooks: Sequence[Outlook], shown: Sequence[Outlook]) -> None:
    from usage_tracker.cli.table import render_table

    notes = []
    if more := len(outlooks) - len(shown):
        notes.append(f"{more:,} more {'has' if more == 1 else 'have'} used less; -o json has all of them.")
    if unpriced := sum(each.unpriced for each in outlooks if each.budget.measure == "cost"):
        they = calls(unpriced, "has", "have")
        notes.append(f"{they} no known cost, which is in no sum; `usage-tracker prices unpriced` says why.")
    emit([render_table("Budgets", outlook_columns(shown), notes)])


@click.command(help="One budget, and who has used how much of it.")
@click.argument("name")
@output_option(("table", "json"))
@dsn_option
def show(name: str, output: str, dsn: Dsn) -> None:
    budgets: list[Budget] = find(dsn, [name], lambda store, budgets: budgets)
    outlooks, _ = standing(dsn, [name])
    if output == "json":
        emit([outlook_json(outlooks)])
        return
    say(describe(budgets[0]))
    if outlooks:
        show_table(outlooks, shortened(outlooks, 50))


@click.command(
    "check",
    help="""Exit 3 where one of the budgets NAME, or any budget, is used up; otherwise 0.

    \b
    Example:
      usage-tracker budget check evaluation || exit 1
    """,
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@dsn_option
def check_all(names: tuple[str, ...], dsn: Dsn) -> None:
    outlooks, rates = standing(dsn, names)
    over = [each for each in outlooks if each.over]
    for each in over:
        part = named(each.part)
        say(
            f"{each.budget.name}{f' of {printable(part)}' if part else ''}: "
            f"{show_amount(each.spent, each.budget.measure)} of {show_amount(each.budget.limit, each.budget.measure)} "
            f"per {each.budget.per}"
        )
    if over:
        raise click.exceptions.Exit(OVER_BUDGET)
    count = len({each.budget.name for each in outlooks})
    if count or not rates:
        say("1 budget has room." if count == 1 else f"{count} budgets have room.")
    if rates:
        say(of_rates(rates))
