"""A report as text: a table or Markdown for people, JSON or CSV for programs."""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import date

from usage_tracker.cli.columns import report_columns
from usage_tracker.cli.figures import printable, show_range
from usage_tracker.cli.plain import csv_lines, json_head, json_text, plain
from usage_tracker.report import Query, Report, Row

MEASURES = tuple(field.name for field in fields(Row) if field.name != "group")


def as_table(report: Report, notes: Sequence[str]) -> str:
    from usage_tracker.cli.table import render_table

    title = f"Usage by {', '.join(report.query.by)}{show_question(report.query)}"
    return render_table(title, report_columns(report), notes)


def show_question(query: Query) -> str:
    """Which calls, and of which time."""
    where = [printable(str(condition)) for condition in query.where]
    return " · ".join(["", *where, show_range(query.since, query.until, query.tz), str(query.tz)])


def as_json(report: Report, notes: Sequence[str]) -> str:
    """A row is its group's values and its figures; the total is the figures of all calls, each counted once."""
    document = {
        **json_head(report.query),
        "by": list(report.query.by),
        "currency": "USD",
        "rows": [{**group(report.query, row), **figures(row)} for row in report.rows],
        "total": figures(report.total),
        "unpriced_models": list(report.unpriced_models),
        "notes": list(notes),
    }
    return json_text(document)


def as_csv(report: Report, _: Sequence[str]) -> str:
    """A line for each row. No total: who sums a column must not meet it again."""
    rows = [{**group(report.query, row), **{name: getattr(row, name) for name in MEASURES}} for row in report.rows]
    return "".join(csv_lines([*report.query.by, *MEASURES], rows))


def group(query: Query, row: Row) -> dict[str, object]:
    """The group's values by dimension: a month as 2026-08, a week as its Monday."""
    return {
        name: f"{value:%Y-%m}" if name == "month" and isinstance(value, date) else plain(value)
        for name, value in zip(query.by, row.group, strict=True)
    }


def figures(row: Row) -> dict[str, object]:
    return {name: plain(getattr(row, name)) for name in MEASURES}


def as_markdown(report: Report, _: Sequence[str]) -> str:
    """A table of GitHub's Markdown with the columns that people see."""
    columns = report_columns(report)
    lines = [
        [column.header for column in columns],
        ["---:" if column.number else ":---" for column in columns],
        *zip(*(map(markdown_cell, column.cells) for column in columns), strict=True),
        [column.total for column in columns],
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown_cell(text: str) -> str:
    return re.sub(r"([\\`*_<\[\]|])", r"\\\1", text)


RENDERERS: dict[str, Callable[[Report, Sequence[str]], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}
HOLDS_NOTES = frozenset({"table", "json"})
"""The formats that have room for notes; with the others they go to stderr."""
