"""Bills of calls that are alike, computed column by column in whole picodollars.

Only what nearly all calls are billed for: input, what of it was read from a cache or written to one, and output, at
prices of which none is rounded. The bills are those of `bill`; where that says more, each call is priced by itself.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple

from usage_tracker.event import UNPRICED, AlikeCalls, Cost, PricedCalls, UsageEvent
from usage_tracker.pricing.bill import GENERATES_NOTHING, SPOKEN
from usage_tracker.pricing.money import DOLLARS
from usage_tracker.pricing.rates import Found, Rates
from usage_tracker.pricing.sums import TOTALS
from usage_tracker.providers.anthropic_usage import PASSES

TELLING = frozenset((PASSES, "tool_usage", "svg_usage"))
"""Fields of a usage object of which a bill may depend, beside its counts."""
APART = frozenset(("output_reasoning_tokens", "output_citation_tokens", "requests"))
"""What some lists price beside, of which a plain bill knows nothing."""
MOST_MONEY = 1 << 62
"""Picodollars. What is more, a store may refuse."""
Column = Sequence[int] | None


class Line(NamedTuple):
    """What some calls are billed for."""

    unit: str
    price: Decimal
    counts: Sequence[int]


def may_be_plain(event: UsageEvent) -> bool:
    """Whether bills of calls like this one may be plain, whatever they cost."""
    return event.operation != "batch" and event.operation not in SPOKEN and TELLING.isdisjoint(event.raw or ())


def plainly_billed(calls: AlikeCalls, found: Found) -> list[PricedCalls] | None:
    """What the calls cost by that list, or that it isn't known; None where each has to be priced by itself."""
    if not any(calls.counts):
        return [PricedCalls(calls, None, flags=() if calls.event.status == "error" else UNPRICED.flags)]
    rest = not_cached(calls)
    if rest is None:
        return None
    if isinstance(found, Cost) and found.amount is not None:
        return None
    if not isinstance(found, Rates):
        return [PricedCalls(calls, None, flags=UNPRICED.flags if found is None else found.flags)]
    out = calls.counts[1]
    if out and not found.has_output and found.by_token and all(out):
        return [PricedCalls(calls, None, flags=UNPRICED.flags)]
    lines = lines_of(calls, found, rest)
    if lines is None:
        return None
    priced = [with_lines(some, found, each) for some, each in by_lines(calls, lines)]
    return priced if all(max(each.amounts or ()) < MOST_MONEY for each in priced) else None


def not_cached(calls: AlikeCalls) -> Column:
    """The input that was neither read from a cache nor written to one. None where the counts of a call contradict each
    other, or say more than plain bills are about."""
    into, out, read, written, for_an_hour, reasoning, *others = calls.counts
    if into is None or any(column and any(column) for column in (for_an_hour, *others)):
        return None
    for part in (read, written):
        if part:
            into = [whole - count for whole, count in zip(into, part, strict=True)]
    if min(into) < 0 or (out and reasoning and any(part > whole for part, whole in zip(reasoning, out, strict=True))):
        return None
    place = place_of_total(calls.template)
    if place is not None and out:
        totals = zip(calls.figures, calls.counts[0] or (), out, strict=True)
        if any(figures[place] != whole + more for figures, whole, more in totals):
            return None
    return into


@lru_cache(1024)
def place_of_total(template: str | None) -> int | None:
    """Which figure of a usage object is its total."""
    for name in TOTALS:
        at = -1
        while template and (at := template.find(f'"{name}":%s', at + 1)) >= 0:
            before = template[:at]
            if before.count("{") - before.count("}") == 1:
                return before.count("%s")
    return None


def lines_of(calls: AlikeCalls, rates: Rates, rest: Sequence[int]) -> list[Line] | None:
    """What the calls are billed for. None where the list has more to say of it, or doesn't cover it."""
    into, out, read, written, *_ = calls.counts
    if not is_plain(rates, calls.template) or (into and rates.cliffs and max(into) > rates.cliffs[0]):
        return None
    if out is None and rates.output_costs and calls.event.operation not in GENERATES_NOTHING:
        return None
    units, prices = rates.units, rates.by_step[0]
    lines = []
    for unit, counts in (("cache_read_tokens", read), ("cache_write_tokens", written)):
        if counts and any(counts):
            if unit in units:
                lines.append(Line(unit, prices[unit], counts))
            else:  # billed as any input
                rest = [count + more for count, more in zip(rest, counts, strict=True)]
    for unit, counts in (("input_tokens", rest), ("output_tokens", out)):
        if counts and any(counts):
            if unit not in units:
                return None
            lines.append(Line(unit, prices[unit], counts))
    return lines


def is_plain(rates: Rates, template: str | None) -> bool:
    """Whether a list prices tokens alone, and all that are neither audio nor images by whether they are read, written
    or generated. Video stands in the usage object alone."""
    if not rates.by_token or rates.rounded or not APART.isdisjoint(rates.units):
        return False
    return not rates.modal or "video" not in (template or "").lower()


def by_lines(calls: AlikeCalls, lines: list[Line]) -> list[tuple[AlikeCalls, list[Line]]]:
    """The calls by the lines of their bills: a line of which a call has none isn't on its bill."""
    if not any(0 in line.counts for line in lines):
        return [(calls, lines)]
    places: dict[tuple[bool, ...], list[int]] = {}
    for place, counts in enumerate(zip(*[line.counts for line in lines], strict=True)):
        places.setdefault(tuple(map(bool, counts)), []).append(place)
    return [
        (
            picked(calls, those),
            [line._replace(counts=pick(line.counts, those)) for line in compress(lines, billed)],
        )
        for billed, those in places.items()
    ]


def with_lines(calls: AlikeCalls, rates: Rates, lines: list[Line]) -> PricedCalls:
    amounts: Sequence[int] = [0] * len(calls.event_ids)
    for line in lines:
        price = picodollars(line.price)
        amounts = [amount + price * count for amount, count in zip(amounts, line.counts, strict=True)]
    return PricedCalls(
        calls,
        amounts,
        tuple([line.unit for line in lines]),
        tuple([str(line.price) for line in lines]),
        list(zip(*[line.counts for line in lines], strict=True)) if lines else [()] * len(amounts),
        rates.source,
        rates.version,
    )


@lru_cache(4096)
def picodollars(price: Decimal) -> int:
    return int(DOLLARS.scaleb(price, 12))


def picked(calls: AlikeCalls, places: list[int]) -> AlikeCalls:
    """Some of the calls."""
    return calls._replace(
        origins=pick(calls.origins, places),
        event_ids=pick(calls.event_ids, places),
        started_at=pick(calls.started_at, places),
        duration_ms=pick(calls.duration_ms, places),
        ttft_ms=pick(calls.ttft_ms, places),
        response_ids=pick(calls.response_ids, places),
        counts=tuple([None if column is None else pick(column, places) for column in calls.counts]),
        figures=pick(calls.figures, places),
    )


def pick(column: Sequence[Any], places: list[int]) -> Sequence[Any]:
    return itemgetter(*places)(column) if len(places) > 1 else (column[places[0]],)
