"""Events as JSON, with the names and forms that `usage-tracker export` gives them."""

import json
from datetime import datetime
from decimal import Decimal

from usage_tracker.report import Event


def plain(event: Event) -> Event:
    """The event as JSON holds it: times in ISO 8601, money in exact digits."""
    return {name: plain_value(value) for name, value in event.items()}


def plain_value(value: object) -> object:
    if isinstance(value, Decimal):
        digits = f"{value:f}"
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def event_json(event: Event) -> bytes:
    return json.dumps(plain(event), separators=(",", ":")).encode()
