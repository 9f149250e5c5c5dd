"""`usage-tracker budget set` and `rm`."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec

from usage_tracker.budgeting import Budgeting
from usage_tracker.budgets.book import read_budgets, remove_budget, set_budget
from usage_tracker.budgets.budget import Budget, about, check, default_name, parse_limit, parse_share
from usage_tracker.budgets.scope import WHOLE
from usage_tracker.budgets.windows import Window
from usage_tracker.cli.budget_status import unknown
from usage_tracker.cli.budget_text import describe
from usage_tracker.cli.change_log import THROUGH
from usage_tracker.cli.options import Conditions, dsn_option, parsed, where_option
from usage_tracker.cli.output import say
from usage_tracker.cli.stores import writing
from usage_tracker.config import load_usable
from usage_tracker.dsn import Dsn
from usage_tracker.errors import ConfigError
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.pipeline import open_spool
from usage_tracker.spending import read_used
from usage_tracker.stores import Store
from usage_tracker.stores.changes import this_account

LATELY_DAYS = 30


@click.command(
    "set",
    help="""Add the budget NAME or, where there is one of that name, change what is given here and keep the rest.
    Without NAME it is named after what it is about.

    \b
    --limit   100 (US dollars), '5M tokens' or '1000 calls'
    --per     hour, day, week, month of the calendar in --tz; a duration such as 24h or 30d that rolls along; minute,
              which limits the rate of tokens or calls
    --where   the calls that count: team=frontend, 'model=gpt-4*', tag=batch, project=none; repeated, all hold.
              Known before a call are app, project, team, user, session, tag, api_key, host, provider, model (as it is
              asked for), operation and sdk
    --each    one budget for each user, team, …

    Several budgets may apply to a call; it is made if all of them let it. An alert is sent at the limit and at each
    --soft share of it, to where TRACKER_ALERT_… says.

    \b
    Examples:
      usage-tracker budget set frontend --where team=frontend --limit 100 --per month --soft 80%
      usage-tracker budget set frontend --limit 150
      usage-tracker budget set --each user --limit 5 --per day --on-limit block
      usage-tracker budget set all --limit 1000 --per month --on-limit block --strict
    """,
)
@click.argument("name", required=False)
@click.option("--limit", callback=parsed(parse_limit), metavar="AMOUNT", help="What may be used in a window.")
@click.option("--per", metavar="WINDOW", help="The window.  [default: month]")
@click.option("-z", "--tz", "zone", metavar="ZONE", help="Whose hours, days, weeks and months.  [default: UTC]")
@where_option
@click.option("--each", metavar="DIMENSION", help="One budget for each value of it.")
@click.option(
    "--on-limit",
    type=click.Choice(["alert", "throttle", "block"]),
    help="Only tell, hold calls back, or refuse them.  [default: alert]",
)
@click.option(
    "--soft", multiple=True, callback=parsed(parse_share), metavar="SHARE", help="Alert at this share, too: 80%."
)
@click.option("--strict/--no-strict", default=None, help="Reserve what a call may use in the store before it is made.")
@click.option(
    "--unreachable",
    type=click.Choice(["open", "closed"]),
    help="Calls while nobody knows what was spent: made, or refused.  [default: open]",
)
@click.option(
    "--unpriced",
    type=click.Choice(["count", "refuse"]),
    help="Calls of models without a price: made and counted, or refused.  [default: count]",
)
@click.option("--delay", type=float, metavar="SECONDS", help="The longest that a call is held back.  [default: 5]")
@dsn_option
def set_one(name: str | None, where: Conditions, dsn: Dsn, **said: Any) -> None:
    given = {key: value for key, value in said.items() if value not in (None, ())}
    if "limit" in given:
        given["limit"], given["measure"] = given["limit"]
    if where:
        given["where"] = where
    with writing(dsn) as store:
        known = {budget.name: budget for budget in read_budgets(store)}
        budget = meant(name, known, given)
        before = known.get(budget.name)
        set_budget(store, budget, this_account(THROUGH))
        say(f"{'Added' if before is None else 'Changed'}: {describe(budget)}")
        remind(store, budget)
        tell_this_host(dsn, store)


def meant(name: str | None, known: Mapping[str, Budget], given: dict[str, Any]) -> Budget:
    """The budget as it will be. One that nobody named changes none that is about something else, though it would be
    called the same. Raises click.UsageError."""
    budget = made(name, known.get(name) if name else None, given)
    before = known.get(budget.name)
    if name or before is None:
        return budget
    if about(before) != about(budget):
        raise click.UsageError(f"the budget {before.name} is for {before.scope}; give this one a NAME of its own")
    return made(before.name, before, given)


def made(name: str | None, before: Budget | None, given: dict[str, Any]) -> Budget:
    """The budget that is given, or the one before with what is given. Raises click.UsageError."""
    try:
        if before is not None:
            budget = msgspec.structs.replace(before, **given)
        elif "limit" not in given:
            raise click.UsageError("a new budget needs a --limit, such as 100 (US dollars) or '5M tokens'")
        else:
            budget = Budget(name=name or "", **given)
        if not name:
            budget = msgspec.structs.replace(budget, name=default_name(budget))
        check(budget)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    return budget


def remind(store: Store, budget: Budget) -> None:
    """What is worth knowing before one relies on it."""
    if budget.strict and store.dialect.name == "sqlite":
        say("A strict budget in SQLite lets one call at a time reserve; Postgres is made for many.")
    now = datetime.now(UTC)
    lately = Window(now - timedelta(days=LATELY_DAYS), now)

    def calls(scope: Budget) -> int:
        return read_used(store, {scope: lately})[scope][WHOLE].calls

    everything = msgspec.structs.replace(budget, each=None, where=())
    if budget.where and not calls(msgspec.structs.replace(budget, each=None)) and calls(everything):
        say(f"None of the calls of the last {LATELY_DAYS} days counts in it: {budget.scope}.")


def tell_this_host(dsn: Dsn, store: Store) -> None:
    """Programs that start here find the change at once; the others, with the next look of their leader."""
    settings, _ = load_usable(dsn=dsn.setting)
    with suppress(OSError, SpoolUnusable):
        open_spool(settings).prepare()
        Budgeting(settings, alerts=False)(store)


@click.command("rm", help="Remove the budget NAME. What was refused or held back because of it goes on within seconds.")
@click.argument("name")
@dsn_option
def remove(name: str, dsn: Dsn) -> None:
    with writing(dsn) as store:
        if not remove_budget(store, name, this_account(THROUGH)):
            raise unknown(name, read_budgets(store))
        tell_this_host(dsn, store)
    say(f"Removed: {name}")
