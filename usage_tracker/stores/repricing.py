"""Other costs for calls that are stored: the rows, and what the rollups have to move by."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from usage_tracker.event import Cost
from usage_tracker.stores.rollups import DAY_SECONDS, DAY_TAG, DAY_USER, HOUR, HOUR_SECONDS, MEASURES, Grain, Key, Sums
from usage_tracker.stores.values import picodollars


class Repriced(NamedTuple):
    """What a stored call costs now."""

    event_id: UUID
    started_at: int
    """Microseconds since 1970, UTC."""
    cost: Cost


class Stored(NamedTuple):
    """What the rollups count a call under, and what they count of its cost. Money in picodollars."""

    event_id: UUID
    started_at: int
    kind_key: int
    owner_key: int
    user_key: int
    tag_keys: tuple[int, ...]
    """Each of its tags, or 0 for none."""
    status: str
    cost: int | None
    flags: Sequence[str]


def moves(stored: Iterable[Stored], repriced: Iterable[Repriced]) -> dict[Grain, dict[Key, Sums]]:
    """What is to be added to each rollup that isn't summed from another one, so that it is as if the calls had been
    priced like this at once. Raises EventsRefused for an amount that no store can hold."""
    costs = {each.event_id: each.cost for each in repriced}
    found: dict[Grain, dict[Key, Sums]] = {HOUR: {}, DAY_USER: {}, DAY_TAG: {}}
    for old in stored:
        cost = costs[old.event_id]
        amount = None if cost.amount is None else picodollars(cost.amount)
        change = {
            "priced": (amount is not None) - (old.cost is not None),
            "unpriced": ("unpriced" in cost.flags) - ("unpriced" in old.flags),
            "cost": (amount or 0) - (old.cost or 0),
        }
        sums = tuple(change.get(name, 0) for name in MEASURES)
        second = old.started_at // 1_000_000
        hour, day = second - second % HOUR_SECONDS, second - second % DAY_SECONDS
        add(found[HOUR], (hour, old.kind_key, old.owner_key, old.status), sums)
        add(found[DAY_USER], (day, old.user_key, old.kind_key, old.owner_key, old.status), sums)
        for tag_key in old.tag_keys:
            add(found[DAY_TAG], (day, tag_key, old.kind_key, old.owner_key, old.status), sums)
    return found


def add(rows: dict[Key, Sums], key: Key, sums: Sums) -> None:
    known = rows.get(key)
    rows[key] = sums if known is None else tuple(one + other for one, other in zip(known, sums, strict=True))
