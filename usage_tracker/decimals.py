"""How money is added up: exactly, whatever the app has set for its own decimals, or for those of all threads."""

from decimal import ROUND_HALF_EVEN, Context, InvalidOperation

EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
