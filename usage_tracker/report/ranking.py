"""Which groups come first, and which are left to one row of Others."""

from collections import defaultdict
from decimal import Decimal
from typing import Final

from usage_tracker.report.dimensions import UNITS
from usage_tracker.report.sums import Group, GroupValue, Sums


class Others(str):
    """The value of a dimension that stands for all those beyond the top; unlike any name that calls can have."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = str.__hash__


OTHERS: Final = Others("Others")

Weight = tuple[Decimal, int]


def find_top(by: tuple[str, ...], groups: dict[Group, Sums], top: int) -> set[Group]:
    """The values, time apart, that are the `top` most expensive of all the time; all, where only one would be left."""
    weights: dict[Group, Weight] = defaultdict(lambda: (Decimal(0), 0))
    for group, sums in groups.items():
        values = named(by, group)
        cost, calls = weights[values]
        weights[values] = (cost + sums.cost, calls + sums.calls)
    ranked = sorted(weights, key=lambda values: rank(weights[values], values))
    return set(ranked if len(ranked) <= top + 1 else ranked[:top])


def keep(by: tuple[str, ...], groups: dict[Group, Sums], top: set[Group]) -> dict[Group, Sums]:
    """The groups with these values; all others as one, in each bucket of time."""
    kept: dict[Group, Sums] = {}
    for group, sums in groups.items():
        place = group if named(by, group) in top else among_others(by, group)
        kept[place] = kept[place].plus(sums) if place in kept else sums
    return kept


def among_others(by: tuple[str, ...], group: Group) -> Group:
    """The row of Others that stands for a group in its bucket of time."""
    return tuple(value if name in UNITS else OTHERS for name, value in zip(by, group, strict=True))


def named(by: tuple[str, ...], group: Group) -> Group:
    """A group's values of the dimensions other than time."""
    return tuple(value for name, value in zip(by, group, strict=True) if name not in UNITS)


def rank(weight: Weight, values: Group) -> tuple[object, ...]:
    """The most expensive first, then the most called, then by name."""
    cost, calls = weight
    return (-cost, -calls, *((value is None, value or "") for value in values))


def arrange(by: tuple[str, ...], groups: dict[Group, Sums]) -> list[Group]:
    """Groups in the order of their first dimension, within it of their second, and so on; Others last."""
    weights: dict[Group, Weight] = defaultdict(lambda: (Decimal(0), 0))
    for group, sums in groups.items():
        for length in range(1, len(by) + 1):
            cost, calls = weights[group[:length]]
            weights[group[:length]] = (cost + sums.cost, calls + sums.calls)

    def place(group: Group) -> list[tuple[object, ...]]:
        return [key(name, group[: position + 1], weights) for position, name in enumerate(by)]

    return sorted(groups, key=place)


def key(name: str, group: Group, weights: dict[Group, Weight]) -> tuple[object, ...]:
    """What the last value of a group is sorted by, among those that share the values before it."""
    value: GroupValue = group[-1]
    if name in UNITS:
        return (value,)
    cost, calls = weights[group]
    return (value is OTHERS, -cost, -calls, value is None, value or "")
