"""The columns of a report for people, as text: which ones there are depends on what there is to say."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from usage_tracker.cli.figures import show_count, show_duration, show_groups, show_money
from usage_tracker.report import Report, Row


class Column(NamedTuple):
    """One column, its cells from the first row to the last."""

    header: str
    cells: list[str]
    total: str = ""
    number: bool = False
    """Right-aligned."""
    fixed: bool = False
    """Never broken, as numbers are; other columns may be folded."""
    rank: int = 0
    """What is left out where there is no room: the highest first. 0 stays."""
    money: bool = False


class Measure(NamedTuple):
    header: str
    show: Callable[[Row], str]
    rank: int = 0
    needed: Callable[[Row], object] = lambda total: True
    """Whether it says anything, by the total."""


MEASURES = (
    Measure("Calls", lambda row: show_count(row.calls)),
    Measure("Errors", lambda row: show_count(row.errors), 1, lambda total: total.errors),
    Measure("Unpriced", lambda row: show_count(row.unpriced), 3, lambda total: total.unpriced),
    Measure("Input", lambda row: show_count(row.input_tokens)),
    Measure("Cached", lambda row: show_count(row.cache_read_tokens), 5, lambda total: total.cache_read_tokens),
    Measure("Cache write", lambda row: show_count(row.cache_write_tokens), 6, lambda total: total.cache_write_tokens),
    Measure("Output", lambda row: show_count(row.output_tokens)),
    Measure("Reasoning", lambda row: show_count(row.reasoning_tokens), 4, lambda total: total.reasoning_tokens),
    Measure("Mean time", lambda row: show_duration(row.mean_duration_ms), 2, lambda total: total.mean_duration_ms),
)


def report_columns(report: Report) -> list[Column]:
    """Groups, then measures, then cost."""
    rows, total = report.rows, report.total
    columns = [
        Column(name.replace("_", " ").capitalize(), show_groups(name, [row.group[place] for row in rows]))
        for place, name in enumerate(report.query.by)
    ]
    if columns:
        columns[0] = columns[0]._replace(total="Total")
    columns += [
        Column(measure.header, [measure.show(row) for row in rows], measure.show(total), number=True, rank=measure.rank)
        for measure in MEASURES
        if measure.needed(total)
    ]
    *costs, cost = show_money([*(row.cost for row in rows), total.cost])
    return [*columns, Column("Cost", costs, cost, number=True, money=True)]


def shrink(columns: Sequence[Column], room: int) -> tuple[list[Column], list[str]]:
    """The columns that fit into `room` characters, and the headers of those that were left out."""
    kept, left_out = list(columns), list[str]()
    while width(kept) > room and any(column.rank for column in kept):
        least = max(kept, key=lambda column: column.rank)
        kept.remove(least)
        left_out.append(least.header)
    return kept, left_out


FOLDED = 12
"""The narrowest that a column of names may be folded to, in characters."""
GAP = 2


def width(columns: Sequence[Column]) -> int:
    """The least width of a table of these columns."""
    texts = [[column.header, column.total, *column.cells] for column in columns]
    widths = [max(map(len, column)) for column in texts]
    least = [
        size if column.number or column.fixed else min(size, FOLDED)
        for column, size in zip(columns, widths, strict=True)
    ]
    return sum(size + GAP for size in least)
