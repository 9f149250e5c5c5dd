"""How money is computed: exactly, and alike whatever the application has set for its own decimals."""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

DOLLARS = Context(prec=40, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
SMALLEST = Decimal("1e-12")
"""Costs are kept to the picodollar."""
NOTHING = Decimal(0)


def rounded(amount: Decimal) -> Decimal:
    """The amount as a cost is kept."""
    return amount.quantize(SMALLEST, context=DOLLARS) if beyond(amount) else amount


def beyond(amount: Decimal) -> bool:
    """Whether it has more decimal places than a cost."""
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent < -12
