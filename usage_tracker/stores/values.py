"""What any store can hold of an event, in one form for all stores: text, JSON, money, durations and instants."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, DecimalException, InvalidOperation
from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec

from usage_tracker.decimals import EXACT
from usage_tracker.errors import EventsRefused
from usage_tracker.event import CostLine, PricedEvent

LARGEST_SUMMAND = 1 << 43
"""No real count or duration reaches it, and it takes a million of that size before the sums of rollups overflow."""
LARGEST_MONEY = (1 << 63) - 1
"""Picodollars: 9.2 million dollars for one call."""

FIRST_INSTANT = -62_135_596_800_000_000
LAST_INSTANT = 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds since 1970: what a datetime and every store can hold."""

PICODOLLAR = Decimal("1e-12")
scale = EXACT.scaleb
LEAST_SCALED, MOST_SCALED = Decimal(-LARGEST_MONEY), Decimal(LARGEST_MONEY)

SURROGATE = re.compile("[\ud800-\udfff]")
encode_json = msgspec.json.Encoder(decimal_format="number").encode


class Facts(msgspec.Struct, gc=False):
    """What is computed of an event before it is stored. Money in picodollars (1e-12 USD)."""

    started_at: int
    """Microseconds since 1970, UTC."""
    duration_ms: float | None
    ttft_ms: float | None
    cost: int | None
    reported_cost: int | None


def facts(priced: PricedEvent) -> Facts:
    """Raises EventsRefused for an instant, a duration or an amount that no store can hold."""
    event, amount = priced.event, priced.cost.amount
    started_at = event.started_at // 1000
    if not FIRST_INSTANT <= started_at <= LAST_INSTANT:
        raise EventsRefused("started_at is outside the years 1 to 9999; the event can't be stored")
    duration_ms, ttft_ms = event.duration_ms, event.ttft_ms
    return Facts(
        started_at,
        duration_ms if 0.001 < duration_ms < LARGEST_SUMMAND else milliseconds(duration_ms),
        ttft_ms if ttft_ms is None or 0.001 < ttft_ms < LARGEST_SUMMAND else milliseconds(ttft_ms),
        None if amount is None else picodollars(amount),
        None if event.reported_cost is None else stated_picodollars(event.reported_cost),
    )


def milliseconds(duration: float) -> float | None:
    """A duration to the nanosecond; None where it isn't a number. Raises EventsRefused."""
    if not isfinite(duration):
        return None
    if not -LARGEST_SUMMAND < duration < LARGEST_SUMMAND:
        raise EventsRefused("a duration is beyond any measure; the event can't be stored")
    return round(duration, 6)


def picodollars(amount: Decimal) -> int | None:
    """Dollars as whole picodollars, half to even; None where it isn't a number. Raises EventsRefused."""
    try:
        scaled = scale(amount, 12)
        if LEAST_SCALED < scaled < MOST_SCALED and (whole := int(scaled)) == scaled:
            return whole  # of nearly every amount, in half the time
        found = int(scale(amount.quantize(PICODOLLAR, context=EXACT), 12))
    except (InvalidOperation, ValueError):
        if not amount.is_finite():
            return None
        found = LARGEST_MONEY + 1
    if not -LARGEST_MONEY <= found <= LARGEST_MONEY:
        raise EventsRefused("an amount of money is beyond 9.2 million dollars; the event can't be stored")
    return found


def stated_picodollars(text: str) -> int | None:
    """The same of a provider's own words; None where they are no number."""
    try:
        return picodollars(Decimal(text))
    except DecimalException:
        return None


def sum_of_picodollars(column: str) -> str:
    """SQL for SQLite, whose sum() of integers fails beyond 64 bits, at 9.2 million dollars. Its other arithmetic goes
    on there with floating numbers: in two parts, a sum is exact as long as it fits, and has 15 digits where it
    doesn't."""
    return f"(sum({column} / 1000000) * 1000000 + sum({column} - {column} / 1000000 * 1000000))"


def storable(text: str) -> str:
    """The text without what Postgres or UTF-8 can't hold: NUL is left out, a lone surrogate becomes U+FFFD."""
    if text.isprintable():
        return text
    return SURROGATE.sub("\ufffd", text.replace("\0", ""))


def json_text(value: object) -> str:
    """Compact JSON that jsonb accepts: NaN and infinity are null, text is storable. Raises EventsRefused."""
    try:
        try:
            text = encode_json(value).decode()
        except UnicodeEncodeError:
            return encode_json(storable_parts(value)).decode()
        if "\\u0000" in text:
            return encode_json(storable_parts(value)).decode()
        return text
    except (RecursionError, OverflowError, TypeError, ValueError) as error:
        raise EventsRefused(f"a part of the event can't be written as JSON ({type(error).__name__})") from None


def cost_parts(lines: tuple[CostLine, ...]) -> str:
    """The column `cost_parts`: {unit: {"count": number, "price": "decimal"}}, or a list of them for two prices."""
    found: dict[str, object] = {}
    for line in lines:
        unit, count = line.unit, line.count
        part = {"count": count if count.is_finite() else None, "price": str(line.price)}
        known = found.get(unit)
        found[unit] = part if known is None else [*known, part] if isinstance(known, list) else [known, part]
    return json_text(found)


def read_cost_parts(parts: Mapping[str, Any] | None) -> Iterator[tuple[str, Decimal | None, Decimal]]:
    """What that column says, once its JSON is read: the unit of each line, its count, None where that is no number, and
    its price."""
    for unit, found in (parts or {}).items():
        for part in found if isinstance(found, list) else [found]:
            count = part["count"]
            yield unit, None if count is None else Decimal(str(count)), Decimal(str(part["price"]))


@lru_cache(4096)
def cost_template(units: tuple[str, ...], prices: tuple[str, ...]) -> str | None:
    """`cost_parts` of lines that differ in their counts alone, with %s for each. None where a unit is no plain word or
    there twice, so that counts would stand in another order."""
    if len(set(units)) < len(units) or not all(map(str.isidentifier, units)):
        return None
    return (
        "{"
        + ",".join(f'"{unit}":{{"count":%s,"price":"{price}"}}' for unit, price in zip(units, prices, strict=True))
        + "}"
    )


def storable_parts(value: object) -> object:
    """The same value with each text in it, keys included, made storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable_parts(key): storable_parts(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [storable_parts(part) for part in value]
    return value
