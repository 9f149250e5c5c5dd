"""Any question, its chart and its table side by side."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from usage_tracker.cli.columns import Column, report_columns
from usage_tracker.cli.notes import explain
from usage_tracker.report import DIMENSIONS, TAGGED, UNITS, Query, Report, is_dimension, run
from usage_tracker.report.sums import GroupValue
from usage_tracker.stores import Store
from usage_tracker.web.charts import MEASURES, Chart, over_time, ranks
from usage_tracker.web.overview import words
from usage_tracker.web.parameters import Refused, one_of
from usage_tracker.web.pruned import notes_on_reports
from usage_tracker.web.reading import Reader
from usage_tracker.web.view import View

MEASURE = one_of("measure", "What the chart shows.", tuple(MEASURES), default="cost")
ROWS = 500
"""The most that a page shows; an export has all."""
DRAWN = 12
KEYS_SPAN = timedelta(days=30)
KEYS_SECONDS = 60.0
MOST_KEYS, LONGEST_KEY = 20, 60
SAID = re.compile(r"(?!\s)[^,=!]+(?<!\s)")
"""The keys that a list of dimensions and a condition can name."""


class Line(NamedTuple):
    """One row of the table."""

    groups: list[str]
    addresses: list[str | None]
    """Where each of the groups is shown alone."""
    cells: list[str]


@dataclass(frozen=True)
class Explored:
    query: Query
    chart: Chart
    heads: list[str]
    columns: list[Column]
    lines: list[Line]
    left_out: int
    notes: list[str]


async def look(reader: Reader, query: Query, view: View, measure: str, path: str) -> Explored:
    """Ask, and arrange the answer. Raises NothingYet and StoreError."""
    answer = await reader.ask(query)
    drawn = answer
    if query.unit is not None and query.top is None and len(query.by) > 1:
        drawn = await reader.ask(replace(query, top=DRAWN, before=None))
    chart = over_time(drawn, measure) if query.unit is not None else ranks(answer, measure)
    columns = report_columns(answer)
    groups, figures = columns[: len(query.by)], columns[len(query.by) :]
    # what is asked for most stands where no scrolling is needed
    figures = [*(column for column in figures if column.money), *(column for column in figures if not column.money)]
    columns = [*groups, *figures]
    return Explored(
        query,
        chart,
        [words(name) for name in query.by],
        columns[len(query.by) :],
        [line(answer, place, columns, view, path) for place in range(min(len(answer.rows), ROWS))] if groups else [],
        max(0, len(answer.rows) - ROWS),
        [*explain(answer), *await notes_on_reports(reader, query)],
    )


def line(report: Report, place: int, columns: list[Column], view: View, path: str) -> Line:
    row, width = report.rows[place], len(report.query.by)
    addresses = [only_value(view, name, value, path) for name, value in zip(report.query.by, row.group, strict=True)]
    cells = [column.cells[place] for column in columns]
    return Line(cells[:width], addresses, cells[width:])


def only_value(view: View, name: str, value: GroupValue, path: str) -> str | None:
    """The same question about that value alone. None where no condition can say it."""
    alone = view.only([name], (value,)) if is_dimension(name) else None
    return None if alone is None else alone.address(path)


def choices(keys: Iterable[str], asked: Iterable[str]) -> list[tuple[str, str]]:
    """The dimensions that a form offers, with those of tags of these keys, and with what is asked for already."""
    tags = [f"{TAGGED}{key}" for key in keys]
    names = dict.fromkeys((*UNITS, *DIMENSIONS, *tags, *(name for name in asked if name)))
    return [(name, words(name)) for name in names]


async def tag_keys(reader: Reader) -> list[str]:
    """The keys of the tags of the last 30 days, those that cost most first: of `tier:pro`, tier."""

    def read(store: Store) -> list[str]:
        now = datetime.now(UTC)
        since = now.replace(minute=0, second=0, microsecond=0) - KEYS_SPAN
        try:
            found = run(store, Query(since, now, ("tag",)))
        except Refused:  # where each call has a tag of its own, they are too many to read for a list of choices
            return []
        tags = [value for row in found.rows if isinstance(value := row.group[0], str)]
        keys = dict.fromkeys(key for key, colon, _ in (tag.partition(":") for tag in tags) if key and colon)
        return [key for key in keys if len(key) <= LONGEST_KEY and SAID.fullmatch(key)][:MOST_KEYS]

    return await reader.shared("tag keys", read, KEYS_SECONDS)
