"""Values as programs read them in JSON and CSV: times in ISO 8601, money in exact digits."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any


def plain(value: object) -> object:
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def plain_fields(fields: Mapping[str, object]) -> dict[str, Any]:
    return {name: plain(value) for name, value in fields.items()}


def exact(amount: Decimal) -> str:
    """The amount in digits, without an exponent and without zeros at its end."""
    digits = f"{amount:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
