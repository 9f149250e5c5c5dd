"""From when on a store still has its events, where earlier ones were pruned: the rollups count more than there is.

Nothing notes that, so that it also holds where somebody dropped a partition by hand.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from usage_tracker.instants import DAY
from usage_tracker.report.groups import find_spans, plan_for
from usage_tracker.report.hours import Counted, are_whole, count_there, has_fewer, list_days, list_hours
from usage_tracker.report.latency import plan_sketches
from usage_tracker.report.plan import Span
from usage_tracker.report.query import earlier_of
from usage_tracker.report.question import Query
from usage_tracker.report.tag_pairs import sets_with_several
from usage_tracker.stores import Store


class Kept(NamedTuple):
    """Instants, in whole hours."""

    first: int
    """That of the first event of the first day of which some are gone."""
    since: int
    """The first from which on all are still there."""


def find_kept(store: Store) -> Kept | None:
    """None where nothing was pruned. A few narrow questions, whatever the store's size. Raises StoreError."""
    days = list_days(store)
    looked_at = list(spread(len(days)))
    gone = which_lack(store, days, looked_at)
    if not gone:
        return None
    before = max((place for place in looked_at if place < gone[0]), default=-1)
    after = min((place for place in looked_at if place > gone[-1]), default=len(days))
    gone += which_lack(store, days, [*range(before + 1, gone[0]), *range(gone[-1] + 1, after)])
    first, last = min(gone), max(gone)
    hours = list_hours(store, days[first : first + 1]) or days[first:]
    return Kept(hours[0].start, end_of_gone(store, days[last : last + 2]))


def needs_calls(store: Store, query: Query) -> list[Span]:
    """Of which time a question, also about the range that it is held against, needs events: the rollups can't answer
    it. Raises StoreError."""
    several = sets_with_several(store, query.tag_key)
    needed: list[Span] = []
    for each in (query, *earlier_of(query)):
        parts = plan_for(each, find_spans(store, each.since, each.until, closed=True), partial(has_fewer, store))
        needed += [span for part in parts if several or not part.source.grain for span in part.spans]
    return needed


def needs_prices(store: Store, query: Query) -> list[Span]:
    """The same for costs at prices of today, for which each call is read."""
    if query.cost != "current":
        return []
    return [
        span for each in (query, *earlier_of(query)) for span in find_spans(store, each.since, each.until, closed=True)
    ]


def needs_timings(store: Store, query: Query) -> list[Span]:
    """The same for percentiles, for which calls are read where there is no sketch of them."""
    if not query.percentiles:
        return []
    parts = [part for each in (query, *earlier_of(query)) for part in plan_sketches(store, each)]
    return [span for part in parts if not part.source.grain for span in part.spans]


Needed = Literal["calls", "prices", "timings"]
NEEDS: Mapping[Needed, Callable[[Store, Query], list[Span]]] = {
    "calls": needs_calls,
    "prices": needs_prices,
    "timings": needs_timings,
}


def lacks(store: Store, query: Query) -> tuple[Needed, Kept] | None:
    """The first of what the answer needs events for that are gone, and what is left of them. None: it is whole. Raises
    StoreError."""
    needs = [(needed, spans) for needed, find in NEEDS.items() if (spans := find(store, query))]
    kept = find_kept(store) if needs else None
    if kept is None:
        return None
    return next(((needed, kept) for needed, spans in needs if any(overlaps(each, kept) for each in spans)), None)


def overlaps(span: Span, kept: Kept) -> bool:
    """Whether the span holds some of what is gone."""
    return span[0] < kept.since and span[1] > kept.first


def spread(length: int) -> Iterator[int]:
    """The places of those of so many days that are looked at first. Before what was pruned there may be others, with a
    call by a wrong clock or a history that was brought in later: none are overlooked that are a quarter of those before
    them, or a twentieth of all."""
    place = 0
    while place < length:
        yield place
        place += 1 + min(place // 4, length // 20)


BUSY = 200
"""Of a day with more events than these, one hour is looked at. Of all of it, as many may be left as are looked for, or
have been brought in later."""


def which_lack(store: Store, days: Sequence[Counted], places: Sequence[int]) -> list[int]:
    """The places of the days of which some events are gone."""
    hours = telling_hours(store, [days[place] for place in places if days[place].events > BUSY])
    whole = are_whole(store, [hours.get(days[place].start, days[place]) for place in places])
    return [place for place, all_there in zip(places, whole, strict=True) if not all_there]


def telling_hours(store: Store, days: Sequence[Counted]) -> dict[int, Counted]:
    """Of busy days, by their start: the first hour that has its share of the events. It goes before the others, and a
    few calls that come late neither make it up nor are such an hour."""
    found: dict[int, Counted] = {}
    events = {day.start: day.events for day in days}
    for hour in list_hours(store, days):
        day = hour.start // DAY * DAY
        if hour.events >= events[day] // 24:
            found.setdefault(day, hour)
    return found


def end_of_gone(store: Store, days: Sequence[Counted]) -> int:
    """The end of the last hour of these days that lacks events."""
    hours = list_hours(store, days)
    ends = [hour.end for hour, all_there in zip(hours, are_whole(store, hours), strict=True) if not all_there]
    end = max(ends, default=days[0].end)
    following = next((hour for hour in hours if hour.start >= end), None)
    # of one that was pruned up to its middle, enough may be left
    if following and count_there(store, following.span) < following.events:
        return following.end
    return end
