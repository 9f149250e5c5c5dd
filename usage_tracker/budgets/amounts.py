"""Amounts of a budget as whole numbers: tokens, calls, and billionths of a dollar. They are made in threads of the app,
which may have decimals of its own."""

from decimal import ROUND_CEILING, Decimal

from usage_tracker.budgets.budget import Budget, Measure
from usage_tracker.decimals import EXACT

NANO_PLACES = 9
NANO = Decimal(10**NANO_PLACES)
CENT = Decimal("0.01")


def whole(amount: Decimal, measure: Measure) -> int:
    """Rounded up, so that a limit is never passed by what was cut off."""
    return rounded_up(amount, NANO_PLACES if measure == "cost" else 0)


def rounded_up(amount: Decimal, places: int) -> int:
    """How many there are of what stands at that decimal place."""
    return int(EXACT.scaleb(amount, places).to_integral_value(ROUND_CEILING, EXACT))


def exact(amount: int, measure: Measure) -> Decimal:
    return EXACT.divide(Decimal(amount), NANO) if measure == "cost" else Decimal(amount)


def limit_of(budget: Budget) -> int:
    return whole(budget.limit, budget.measure)


def noun(amount: Decimal, measure: Measure) -> str:
    """What there is so much of, as a word."""
    return measure.removesuffix("s") if amount == 1 else measure


def show(amount: Decimal, measure: Measure) -> str:
    """For people, in a sentence."""
    if measure != "cost":
        return f"{amount:,f} {noun(amount, measure)}"
    cents = amount.quantize(CENT, context=EXACT)
    return f"${cents if cents == amount else amount.normalize(EXACT):,f}"
