"""Which keys of dimensions a question is about: by them, a source is chosen that can answer it."""

from collections.abc import Collection

from usage_tracker.conditions import Condition
from usage_tracker.report.conditions import about_tags
from usage_tracker.report.dimensions import FILTERS, UNITS, find_dimension
from usage_tracker.report.question import Query

MANIFOLD = ("user", "tag")
"""Dimensions of rollups of which there are so many values that a bucket has very many rows."""


def source_keys(query: Query) -> set[str]:
    """The keys that a source must be cut by to answer the query."""
    return {*keys_of(query), *tested_keys(query)}


def keys_of(query: Query) -> list[str]:
    """The keys that lead to the values of the query's groups."""
    return list(dict.fromkeys(find_dimension(name).key for name in query.by if name not in UNITS))


def tested_keys(query: Query) -> set[str]:
    """The keys that a source must be cut by to tell which of its rows meet the conditions.

    A rollup by tag holds an event once for each of its tags. So it can answer for one tag and for no tag; more is asked
    of the events, whose key is `tags_key`.
    """
    where = [about_tags(condition) for condition in query.where]
    keys = {FILTERS[condition.dimension].key for condition in where}
    tagged = [condition for condition in where if condition.dimension == "tag"]
    one_tag = len(tagged) == 1 and tagged[0].equal and (tagged[0].pattern is None or tagged[0].literal is not None)
    return keys | {"tags_key"} if tagged and (not one_tag or query.tags) else keys


def pinned_keys(where: Collection[Condition]) -> set[str]:
    """Of users and tags, the keys that the conditions leave one row of."""
    return {
        FILTERS[condition.dimension].key
        for condition in map(about_tags, where)
        if condition.dimension in MANIFOLD and condition.equal and condition.literal is not None
    }


def pinned(query: Query) -> set[str]:
    """Of users and tags, the keys that the query is about few rows of."""
    keys = pinned_keys(query.where)
    if query.among is not None and query.among[0] in MANIFOLD:
        keys.add(find_dimension(query.among[0]).key)
    return keys
