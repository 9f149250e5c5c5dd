"""Calls that started something and have not said yet what it used."""

from usage_tracker.report.conditions import write_filter
from usage_tracker.report.dialects import open_statement
from usage_tracker.report.groups import find_span, write_span
from usage_tracker.report.plan import Span
from usage_tracker.report.question import Query
from usage_tracker.report.statement import Statement
from usage_tracker.stores import Store


def count_untold(store: Store, query: Query) -> int:
    """How many of the calls that the query counts are awaited still. Raises StoreError."""
    span = find_span(store, query.since, query.until, closed=False)
    if span is None:
        return 0
    statement = open_statement(store.dialect)
    if statement.rows_hold_values:
        from usage_tracker.report import clickhouse

        text = clickhouse.write_untold(statement, query, span)
    else:
        text = write_untold(statement, query, span)
    [(found,)] = store.select(text, statement.parameters)
    assert isinstance(found, int)
    return found


def write_untold(statement: Statement, query: Query, span: Span) -> str:
    tests = ["NOT completed", *write_span(statement, "started_at", span)]
    tests += write_filter(statement, query.where, rollup=False, flags=statement.awaited_flags)
    return f"SELECT count(*) FROM {statement.table('usage_awaited')} WHERE {' AND '.join(tests)}"  # noqa: S608  our names
