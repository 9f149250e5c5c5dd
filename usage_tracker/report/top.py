"""The most expensive groups, and the rest as one, without reading what belongs to each of the rest.

All groups are weighed by their cost and calls alone, in a third of the time that all sums of 5,000 users take. Then the
sums of the top ones are read and, in the same statement, those of all calls together, out of the smallest rollup:
what is left of these without the top ones is the rest.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import cast

from usage_tracker.report.dialects import open_statement
from usage_tracker.report.dimensions import UNITS, Dimension, find_dimension
from usage_tracker.report.groups import (
    MOST_FOUND,
    Measure,
    Measured,
    find_spans,
    measure,
    plan_for,
    read_group,
    reads_every_event,
    sums_reader,
    write_groups,
    write_part,
    write_union,
)
from usage_tracker.report.hours import has_fewer
from usage_tracker.report.plan import Fewer, Part, Source, Span
from usage_tracker.report.question import Query
from usage_tracker.report.ranking import among_others
from usage_tracker.report.statement import Statement
from usage_tracker.report.sums import COUNTED, NOTHING, Group, Sums
from usage_tracker.stores import Store

WEIGHT = ("cost", "calls")
MOST_NAMED = 10_000
"""Values that are looked up by name: a statement of SQLite's takes 32,766 as a rule."""


def read_top(store: Store, query: Query) -> dict[Group, Sums] | None:
    """The groups of a query with a `top`, those beyond it as OTHERS in each bucket of time. None where they have to be
    found among all groups' sums. Raises StoreError."""
    name = only_name(query)
    if name is None or query.top is None or query.top > MOST_NAMED or open_statement(store.dialect).rows_hold_values:
        return None
    spans = find_spans(store, query.since, query.until, closed=True)
    if not spans:
        return {}
    fewer = cache(partial(has_fewer, store))  # asked once for both questions
    values = weigh(store, replace(query, by=(name,)), spans, fewer, query.top + 2)
    if values is None or len(values) < query.top + 2:
        return None  # all have a row of their own
    return with_rest(query, read_chosen(store, query, spans, fewer, name, values[: query.top]))


def only_name(query: Query) -> str | None:
    """The dimension, time apart, where there is one and it is of a kind whose calls are told apart by rollups, each
    call in one group."""
    names = [name for name in query.by if name not in UNITS]
    plain = not query.tags and not query.percentiles and query.before is None and query.cost == "recorded"
    if len(names) != 1 or not plain or reads_every_event(query) or find_dimension(names[0]).table is None:
        return None
    return names[0]


def weigh(store: Store, query: Query, spans: Sequence[Span], fewer: Fewer, most: int) -> list[str | None] | None:
    """The values that lead, by the order of `ranking.rank`. None where one of them may have no calls at all: whether it
    counts is told by its other sums."""
    statement = open_statement(store.dialect)
    dimension = find_dimension(query.by[0])
    parts = [write_part(statement, query, part, weights) for part in plan_for(query, spans, fewer)]
    text = write_groups(statement, query, [write_union(parts)], WEIGHT)
    value = dimension.value
    text += f" ORDER BY 2 DESC, 3 DESC, {value} IS NULL, {value}{statement.by_character} LIMIT {statement.bind(most)}"
    rows = list(store.select(text, statement.parameters))
    return [statement.read_value(value) for value, *_ in rows] if all(calls for _, _, calls in rows) else None


def weights(statement: Statement, source: Source) -> Measured:
    return measure(statement, source, WEIGHT)


Chosen = list[tuple[Group, bool, Sums]]
"""Groups, and whether one stands for all calls of its time."""


def read_chosen(
    store: Store, query: Query, spans: Sequence[Span], fewer: Fewer, name: str, values: list[str | None]
) -> Chosen:
    """The groups that have these values, and all calls, told apart by a column `everyone`."""
    statement = open_statement(store.dialect)
    dimension = find_dimension(name)
    chosen = f"chosen AS ({write_keys(statement, dimension, values)})"
    branches = [
        write_part(statement, query, part, of_chosen(dimension.key, len(values), part))
        for part in plan_for(query, spans, fewer)
    ]
    # planned without the dimension: there is one group for all of its values
    anyone = plan_for(replace(query, by=tuple(each for each in query.by if each != name)), spans, fewer)
    branches += [write_part(statement, query, part, of_everyone) for part in anyone]
    text = write_groups(statement, query, [chosen, write_union(branches)], more=["everyone"])
    read_sums, found = sums_reader(statement), []
    for row in store.select(text, statement.parameters):
        *group, everyone = row[: -len(COUNTED)]
        place = tuple(read_group(statement, query.by, iter(group)))
        found.append((place, bool(everyone), read_sums(row[-len(COUNTED) :])))
    return found


def write_keys(statement: Statement, dimension: Dimension, values: list[str | None]) -> str:
    """The keys of these values."""
    known = ", ".join(statement.bind(value) for value in values if value is not None)
    tests = [f"{dimension.value} IN ({known})"] if known else []
    tests += [f"{dimension.value} IS NULL"] if None in values else []
    table = statement.table(cast(str, dimension.table))
    return f"SELECT {dimension.key} FROM {table} WHERE {' OR '.join(tests)}"  # noqa: S608  our own names


def of_chosen(key: str, keys: int, part: Part) -> Measure:
    """All sums of the chosen keys. A few are found in each bucket by a rollup's index, which begins with the bucket: of
    a range of buckets, all keys would be read."""
    buckets = part.buckets()

    def measure_chosen(statement: Statement, source: Source) -> Measured:
        chosen = f"{key} IN (SELECT {key} FROM chosen)"  # noqa: S608  our own names
        few = buckets if len(buckets) * keys <= MOST_FOUND else ()
        return Measured(measure(statement, source).counts, ("0 AS everyone",), (chosen,), few)

    return measure_chosen


def of_everyone(statement: Statement, source: Source) -> Measured:
    return Measured(measure(statement, source).counts, ("1 AS everyone",))


def with_rest(query: Query, found: Chosen) -> dict[Group, Sums]:
    """The top groups, and what they leave of all calls."""
    top: dict[Group, Sums] = {}
    rest: dict[Group, Sums] = defaultdict(lambda: NOTHING)
    for group, everyone, sums in found:
        place = among_others(query.by, group)
        rest[place] = rest[place].plus(sums) if everyone else rest[place].minus(sums)
        if not everyone and sums.any():
            top[group] = sums
    return top | {place: sums for place, sums in rest.items() if sums.any_whole()}
