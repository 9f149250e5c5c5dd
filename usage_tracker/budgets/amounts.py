"""Amounts of a budget as whole numbers: tokens, calls, and billionths of a dollar."""

from decimal import ROUND_CEILING, Decimal

from usage_tracker.budgets.budget import Budget, Measure

NANO = 1_000_000_000


def whole(amount: Decimal, measure: Measure) -> int:
    """Rounded up, so that a limit is never passed by what was cut off."""
    scaled = amount * NANO if measure == "cost" else amount
    return int(scaled.to_integral_value(ROUND_CEILING))


def exact(amount: int, measure: Measure) -> Decimal:
    return Decimal(amount) / NANO if measure == "cost" else Decimal(amount)


def limit_of(budget: Budget) -> int:
    return whole(budget.limit, budget.measure)


def noun(amount: Decimal, measure: Measure) -> str:
    """What there is so much of, as a word."""
    return measure.removesuffix("s") if amount == 1 else measure


def show(amount: Decimal, measure: Measure) -> str:
    """For people, in a sentence."""
    if measure != "cost":
        return f"{amount:,f} {noun(amount, measure)}"
    cents = amount.quantize(Decimal("0.01"))
    return f"${cents if cents == amount else amount.normalize():,f}"
