"""What a call cost: by its price list (see `lists`), by what its provider says, or nothing at all."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation

from msgspec.structs import replace

from usage_tracker.event import UNPRICED, AlikeCalls, Cost, Origin, PricedCalls, UsageEvent
from usage_tracker.pricing.bill import Contradiction, bill
from usage_tracker.pricing.book import Book
from usage_tracker.pricing.genai import GenaiPrices
from usage_tracker.pricing.lists import PriceLists, PriceSource
from usage_tracker.pricing.money import rounded
from usage_tracker.pricing.occasion import MINUTE
from usage_tracker.pricing.passes import passes_of, together
from usage_tracker.pricing.plain import may_be_plain, plainly_billed
from usage_tracker.pricing.rates import Rates, alike
from usage_tracker.pricing.sums import contradicts, left_out

FREE = {("openai", "moderation")}
"""Free of charge: https://developers.openai.com/api/docs/pricing"""
CACHED = Cost(Decimal(0), source="free", flags=("cached",))
AWAITED = Cost(flags=("awaited",))


class Pricer:
    """Prices one event after the other. Cheap to make: price data is imported at the first event that needs it."""

    def __init__(self, sources: Iterable[PriceSource] | None = None, books: Sequence[Book] = ()) -> None:
        self._sources = (GenaiPrices(),) if sources is None else tuple(sources)
        self.use(books)

    def use(self, books: Sequence[Book] | None) -> None:
        """From now on, these price books go before everything else, the first one first.

        None: there is a book that can't be read, so that nobody knows which prices are the user's own. Until it can,
        nothing has a price: it is missing from sums and said to be, whereas a wrong one would look right.
        """
        self.lists = PriceLists(self._sources, None if books is None else tuple(books))

    def price(self, origin: Origin, event: UsageEvent) -> Cost:
        """What the call cost at the time that it was made.

        Unknown is a Cost without an amount, flagged `unpriced`: model, provider or usage are unknown, or the usage
        contradicts itself; with `tier_unpriced` or `tool_unpriced` beside it, it is the service tier, or a hosted tool,
        that has no known price. What is told later how much it used has the flag `awaited` instead. A
        failed call that used nothing has no flag. Beside an amount or not, `estimated_tokens` says that the counts are
        an estimate, and `sum_mismatch` that they contradict each other (see `sums`). An answer from a cache of the
        app's own costs nothing and is flagged `cached`.
        """
        usage = event.usage
        if event.cached:
            return CACHED
        if (origin.provider, event.operation) in FREE:
            return Cost(amount=Decimal(0), source="free")
        mismatch = contradicts(usage, event.raw)
        if usage.input_tokens is None and usage.output_tokens is None and not usage.units:
            cost = AWAITED if event.awaits is not None else Cost() if event.status == "error" else UNPRICED
        else:
            cost = together([self._price(origin, one, mismatch) for one in passes_of(event)])
        if cost.amount is None and event.reported_cost is not None and self.lists.books is not None:
            cost = stated(event) or cost
        if usage.estimated:
            cost = replace(cost, flags=(*cost.flags, "estimated_tokens"))
        if mismatch:
            cost = replace(cost, flags=(*cost.flags, "sum_mismatch"))
        return cost

    def price_alike(self, calls: AlikeCalls) -> list[PricedCalls] | None:
        """As `price` each of them would be; None where that has to be done, one by one."""
        origin, event = calls.origin, calls.event
        if (origin.provider, event.operation) in FREE or not may_be_plain(event):
            return None
        found, lasts = self.lists.of_hour(origin, event)
        if not lasts:
            minutes = {started_at // MINUTE for started_at in calls.started_at}
            lists = [self.lists.of(origin, replace(event, started_at=minute * MINUTE)) for minute in minutes]
            if not all(alike(found, other) for other in lists):
                return None
        return plainly_billed(calls, found)

    def _price(self, origin: Origin, event: UsageEvent, mismatch: bool) -> Cost:
        found = self.lists.of(origin, event)
        if not isinstance(found, Rates):
            return UNPRICED if found is None else found
        beside = left_out(origin.provider, origin.base_host, event.usage, event.raw) if mismatch else 0
        try:
            return bill(found, event, beside)
        except Contradiction:
            return UNPRICED


def stated(event: UsageEvent) -> Cost | None:
    """The charge that the provider or the gateway itself stated, for a call that no list has a price for. None where it
    isn't all of the charge: zero, which gateways say of what they can't price themselves, and OpenRouter's fee on top
    of what is billed to one's own key (https://openrouter.ai/docs/use-cases/byok)."""
    try:
        amount = Decimal(str(event.reported_cost))
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount <= 0 or (event.raw and event.raw.get("is_byok") is True):
        return None
    return Cost(rounded(amount), source="reported")
