"""What the events of a batch cost: those that are alike together, the others one by one.

Whatever goes wrong with a price, the event is stored: its cost is then unknown, and says so.
"""

from collections.abc import Sequence
from typing import Protocol

from usage_tracker.event import UNPRICED, AlikeCalls, Cost, Origin, PricedCalls, PricedEvent, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.journal.reader import Read
from usage_tracker.providers.alike_calls import Gathered
from usage_tracker.stores import Store
from usage_tracker.threads import in_turns


class Prices(Protocol):
    """What is needed of a pricer."""

    def load(self) -> None:
        """Before a batch: import and read what it takes, once."""

    def refresh(self, store: Store) -> None:
        """After that: take what the store's own price book says by now. Raises StoreError."""

    def price(self, origin: Origin, event: UsageEvent) -> Cost: ...

    def price_alike(self, calls: AlikeCalls) -> list[PricedCalls] | None:
        """As `price` each of them would be; None where that has to be done, one by one."""


def price_batch(prices: Prices, reads: Sequence[Read]) -> tuple[list[PricedEvent], list[PricedCalls]]:
    """Events and alike calls with what they cost."""
    guard, price, alike, priced = guarded("price"), prices.price, [], []
    events = [(each.event_id, each.origin, each.event) for read in reads for each in read.events]
    for gathered in in_turns(Gathered.joined(gathered for read in reads for gathered in read.alike)):
        together = None
        with guard:
            calls = gathered.columns()
            together = None if calls is None else prices.price_alike(calls)
        if together is None:
            events += gathered.events()
        else:
            alike += together
    for event_id, origin, event in in_turns(events):
        cost = UNPRICED
        with guard:
            cost = price(origin, event)
        priced.append(PricedEvent(event_id, origin, event, cost))
    return priced, alike
