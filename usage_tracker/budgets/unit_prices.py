"""What calls cost, fast: the unit prices of each kind of call are looked up once, and multiplied from then on.

It is the cost that reports will say: calls that use what has a price apart (audio, images, tools, long prompts) are
priced one by one, and so are all calls of a list on which reasoning or video has one.
"""

import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from usage_tracker.budgets.amounts import rounded_up, whole
from usage_tracker.budgets.view import PriceBook
from usage_tracker.event import Cost, Figures, Origin, Usage, UsageEvent
from usage_tracker.forking import undivided
from usage_tracker.providers.anthropic_usage import PASSES

PLAIN_INPUT = 100_000
"""Most lists that have another price for long prompts have it beyond that."""
PROBES = tuple(
    Usage(input_tokens=into, cache_read_tokens=into // 2, output_tokens=1000, reasoning_tokens=500)
    for into in (2, PLAIN_INPUT)
)
"""Where both are billed at the same prices, all prompts between them are."""
PROBED = {name: {"video_tokens": 1} for name in ("prompt_tokens_details", "completion_tokens_details")}
"""What their usage objects say, as video has no column."""
PLAIN_UNITS = frozenset({"input_tokens", "cache_read_tokens", "output_tokens"})
MOST_KINDS = 4096
CHAT = frozenset({"chat", "completion", "responses", "embeddings", "messages"})


ATTO_PLACES, ATTO_PER_NANO = 18, 10**9
Units = tuple[int, int, int]
"""What a token of input, one that was read from a cache, and one of output cost: in billionths of a billionth of a
dollar, so that sums of whole numbers are what sums of the price list's decimals would be."""

Kind = tuple[str | None, str | None, str | None, str | None, str | None, str, tuple[str, ...]]
"""Calls that have the same prices: provider, host, model, model that was asked for, tier, operation, and what else
their usage objects have said in words, such as Anthropic's `inference_geo` and `speed`."""


class UnitPrices:
    """Prices events. Loading price data takes 100 ms, so that is done before, by `load`, off the app's path."""

    def __init__(self, prices: Path | None) -> None:
        self._path = prices
        self._price: Callable[[Origin, UsageEvent], Cost] | None = None
        self._refresh: Callable[[PriceBook | None], None] | None = None
        self._contradicts: Callable[[Usage, Figures | None], bool]
        self.units: dict[Kind, Units | None] = {}
        """What tokens of such calls cost, where that was asked of late; None: they are priced one by one."""
        self.ready = False

    def load(self, book: PriceBook | None) -> None:
        """Take the price books that hold now."""
        if self._refresh is None:
            with undivided():
                from usage_tracker.pricing import FollowingPricer, StoredBook, newest_data
                from usage_tracker.pricing.sums import contradicts

            pricer = FollowingPricer([newest_data()], self._path)

            def refresh(book: PriceBook | None) -> None:
                def read(known: int | None) -> StoredBook | None:
                    if book is None or book.version == known:
                        return None
                    entries = [json.loads(entry, parse_float=Decimal) for entry in book.entries]
                    return StoredBook(book.version, entries)

                pricer.look(read)

            self._refresh, self._price, self._contradicts = refresh, pricer.price, contradicts
        self._refresh(book)
        self.units = {}
        self.ready = True

    def cost(self, origin: Origin, event: UsageEvent) -> int | None:
        """In billionths of a dollar, rounded up; None: nobody knows. Needs `load`."""
        units = self._units_of(origin, event)
        usage = event.usage
        into, out = usage.input_tokens, usage.output_tokens
        if (
            units is None
            or into is None
            or out is None
            or into > PLAIN_INPUT
            or event.cached
            or usage.units
            or usage.cache_write_tokens
            or usage.input_audio_tokens
            or usage.output_audio_tokens
            or usage.input_image_tokens
            or usage.output_image_tokens
            or usage.tool_tokens
            or (event.raw is not None and PASSES in event.raw)
            or self._contradicts(usage, event.raw)
        ):
            return self._exactly(origin, event)
        return total(units, into, out, usage.cache_read_tokens or 0)

    def _units_of(self, origin: Origin, event: UsageEvent) -> Units | None:
        kind = kind_of(origin, event)
        units = self.units.get(kind, UNKNOWN)
        return self._learn(kind, origin, event) if units is UNKNOWN else units

    def estimate(self, origin: Origin, model: str | None, operation: str, into: int, out: int) -> int | None:
        """As `cost`, of a call that is still to be made."""
        usage = Usage(input_tokens=into, output_tokens=out)
        return self.cost(origin, made_up(model, operation, usage))

    def _exactly(self, origin: Origin, event: UsageEvent) -> int | None:
        assert self._price is not None, "loaded before"
        amount = self._price(origin, event).amount
        return None if amount is None else whole(amount, "cost")

    def _learn(self, kind: Kind, origin: Origin, event: UsageEvent) -> Units | None:
        units = None
        if event.operation in CHAT:
            prices, long = (self._prices_of(origin, event, probe) for probe in PROBES)
            if prices is not None and prices == long and prices.keys() <= PLAIN_UNITS:
                into = prices.get("input_tokens", 0)
                units = into, prices.get("cache_read_tokens", into), prices.get("output_tokens", 0)
        if len(self.units) < MOST_KINDS:
            self.units[kind] = units
        return units

    def _prices_of(self, origin: Origin, event: UsageEvent, usage: Usage) -> dict[str, int] | None:
        """By unit, at what prices a call like that one is billed that used so much; None: nobody knows."""
        assert self._price is not None, "loaded before"
        probe = made_up(event.request_model, event.operation, usage)
        probe.model, probe.service_tier, probe.started_at = event.model, event.service_tier, event.started_at
        probe.raw = PROBED | {name: said for name, said in (event.raw or {}).items() if type(said) is str}
        cost = self._price(origin, probe)
        if cost.amount is None:
            return None
        return {line.unit: rounded_up(line.price, ATTO_PLACES) for line in cost.lines}


UNKNOWN = (-1, -1, -1)


def kind_of(origin: Origin, event: UsageEvent) -> Kind:
    said = tuple([said for said in event.raw.values() if type(said) is str]) if event.raw else ()
    return (
        origin.provider, origin.base_host, event.model, event.request_model, event.service_tier, event.operation, said,
    )  # fmt: skip


def total(units: Units, into: int, out: int, cached: int) -> int:
    """In billionths of a dollar, rounded up. `cached` tokens of what went `into` it were read from a cache."""
    fresh, read, written = units
    return -(-((into - cached) * fresh + cached * read + out * written) // ATTO_PER_NANO)


def made_up(model: str | None, operation: str, usage: Usage) -> UsageEvent:
    return UsageEvent(
        started_at=time.time_ns(), duration_ms=0.0, operation=operation, request_model=model, model=model, usage=usage
    )
