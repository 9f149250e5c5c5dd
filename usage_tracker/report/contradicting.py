"""Calls whose provider's counts of tokens contradict each other."""

from usage_tracker.report.conditions import write_filter
from usage_tracker.report.dialects import Statement, open_statement
from usage_tracker.report.groups import find_span, write_span
from usage_tracker.report.plan import EVENTS, Span
from usage_tracker.report.question import Query
from usage_tracker.stores import Store

MOST_READ = 20_000
"""How many events are read for this: what takes some milliseconds. No rollup is cut by flags, nor has an index them."""


def count_contradicting(store: Store, query: Query) -> int | None:
    """How many of the calls that the query counts are flagged so, of those whose events are there still; None where
    more events than can be read in passing are in its range. Raises StoreError."""
    span = find_span(store, query.since, query.until, closed=False)
    statement = open_statement(store.dialect)
    if span is None or statement.rows_hold_values:
        return None
    [(read, found)] = store.select(write_contradicting(statement, query, span), statement.parameters)
    assert isinstance(read, int)
    assert isinstance(found, int)
    return found if read <= MOST_READ else None


def write_contradicting(statement: Statement, query: Query, span: Span) -> str:
    tests = [
        statement.write_contains("cost_flags", "sum_mismatch"),
        *write_filter(statement, query.where, rollup=False),
    ]
    within = " AND ".join(write_span(statement, EVENTS.at, span))
    events = f"SELECT * FROM {statement.table(EVENTS.table)} WHERE {within} LIMIT {MOST_READ + 1}"  # noqa: S608  our names
    return f"SELECT count(*), count(*) FILTER (WHERE {' AND '.join(tests)}) FROM ({events}) AS few"  # noqa: S608  our names
