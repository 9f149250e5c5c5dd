"""Sums for each group, by one SELECT over the sources that the plan names.

Names in the SQL are this package's own; every value is bound.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from operator import add
from typing import Any, NamedTuple, cast

from usage_tracker.report.conditions import needed_keys, write_filter
from usage_tracker.report.dialects import DAY, Statement, open_statement, to_instant
from usage_tracker.report.dimensions import DIMENSIONS, UNITS
from usage_tracker.report.plan import FIRST, LAST, Part, Span, plan
from usage_tracker.report.question import Query
from usage_tracker.stores import Store

GroupValue = str | date | datetime | None
"""Of a dimension: None where calls have no such value. The first day of a day, week or month; the start of an hour with
its offset from UTC, so that the two hours at the end of summer time differ."""
Group = tuple[GroupValue, ...]


class Sums(NamedTuple):
    """What every source counts, for each group. Sums are over what is known, 0 where nothing is."""

    calls: int
    errors: int
    counted: int
    estimated: int
    priced: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: Decimal
    reported: int
    reported_cost: Decimal
    duration_ms: float
    ttft_calls: int
    ttft_ms: float
    awaited: int
    completed: int

    def plus(self, other: "Sums") -> "Sums":
        return Sums._make(map(add, self, other))


NOTHING = Sums(*(0,) * 11, Decimal(0), 0, Decimal(0), 0.0, 0, 0.0, 0, 0)

KNOWN = "(input_tokens IS NOT NULL OR output_tokens IS NOT NULL)"
CALL = "completes IS NULL"

EVENT_SUMS: dict[str, str] = {
    "calls": f"count(*) FILTER (WHERE {CALL})",
    "errors": f"count(*) FILTER (WHERE status = 'error' AND {CALL})",
    "counted": f"count(*) FILTER (WHERE {KNOWN} AND {CALL})",
    "estimated": "count(*) FILTER (WHERE estimated)",
    "priced": "count(cost)",
    "unpriced": "count(*) FILTER (WHERE {unpriced})",
    "reported": "count(reported_cost)",
    "duration_ms": f"coalesce(sum(CAST(duration_ms AS double precision)) FILTER (WHERE {CALL}), 0)",
    "ttft_calls": f"count(ttft_ms) FILTER (WHERE {CALL})",
    "ttft_ms": f"coalesce(sum(CAST(ttft_ms AS double precision)) FILTER (WHERE {CALL}), 0)",
    "awaited": f"count(awaits) FILTER (WHERE {CALL})",
    "completed": f"count(completes) FILTER (WHERE {KNOWN})",
}
"""Sums of events that aren't plain sums of a column."""


def read_groups(store: Store, query: Query) -> dict[Group, Sums]:
    """Each group's sums; empty where no event is in the range."""
    span = find_span(store, query.since, query.until, closed=query.unit is not None)
    if span is None:
        return {}
    statement = open_statement(store.dialect)
    text = write_query(statement, query, span)
    groups = {}
    for values in store.select(text, statement.parameters):
        sums = read_sums(statement, values[-len(Sums._fields) :])
        if any(sums):
            groups[tuple(read_group(statement, query.by, iter(values)))] = sums
    return groups


def find_span(store: Store, since: datetime | None, until: datetime | None, *, closed: bool) -> Span | None:
    """A range in instants; None where it is empty. `closed`: where it is open, it ends with the first or last event."""
    start = FIRST if since is None else to_instant(since)
    end = LAST if until is None else to_instant(until)
    if closed and (since is None or until is None):
        statement = open_statement(store.dialect)
        ends = f"SELECT min(bucket_at), max(bucket_at) FROM {statement.table('by_day')}"  # noqa: S608  our own name
        [(first, last)] = store.select(ends)
        if first is None:
            return None
        start = max(start, statement.read_bucket(first))
        end = min(end, statement.read_bucket(last) + DAY)
    return (start, end) if start < end else None


def write_query(statement: Statement, query: Query, span: Span) -> str:
    """One SELECT: the sources of the plan, each summed by keys, then put together and given what the keys stand for."""
    by = [DIMENSIONS[name] for name in query.by if name not in UNITS]
    keys = list(dict.fromkeys(dimension.key for dimension in by))
    parts = plan({*keys, *needed_keys(query.by, query.where)}, query.unit, query.tz, span)
    branches = " UNION ALL ".join([write_part(statement, query, part, keys) for part in parts])
    columns = [column for name in query.by for column in CUTS.get(name) or [DIMENSIONS[name].value]]
    sums = [f"coalesce({statement.write_sum(name)}, 0)" for name in Sums._fields]
    joins = dict.fromkeys(
        f" LEFT JOIN {statement.table(dimension.table)} USING ({dimension.key})" for dimension in by if dimension.table
    )
    return (
        f"WITH part AS ({branches}) SELECT {', '.join([*columns, *sums])} FROM part{''.join(joins)}"  # noqa: S608  our names
        + write_grouping(columns)
    )


CUTS = {"hour": ["cut", "shift"], "day": ["cut"], "week": ["cut"], "month": ["cut"]}
"""The columns of the dimensions of time."""


def write_part(statement: Statement, query: Query, part: Part, keys: list[str]) -> str:
    """The sums of one source by time and keys."""
    source, at = part.source, part.source.at
    groups = list(keys)
    if query.unit is not None:
        cut = [f"{statement.write_cut(at, query.unit, part.offset)} AS cut"]
        groups[:0] = [*cut, f"{statement.bind(part.offset)} AS shift"] if query.unit == "hour" else cut
    if source.grain:
        sums = [f"{statement.write_sum(name)} AS {name}" for name in Sums._fields]
    else:
        special = {
            **EVENT_SUMS,
            "unpriced": f"count(*) FILTER (WHERE {statement.write_contains('cost_flags', 'unpriced')})",
        }
        sums = [f"{special.get(name, f'coalesce({statement.write_sum(name)}, 0)')} AS {name}" for name in Sums._fields]
    tables, tests = statement.table(source.table), list[str]()
    if len(part.spans) > 1:
        tables = statement.write_within(source.table, at, part.spans)
    else:
        start, end = part.spans[0]
        tests = [f"{at} >= {statement.bind_instant(start, at)}", f"{at} < {statement.bind_instant(end, at)}"]
    if "tag_key" in keys and not source.grain:
        tables += f" JOIN ({write_tag_pairs(statement)}) AS pair USING (tags_key)"
    if part.skipped_hour is not None:
        tests.append(statement.write_outside_hour(at, part.skipped_hour))
    tests += write_filter(statement, query.where, rollup=source.grain > 0)
    return (
        f"SELECT {', '.join([*groups, *sums])} FROM {tables}"  # noqa: S608  our own names
        + (f" WHERE {' AND '.join(tests)}" if tests else "")
        + write_grouping(groups)
    )


def write_tag_pairs(statement: Statement) -> str:
    """Each set of tags with each of its tags; the empty set with none."""
    each = statement.write_each("tags", "one")
    return (
        f"SELECT tags_key, tag_key FROM {statement.table('usage_tags')} "  # noqa: S608  our own names
        f"LEFT JOIN {each} ON TRUE LEFT JOIN {statement.table('usage_tag')} ON tag = one.value"
    )


def write_grouping(columns: list[str]) -> str:
    return f" GROUP BY {', '.join(str(place) for place in range(1, len(columns) + 1))}" if columns else ""


def read_group(statement: Statement, by: tuple[str, ...], values: Iterator[object]) -> Iterator[GroupValue]:
    """The values of the group that a row of the result starts with."""
    for name in by:
        value = next(values)
        if name not in UNITS:
            yield cast(str | None, value)
            continue
        start = statement.read_cut(value)
        if name == "hour":
            yield start.replace(tzinfo=timezone(timedelta(seconds=cast(int, next(values)))))
        else:
            yield start.date()


def read_sums(statement: Statement, values: tuple[Any, ...]) -> Sums:
    """Drivers give sums as integers, floats or Decimals, as their server likes."""
    readers: dict[type, Callable[[Any], Any]] = {float: float, int: int, Decimal: statement.read_money}
    kinds = Sums.__annotations__.values()
    return Sums._make([readers[kind](value) for kind, value in zip(kinds, values, strict=True)])
