"""A report as text: a table, a chart or Markdown for people, JSON and its like for programs."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import chain

from usage_tracker.cli.columns import FIELDS, report_columns
from usage_tracker.cli.figures import difference, printable, show_range
from usage_tracker.cli.plain import csv_lines, json_document, json_head, tsv_lines
from usage_tracker.plain_values import plain
from usage_tracker.report import OTHERS, Query, Report, Row


def as_table(report: Report, notes: Sequence[str], fields: Sequence[str] = ()) -> str:
    from usage_tracker.cli.table import render_table

    return render_table(title(report), report_columns(report, fields), notes)


def as_chart(report: Report, notes: Sequence[str], _: Sequence[str] = ()) -> str:
    from usage_tracker.cli.chart import render_chart

    return render_chart(title(report), report, notes)


def as_plain(report: Report, _: Sequence[str], fields: Sequence[str] = ()) -> str:
    """The table's cells in columns, without lines and colours, a line for each row, for `awk` and its kin."""
    from usage_tracker.cli.widths import fill, widest

    columns = report_columns(report, fields)
    padded = []
    for column in columns:
        texts = [column.header, *column.cells]
        padded.append([fill(text, widest(texts), right=column.number) for text in texts])
    return "".join("  ".join(line).rstrip() + "\n" for line in zip(*padded, strict=True))


COSTS = {"recorded": "", "current": " · at prices of today", "reported": " · costs as providers reported them"}


def title(report: Report) -> str:
    query = report.query
    against = COSTS[query.cost]
    if query.before is not None:
        against += f" · compared with {show_range(*query.before, query.tz)}"
    return f"Usage by {printable(', '.join(query.by))}{show_question(query)}{against}"


def show_question(query: Query) -> str:
    """Which calls, and of which time."""
    where = [printable(str(condition)) for condition in query.where]
    return " · ".join(["", *where, show_range(query.since, query.until, query.tz), str(query.tz)])


def nothing_found(query: Query) -> str:
    """What is shown where no call meets the question, and which wider question may find some."""
    wider = ["--since all"] if query.since is not None else []
    wider += ["fewer conditions"] if query.where else []
    advice = f" Try {', or '.join(wider)}." if wider else ""
    return f"No calls{show_question(query)}.{advice}"


def as_json(report: Report, notes: Sequence[str], fields: Sequence[str] = ()) -> str:
    """A row is its group's values and its figures; the total is the figures of all calls, each counted once."""
    query, total = report.query, figures(report.total, fields)
    if report.total_before is not None:
        total |= compared(report.total, report.total_before, fields)
    document = {
        "by": list(query.by),
        "cost_basis": query.cost,
        "currency": "USD",
        "rows": [plain_row(report, row, fields) for row in report.rows],
        "total": total,
        "unpriced_models": list(report.unpriced_models),
        "notes": list(notes),
    }
    if query.before is not None:
        since, until = (moment and plain(moment.astimezone(query.tz)) for moment in query.before)
        document["compared_with"] = {"since": since, "until": until, "tz": str(query.tz)}
    return json_document(**json_head(query), **document)


def as_jsonl(report: Report, _: Sequence[str], fields: Sequence[str] = ()) -> str:
    """A line for each row, as in the JSON document."""
    return "".join(json.dumps(plain_row(report, row, fields), separators=(",", ":")) + "\n" for row in report.rows)


def plain_row(report: Report, row: Row, fields: Sequence[str]) -> dict[str, object]:
    found = {**group(report.query, row), **figures(row, fields)}
    if OTHERS in row.group:
        found["others"] = True
    if report.before:
        found |= compared(row, report.before[row.group], fields)
    return found


def compared(row: Row, before: Row, fields: Sequence[str]) -> dict[str, object]:
    """The range before: its figures, and by how many dollars the cost has changed since."""
    return {"before": figures(before, fields), "cost_change": plain(difference(row.cost, before.cost))}


def as_csv(report: Report, _: Sequence[str], fields: Sequence[str] = ()) -> str:
    """A line for each row. No total: who sums a column must not meet it again."""
    return "".join(csv_lines(*flat(report, fields)))


def as_tsv(report: Report, _: Sequence[str], fields: Sequence[str] = ()) -> str:
    """As CSV, with tabs between the cells and nothing quoted."""
    return "".join(tsv_lines(*flat(report, fields)))


def flat(report: Report, fields: Sequence[str]) -> tuple[list[str], list[Mapping[str, object]]]:
    """The names of the columns, and the rows by name."""
    names = fields or FIELDS
    rows: list[Mapping[str, object]] = [
        {
            **group(report.query, row),
            **{name: getattr(row, name) for name in names},
            **({"cost_before": report.before[row.group].cost} if report.before else {}),
        }
        for row in report.rows
    ]
    return [*report.query.by, *names, *(["cost_before"] if report.query.before else [])], rows


def group(query: Query, row: Row) -> dict[str, object]:
    """The group's values by dimension: a month as 2026-08, a week as its Monday."""
    return {
        name: f"{value:%Y-%m}" if name == "month" and isinstance(value, date) else plain(value)
        for name, value in zip(query.by, row.group, strict=True)
    }


def figures(row: Row, fields: Sequence[str]) -> dict[str, object]:
    return {name: plain(getattr(row, name)) for name in fields or FIELDS}


def as_markdown(report: Report, _: Sequence[str], fields: Sequence[str] = ()) -> str:
    """A table of GitHub's Markdown with the columns that people see."""
    columns = report_columns(report, fields)
    cells = (column.cells if column.number else map(markdown_cell, column.cells) for column in columns)
    lines = chain(
        [[markdown_cell(column.header) for column in columns]],
        [["---:" if column.number else ":---" for column in columns]],
        zip(*cells, strict=True),
        [[column.total for column in columns]],
    )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown_cell(text: str) -> str:
    return re.sub(r"([\\`*_<\[\]|~&$])", r"\\\1", text)


Renderer = Callable[[Report, Sequence[str], Sequence[str]], str]
"""Of a report, its notes and the fields that were asked for; without any, those that say something."""

RENDERERS: dict[str, Renderer] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
    "tsv": as_tsv,
    "markdown": as_markdown,
    "plain": as_plain,
}
FOR_PROGRAMS = frozenset({"json", "jsonl", "csv", "tsv"})
"""The formats that hold all figures, unless some are asked for."""
HOLDS_NOTES = frozenset({"table", "json"})
"""The formats that have room for notes; with the others they go to stderr."""
