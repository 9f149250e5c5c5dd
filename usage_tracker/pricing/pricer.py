"""What a call cost: which source of prices is asked first, and what has no price at all."""

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from typing import Protocol

from usage_tracker.event import Cost, Origin, UsageEvent
from usage_tracker.pricing.genai import GenaiPrices

UNPRICED = Cost(flags=("unpriced",))
DOLLARS = Context(prec=40)
"""The shipper's thread computes alike whatever the application has set for its own decimals."""

FREE = {("openai", "moderation")}
"""Free of charge: https://platform.openai.com/docs/guides/moderation"""


class PriceSource(Protocol):
    """A place that knows what models cost."""

    def price(self, origin: Origin, event: UsageEvent) -> Cost | None:
        """What the call cost, or why that can't be said; None: the model isn't known here, ask the next source."""


class Pricer:
    """Prices one event after the other. Cheap to make: price data is imported at the first event that needs it."""

    def __init__(self, sources: Iterable[PriceSource] | None = None) -> None:
        self._sources = (GenaiPrices(),) if sources is None else tuple(sources)

    def price(self, origin: Origin, event: UsageEvent) -> Cost:
        """What the call cost at the time that it was made.

        Unknown is a Cost without an amount, whose flags say why: `unpriced` (model, provider or usage unknown, or usage
        that contradicts itself), `tier_unpriced`, `tool_unpriced`. A failed call that used nothing has neither.
        """
        if (origin.provider, event.operation) in FREE:
            return Cost(amount=Decimal(0), source="free")
        if not event.usage.known() and not event.usage.units:
            return Cost() if event.status == "error" else UNPRICED
        with localcontext(DOLLARS):
            for source in self._sources:
                cost = source.price(origin, event)
                if cost is not None:
                    return cost
        return UNPRICED
