"""Calls whose provider's counts of tokens contradict each other."""

from dataclasses import replace

from usage_tracker.report.conditions import write_filter
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.groups import find_span, read_groups, write_span
from usage_tracker.report.plan import EVENTS, Span
from usage_tracker.report.question import Query
from usage_tracker.report.statement import Statement
from usage_tracker.stores import Store

MOST_READ = 20_000
"""How many events are read for this: what takes some milliseconds. No rollup is cut by flags, nor has an index them."""


def count_contradicting(store: Store, query: Query) -> int | None:
    """How many of the calls that the query counts are flagged so, of those whose events are there still; None where its
    range holds more calls than can be read in passing. Raises StoreError."""
    span = find_span(store, query.since, query.until, closed=False)
    statement = open_statement(store.dialect)
    if span is None or statement.rows_hold_values:
        return None
    everything = read_groups(store, replace(query, by=(), where=(), percentiles=False))
    if sum(sums.events for sums in everything.values()) > MOST_READ:
        return None
    [(found,)] = store.select(write_contradicting(statement, query, span), statement.parameters)
    assert isinstance(found, int)
    return found


def write_contradicting(statement: Statement, query: Query, span: Span) -> str:
    tests = [*write_span(statement, EVENTS.at, span), statement.write_contains("cost_flags", "sum_mismatch")]
    tests += write_filter(statement, query.where, rollup=False)
    return f"SELECT count(*) FROM {statement.table(EVENTS.table)} WHERE {' AND '.join(tests)}"  # noqa: S608  our own names
