"""Budgets in words and figures for people."""

from datetime import datetime
from decimal import Decimal

from usage_tracker.budgets.amounts import noun
from usage_tracker.budgets.budget import Budget, Measure
from usage_tracker.budgets.outlook import Outlook
from usage_tracker.cli.figures import UNKNOWN, printable, show_count, show_money
from usage_tracker.plain_values import exact
from usage_tracker.zones import parse_zone


def describe(budget: Budget) -> str:
    """One sentence that says all of it."""
    zone = "" if budget.zone == "UTC" or budget.per[:1].isdigit() else f" ({budget.zone})"
    window = "a rolling " + budget.per if budget.per[:1].isdigit() else f"a {budget.per}{zone}"
    window = window.replace("a hour", "an hour")
    does = {
        "alert": "only alerts",
        "throttle": f"holds each call back for up to {budget.delay:g} s",
        "block": "refuses calls",
    }[budget.on_limit]
    said = [
        f"{budget.name}: {show_amount(budget.limit, budget.measure)} {window} for {printable(budget.scope)}; {does}"
    ]
    if budget.soft:
        said.append(f"alerts at {', '.join(map(show_percent, budget.thresholds))}")
    if budget.strict:
        said.append("strict")
    if budget.unreachable == "closed":
        said.append("refuses calls while the store can't be reached")
    if budget.unpriced == "refuse":
        said.append("refuses calls without a price")
    return "; ".join(said)


def show_amount(amount: Decimal, measure: Measure) -> str:
    """To the cent, with more digits where the amount is small."""
    if measure == "cost":
        return show_money([amount], [Decimal(10)])[0]
    return f"{show_count(int(amount))} {noun(amount, measure)}"


def show_percent(share: Decimal) -> str:
    return f"{exact(round(share * 100, 1))} %"


def show_time(moment: datetime | None, budget: Budget) -> str:
    """In the budget's zone, which it says: that of a report or page beside it may be another."""
    return UNKNOWN if moment is None else f"{moment.astimezone(parse_zone(budget.zone)):%Y-%m-%d %H:%M %Z}"


def state(outlook: Outlook) -> str:
    """In a word."""
    if outlook.over:
        return {"alert": "over", "throttle": "held back", "block": "refused"}[outlook.budget.on_limit]
    passed = [share for share in outlook.budget.soft if outlook.share >= share]
    return f"over {show_percent(max(passed))}" if passed else "ok"
