"""How long calls took, as sketches: from rollups of whole days by kind of call or by owner, otherwise from the events.

A sketch of every kind of call of every owner would have nearly as many rows as there are events. So what these two
can't tell apart (a model's calls for one project, users, tags, hours) is counted event by event, up to a bound.
"""

from collections.abc import Iterable, Mapping

from usage_tracker.report.dialects import open_statement
from usage_tracker.report.groups import (
    Measured,
    find_spans,
    read_group,
    write_groups,
    write_part,
    write_union,
)
from usage_tracker.report.keys import source_keys
from usage_tracker.report.plan import EVENTS, Part, Source, plan, sketches_by
from usage_tracker.report.question import Query
from usage_tracker.report.sketch import Sketch
from usage_tracker.report.statement import Statement
from usage_tracker.report.sums import CALL, Group, Sums
from usage_tracker.stores import Store

MOST_EVENTS = 200_000
"""How many events are read for percentiles: what takes about half a second."""
COUNTS = ("calls", "ttft_calls")


def plan_sketches(store: Store, query: Query) -> list[Part]:
    spans = find_spans(store, query.since, query.until, closed=query.unit is not None)
    return plan(sketches_by(source_keys(query)), query.unit, query.tz, spans)


def too_many_events(store: Store, query: Query) -> bool:
    """Whether percentiles would take more events than are read for them. Raises StoreError."""
    spans = [span for part in plan_sketches(store, query) if not part.source.grain for span in part.spans]
    if not spans:
        return False
    statement = open_statement(store.dialect)
    rows = statement.write_within(EVENTS.table, EVENTS.at, spans)
    text = f"SELECT count(*) FROM (SELECT 1 FROM {rows} LIMIT {MOST_EVENTS + 1}) AS found"  # noqa: S608  our own names
    return list(store.select(text, statement.parameters)) == [(MOST_EVENTS + 1,)]


def with_sketches(store: Store, query: Query, groups: Mapping[Group, Sums]) -> dict[Group, Sums]:
    """The groups with their sketches. Raises StoreError."""
    parts = plan_sketches(store, query)
    found = dict(groups)
    if not parts or not groups:
        return found
    statement = open_statement(store.dialect)
    if statement.rows_hold_values:
        from usage_tracker.report import clickhouse

        text = clickhouse.write_sketches(statement, query, parts)
    else:
        text = write_sketches(statement, query, parts)
    sketches: dict[tuple[object, ...], tuple[Sketch, Sketch]] = {}
    for *values, bucket, calls, first_chunks in store.select(text, statement.parameters):
        durations, firsts = sketches.setdefault(tuple(values), (Sketch(), Sketch()))
        for sketch, count in ((durations, calls), (firsts, first_chunks)):
            if count:
                sketch[int(str(bucket))] = int(str(count))
    for start, (durations, firsts) in sketches.items():
        group = tuple(read_group(statement, query.by, iter(start)))
        if group in found:
            found[group] = found[group]._replace(durations=durations, first_chunks=firsts)
    return found


def write_sketches(statement: Statement, query: Query, parts: Iterable[Part]) -> str:
    """One SELECT of the calls, and the first chunks, in each group's buckets."""
    branches = [
        write_part(statement, query, part, measure)
        for part in parts
        for measure in ((read_sketch,) if part.source.grain else (count_durations, count_first_chunks))
    ]
    return write_groups(statement, query, [write_union(branches)], COUNTS, ["bucket"])


def read_sketch(_statement: Statement, _source: Source) -> Measured:
    return Measured({name: name for name in COUNTS}, ("bucket",))


def count_durations(statement: Statement, _source: Source) -> Measured:
    return count(statement, "duration_ms", {"calls": "count(*)", "ttft_calls": "0"})


def count_first_chunks(statement: Statement, _source: Source) -> Measured:
    return count(statement, "ttft_ms", {"calls": "0", "ttft_calls": "count(*)"})


def count(statement: Statement, column: str, sums: Mapping[str, str]) -> Measured:
    bucket = f"{statement.table('latency_bucket')}({column}) AS bucket"
    return Measured(sums, (bucket,), (f"{column} IS NOT NULL", CALL))
