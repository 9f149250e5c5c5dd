"""Other costs than those that were recorded: what providers reported, or what the calls would cost today."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import product
from typing import NamedTuple

from usage_tracker.dates import first_day
from usage_tracker.instants import to_instant
from usage_tracker.report.dimensions import DIMENSIONS, key_of_tags
from usage_tracker.report.figures import Figures
from usage_tracker.report.listing import Event
from usage_tracker.report.question import Query
from usage_tracker.report.repricing import Prices, call_of
from usage_tracker.report.sums import Group, GroupValue, Sums

MOST_PRICED = 100_000
"""How many calls are priced anew for one report: what takes some seconds."""


class Costs(NamedTuple):
    """What the calls of a group cost otherwise."""

    priced: int = 0
    unpriced: int = 0
    cost: Decimal = Decimal(0)

    def plus(self, other: "Costs") -> "Costs":
        return Costs(self.priced + other.priced, self.unpriced + other.unpriced, self.cost + other.cost)


def as_reported(sums: Sums) -> Sums:
    """The sums with what providers and gateways said of their cost. Unpriced are all others that didn't fail."""
    unsaid = max(0, sums.calls - sums.errors - sums.reported)
    return sums._replace(priced=sums.reported, unpriced=unsaid, cost=sums.reported_cost)


def with_costs(groups: Mapping[Group, Sums], costs: Mapping[Group, Costs]) -> dict[Group, Sums]:
    none = Costs()
    return {group: sums._replace(**costs.get(group, none)._asdict()) for group, sums in groups.items()}


def price_anew(figures: Figures, query: Query, prices: Prices) -> Callable[[Query], dict[Group, Costs]]:
    """What the calls of the query would cost if they were made now, by the groups of this query, of models and in all.

    Prices have steps and tiers, so each call is priced by itself. Raises ValueError where these are too many, and
    StoreError.
    """
    calls = sum(sums.events for sums in figures.groups(replace(query, by=("status",), percentiles=False)).values())
    if calls > MOST_PRICED:
        raise ValueError(
            f"prices of today are looked up call by call, for at most {MOST_PRICED:,} calls, each answer "
            f"of a batch as one; these are {calls:,}: narrow them with --since, --until or --where"
        )
    now = to_instant(datetime.now(UTC)) * 1000
    found: dict[tuple[str, ...], defaultdict[Group, Costs]] = {
        by: defaultdict(Costs) for by in (query.by, (), ("model",))
    }
    for event in figures.events(query):
        cost = priced_now(event, prices, now)
        for by, groups in found.items():
            for group in groups_of(event, replace(query, by=by)):
                groups[group] = groups[group].plus(cost)
    return lambda asked: found[asked.by]


def priced_now(event: Event, prices: Prices, now: int) -> Costs:
    if "cached" in event["cost_flags"]:
        return Costs(priced=1)  # nothing, today as well
    origin, call = call_of(event)
    call.started_at = now
    cost = prices.price(origin, call)
    return Costs(int(cost.amount is not None), int("unpriced" in cost.flags), cost.amount or Decimal(0))


def groups_of(event: Event, query: Query) -> Iterator[Group]:
    """What an event counts under: several groups where it has several tags."""
    return product(*(values_of(event, name, query) for name in query.by))


def values_of(event: Event, name: str, query: Query) -> list[GroupValue]:
    local: datetime = event["started_at"].astimezone(query.tz)
    key = key_of_tags(name)
    tags: list[str] = event["tags"]
    if name == "tag" or key is not None:
        prefix = "" if key is None else f"{key}:"
        own = dict.fromkeys(tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix))
        return list(own) or [None]
    match name:
        case "hour":
            offset = timezone(local.utcoffset() or timedelta())
            return [local.replace(minute=0, second=0, microsecond=0, tzinfo=offset, fold=0)]
        case "day" | "week" | "month":
            return [first_day(name, local.date())]
        case "model":
            return [event["request_model"] if event["model"] is None else event["model"]]
        case _:
            return [event[DIMENSIONS[name].value]]
