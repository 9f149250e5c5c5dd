"""Calls priced again: what they would cost by the prices that are known now, each at its own time."""

from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from usage_tracker.conditions import Condition
from usage_tracker.event import Cost, Origin, Usage, UsageEvent
from usage_tracker.instants import HOUR, to_instant, to_moment
from usage_tracker.report.groups import find_spans
from usage_tracker.report.listing import Event, list_events
from usage_tracker.report.plan import slices
from usage_tracker.stores import Store
from usage_tracker.stores.repricing import Repriced

USAGE = frozenset(Usage.__struct_fields__)
ORIGIN = frozenset(Origin.__struct_fields__)
EVENT = frozenset(UsageEvent.__struct_fields__) - {"usage", "started_at", "reported_cost"}

Outcome = Literal["same", "changed", "refused"]
"""`refused`: it has a cost, and no price of its time is known now, so that it keeps what it has."""


class Prices(Protocol):
    """What repricing needs of a pricer."""

    def price(self, origin: Origin, event: UsageEvent) -> Cost: ...


class Comparison(NamedTuple):
    """One call, with its cost as it is stored and as it would be now."""

    event: Event
    outcome: Outcome
    now: Cost

    def repriced(self) -> Repriced:
        return Repriced(UUID(self.event["event_id"]), to_instant(self.event["started_at"]), self.now)


def compare_prices(
    store: Store, prices: Prices, since: datetime | None, until: datetime | None, where: Collection[Condition]
) -> Iterator[list[Comparison]]:
    """The calls of the range, hour by hour, the oldest first. Each hour is read to its end before it is handed out, so
    that it may be changed then. Raises StoreError."""
    for span in find_spans(store, since, until, closed=True):
        for start, stop in slices(span, HOUR):
            events = list(list_events(store, to_moment(start), to_moment(stop), where))
            if events:
                yield [compare(event, prices) for event in events]


def compare(event: Event, prices: Prices) -> Comparison:
    if "cached" in event["cost_flags"]:
        return Comparison(event, "same", Cost())
    origin, call = call_of(event)
    now = prices.price(origin, call)
    if now.amount is None:
        return Comparison(event, "same" if event["cost"] is None else "refused", now)
    return Comparison(event, "same" if now.amount == event["cost"] else "changed", now)


def call_of(event: Event) -> tuple[Origin, UsageEvent]:
    """The call as it was captured, as far as prices depend on it."""
    usage = Usage(**{name: event[name] for name in USAGE & event.keys()})
    tags = tuple(event["tags"] or ())
    origin = Origin(**{**{name: event[name] for name in ORIGIN & event.keys()}, "tags": tags})
    reported: Decimal | None = event["reported_cost"]
    call = UsageEvent(
        **{name: event[name] for name in EVENT & event.keys()},
        started_at=to_instant(event["started_at"]) * 1000,
        usage=usage,
        reported_cost=None if reported is None else f"{reported:f}",
    )
    call.raw = event["usage"]
    return origin, call
