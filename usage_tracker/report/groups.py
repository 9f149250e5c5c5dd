"""Sums for each group, by one SELECT over the sources that the plan names.

Names in the SQL are this package's own; every value is bound.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, cast

from usage_tracker.instants import DAY, to_instant
from usage_tracker.report.conditions import write_among, write_filter
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.dimensions import CUTS, UNITS, find_dimension
from usage_tracker.report.hours import has_fewer
from usage_tracker.report.keys import keys_of, pinned, pinned_keys, source_keys
from usage_tracker.report.plan import (
    EVENTS,
    FIRST,
    LAST,
    MOST_BRANCHES,
    TOO_MANY_CHANGES,
    YEAR,
    Fewer,
    Part,
    Source,
    Span,
    plan,
    rollups_by,
)
from usage_tracker.report.question import Query
from usage_tracker.report.statement import Statement
from usage_tracker.report.sums import COUNTED, EVENT_SUMS, Group, GroupValue, Sums
from usage_tracker.report.tag_pairs import sets_with_several, write_none_again, write_own_tags, write_tag_pairs
from usage_tracker.stores import Store


def read_groups(store: Store, query: Query) -> dict[Group, Sums]:
    """Each group's sums; empty where no event is in the range. Raises StoreError, and ValueError where a clock changes
    too often in it."""
    closed = query.unit is not None or bool(pinned_keys(query.where))
    spans = find_spans(store, query.since, query.until, closed=closed)
    if not spans:
        return {}
    statement, parts = open_statement(store.dialect), plan_for(query, spans, partial(has_fewer, store))
    several = sets_with_several(store, query.tag_key)
    if statement.rows_hold_values:
        from usage_tracker.report import clickhouse

        text = clickhouse.write_query(statement, query, parts, holds_several=several)
    else:
        text = write_query(statement, query, parts, holds_several=several)
    groups, read_sums = {}, sums_reader(statement)
    for values in store.select(text, statement.parameters):
        sums = read_sums(values[-len(COUNTED) :])
        if sums.any():
            groups[tuple(read_group(statement, query.by, iter(values)))] = sums
    return groups


def find_span(store: Store, since: datetime | None, until: datetime | None, *, closed: bool) -> Span | None:
    """A range in instants; None where it is empty. `closed`: a long one, such as one that is open, goes from the first
    event to the last."""
    start = FIRST if since is None else to_instant(since)
    end = LAST if until is None else min(to_instant(until), LAST)
    if closed and end - start > LONG:
        statement = open_statement(store.dialect)
        first, last = statement.write_first("bucket_at"), statement.write_last("bucket_at")
        ends = f"SELECT {first}, {last} FROM {statement.table('by_day_kind')}"  # noqa: S608  our own names
        [(earliest, latest)] = store.select(ends)
        if earliest is None:
            return None
        start = max(start, statement.read_bucket(earliest))
        end = min(end, statement.read_bucket(latest) + DAY)
    return (start, end) if start < end else None


LONG = 3653 * DAY
"""Ten years. Each change of a zone's clock is a branch of the statement, of which SQLite takes 500."""


def find_spans(store: Store, since: datetime | None, until: datetime | None, *, closed: bool) -> list[Span]:
    """A range as `find_span` has it, in pieces: a long one that is closed without the years in which no event is, as
    there may be thousands of them between a call by a wrong clock and all others."""
    span = find_span(store, since, until, closed=closed)
    if span is None or not closed or span[1] - span[0] <= LONG:
        return [] if span is None else [span]
    statement = open_statement(store.dialect)
    days = f"SELECT DISTINCT bucket_at FROM {statement.table('by_day_kind')}"  # noqa: S608  our own names
    found: list[Span] = []
    for day in sorted(statement.read_bucket(at) for (at,) in store.select(days)):
        start, end = max(day, span[0]), min(day + DAY, span[1])
        if start >= end:
            continue
        if found and start - found[-1][1] <= YEAR:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


class Measured(NamedTuple):
    """What is read of a source: what it counts, further columns to group by, and which rows count at all."""

    counts: Mapping[str, str]
    """Each count's expression, by its name."""
    groups: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    buckets: Sequence[int] = ()
    """Those of the part, where a row of each is to be found by itself."""


def write_query(statement: Statement, query: Query, parts: Sequence[Part], *, holds_several: bool = False) -> str:
    """One SELECT: the sources of the plan, put together, summed by keys, and then given what the keys stand for.
    `holds_several`: whether calls may have more than one tag of the query's `tag:KEY`."""
    tagged = [part for part in parts if "tag_key" in part.source.keys and query.tag_key is not None]
    named = [f"tagged_{place} AS ({write_part(statement, query, part)})" for place, part in enumerate(tagged)]
    branches = [write_part(statement, query, part) for part in parts if part not in tagged]
    for place, part in enumerate(tagged):
        branches += write_with_none(statement, query, part, f"tagged_{place}", holds_several=holds_several)
    return write_groups(statement, query, [*named, write_union(branches)])


def write_union(branches: Sequence[str]) -> str:
    """All of them as `part`. Raises ValueError where they are too many."""
    if len(branches) > MOST_BRANCHES:
        raise ValueError(TOO_MANY_CHANGES)
    return f"part AS ({' UNION ALL '.join(branches)})"


def plan_for(query: Query, spans: Sequence[Span], fewer: Fewer) -> list[Part]:
    """The smallest sources that can answer the query."""
    return plan(rollups_by(source_keys(query)), query.unit, query.tz, spans, fewer)


def reads_every_event(query: Query) -> bool:
    """Whether no rollup can answer it, so that its time depends on the number of calls."""
    return query.cost == "current" or not rollups_by(source_keys(query))


def write_groups(
    statement: Statement,
    query: Query,
    named: Iterable[str],
    sums: Sequence[str] = COUNTED,
    more: Sequence[str] = (),
) -> str:
    """The SELECT over `part`, one of the named queries, that sums by keys first, as there are many rows of each, and
    then by their values. `more`: further columns to group by."""
    by = [find_dimension(name) for name in query.by if name not in UNITS]
    keys = [*(CUTS[query.unit] if query.unit else []), *keys_of(query), *more]
    by_key = ", ".join([*keys, *(f"{statement.write_sum(name)} AS {name}" for name in sums)])
    summed = f"summed AS (SELECT {by_key} FROM part{write_grouping(keys)})"  # noqa: S608  our own names
    columns = [column for name in query.by for column in CUTS.get(name) or [find_dimension(name).value]]
    columns += more
    by_value = ", ".join([*columns, *(f"coalesce({statement.write_sum(name)}, 0)" for name in sums)])
    joins = dict.fromkeys(
        f" LEFT JOIN {statement.table(dimension.table)} USING ({dimension.key})" for dimension in by if dimension.table
    )
    return (
        f"WITH {', '.join([*named, summed])} SELECT {by_value} FROM summed{''.join(joins)}"  # noqa: S608  our own names
        + write_grouping(columns)
    )


def measure(statement: Statement, source: Source, names: Sequence[str] = COUNTED) -> Measured:
    """What every source counts, or what is of these names: as a rollup's row holds it, as sums of events."""
    if source.grain:
        return Measured({name: name for name in names})
    return Measured({name: write_measure(statement, name) for name in names})


def write_measure(statement: Statement, name: str) -> str:
    """The sum over events."""
    if name == "unpriced":
        return f"count(*) FILTER (WHERE {statement.write_contains('cost_flags', 'unpriced')})"
    return EVENT_SUMS.get(name) or f"coalesce({statement.write_sum(name)}, 0)"


def write_with_none(
    statement: Statement, query: Query, part: Part, tagged: str, *, holds_several: bool
) -> Iterator[str]:
    """The branches of `tag:KEY` over whole days: the tags of that key, and under none all calls less those that have
    one. A call with two of them was taken away twice, so it is added once more, out of the events."""
    columns = [*(["cut"] if query.unit else []), *keys_of(query)]
    yield f"SELECT {', '.join([*columns, *COUNTED])} FROM {tagged}"  # noqa: S608  our own names
    taken = ["0 AS tag_key" if column == "tag_key" else column for column in columns]
    taken += [f"-{name} AS {name}" for name in COUNTED]
    yield f"SELECT {', '.join(taken)} FROM {tagged}"  # noqa: S608  our own names
    sources = rollups_by(source_keys(query) - {"tag_key"})
    [all_calls] = [rollup for rollup in sources if rollup.grain == part.source.grain]
    yield write_part(statement, query, part._replace(source=all_calls))
    if holds_several:
        yield write_part(statement, query, part._replace(source=EVENTS), tag_keys=write_none_again)


MOST_FOUND = 10_000
"""How many rows of a rollup a statement finds one by one, which takes 20 ms, rather than in a range of time: its index
begins with the bucket, so that of a range the rows of every user would be read to find those of one."""

Measure = Callable[[Statement, Source], Measured]


def write_part(
    statement: Statement,
    query: Query,
    part: Part,
    measure: Measure = measure,
    tag_keys: Callable[[Statement, str | None], str] = write_tag_pairs,
) -> str:
    """What one source counts by time and keys: the rows of a rollup, the sums of events. `tag_keys`: the query of the
    tags that each set of tags counts under."""
    source, at = part.source, part.source.at
    keys = keys_of(query)
    groups = [f"0 AS {key}" if source.grain and key not in source.keys else key for key in keys]
    if query.unit is not None:
        cut = [f"{statement.write_cut(at, query.unit, part.offset)} AS cut"]
        groups[:0] = [*cut, f"{statement.bind(part.offset)} AS shift"] if query.unit == "hour" else cut
    measured = measure(statement, source)
    groups += measured.groups
    several = len(part.spans) > 1
    tables = statement.write_within(source.table, at, part.spans) if several else statement.table(source.table)
    if "tag_key" in keys and not source.grain:
        tables += f" JOIN ({tag_keys(statement, query.tag_key)}) AS pair USING (tags_key)"
    tests = list(measured.tests)
    buckets = measured.buckets
    if not several and pinned(query) & source.keys:
        buckets = part.buckets() if len(statement.parameters) + len(part.buckets()) <= MOST_FOUND else ()
    if buckets:
        tests.append(f"{at} IN ({', '.join([statement.bind_instant(bucket, at) for bucket in buckets])})")
    elif not several:
        tests += write_span(statement, at, part.spans[0])
    if "tag_key" in source.keys and query.tag_key is not None:
        tests.append(write_own_tags(statement, query.tag_key))
    if part.skipped_hour is not None:
        tests.append(statement.write_outside_hour(at, part.skipped_hour))
    tests += write_filter(statement, query.where, rollup=source.grain > 0)
    if query.among is not None:
        tests.append(write_among(statement, find_dimension(query.among[0]), query.among[1]))
    sign = "-" if part.taken else ""
    counts = [f"{sign}{expression} AS {name}" for name, expression in measured.counts.items()]
    return (
        f"SELECT {', '.join([*groups, *counts])} FROM {tables}"  # noqa: S608  our own names
        + (f" WHERE {' AND '.join(tests)}" if tests else "")
        + ("" if source.grain else write_grouping(groups))
    )


def write_span(statement: Statement, at: str, span: Span) -> list[str]:
    start, end = span
    return [f"{at} >= {statement.bind_instant(start, at)}", f"{at} < {statement.bind_instant(end, at)}"]


def write_grouping(columns: list[str]) -> str:
    return f" GROUP BY {', '.join(str(place) for place in range(1, len(columns) + 1))}" if columns else ""


def read_group(statement: Statement, by: tuple[str, ...], values: Iterator[object]) -> Iterator[GroupValue]:
    """The values of the group that a row of the result starts with."""
    for name in by:
        value = next(values)
        if name not in UNITS:
            yield statement.read_value(value)
            continue
        start = statement.read_cut(value)
        if name == "hour":
            yield start.replace(tzinfo=timezone(timedelta(seconds=cast(int, next(values)))))
        else:
            yield start.date()


def sums_reader(statement: Statement) -> Callable[[Iterable[Any]], Sums]:
    """Drivers give sums as integers, floats or Decimals, as their server likes."""
    readers: dict[type, Callable[[Any], Any]] = {float: float, int: int, Decimal: statement.read_money}
    each = [readers[Sums.__annotations__[name]] for name in COUNTED]
    return lambda values: Sums(*[read(value) for read, value in zip(each, values, strict=True)])
