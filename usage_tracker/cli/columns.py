"""The columns of a report for people, as text: which ones there are depends on what there is to say."""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from usage_tracker.cli.figures import (
    difference,
    printable,
    show_changes,
    show_count,
    show_duration,
    show_groups,
    show_money,
    show_share,
)
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
    """What is left out where there is no room: the highest first, the leftmost of them. 0 stays."""
    money: bool = False
    name: bool = False
    """Where there is no room, it is cut in the middle, to a line; other columns are folded over several."""


def always(_: Row) -> bool:
    return True


def asked(_: Row) -> bool:
    """Only where it is asked for by name."""
    return False


class Measure(NamedTuple):
    name: str
    """The field of a row."""
    header: str
    show: Callable[[Any], str]
    rank: int = 0
    needed: Callable[[Row], object] = always
    """Whether it says anything, by the total."""


MEASURES = (
    Measure("calls", "Calls", show_count),
    Measure("errors", "Errors", show_count, 1, lambda total: total.errors),
    Measure("unpriced", "Unpriced", show_count, 3, lambda total: total.unpriced),
    Measure("estimated", "Estimated", show_count, 8, asked),
    Measure("counted", "Counted", show_count, 9, asked),
    Measure("awaited", "Awaited", show_count, 10, asked),
    Measure("input_tokens", "Input", show_count),
    Measure("cache_read_tokens", "Cached", show_count, 5, lambda total: total.cache_read_tokens),
    Measure("cache_write_tokens", "Cache write", show_count, 6, lambda total: total.cache_write_tokens),
    Measure("output_tokens", "Output", show_count),
    Measure("reasoning_tokens", "Reasoning", show_count, 4, lambda total: total.reasoning_tokens),
    Measure("mean_duration_ms", "Mean time", show_duration, 2, lambda total: total.mean_duration_ms),
    Measure("p50_duration_ms", "p50", show_duration, 2, asked),
    Measure("p95_duration_ms", "p95", show_duration, 2, asked),
    Measure("mean_ttft_ms", "First chunk", show_duration, 7, asked),
    Measure("p50_ttft_ms", "First chunk p50", show_duration, 7, asked),
    Measure("p95_ttft_ms", "First chunk p95", show_duration, 7, asked),
)
MONEY = {"cost": "Cost", "reported_cost": "Reported"}
"""Of fields that are amounts, the headers; the first is shown unless others are asked for."""
FIELDS = tuple(field.name for field in fields(Row) if field.name not in ("group", "timed"))
"""All figures of a row by name, but for what the mean is over."""
PERCENTILES = frozenset(name for name in FIELDS if re.match(r"p\d", name))
"""Those that take a question of their own."""


def heading(name: str) -> str:
    """A dimension or another name of a column, as people write it."""
    word, colon, key = name.partition(":")  # the KEY of tag:KEY is the user's own word
    return {"api_key": "API key", "sdk": "SDK"}.get(name) or printable(
        word.replace("_", " ").capitalize() + colon + key
    )


def report_columns(report: Report, names: Sequence[str] = ()) -> list[Column]:
    """Groups, then measures, then amounts: those that say something or, with `names`, these."""
    rows, total = report.rows, report.total
    columns = [
        Column(heading(name), show_groups(name, [row.group[place] for row in rows]), name=True)
        for place, name in enumerate(report.query.by)
    ]
    if columns:
        columns[0] = columns[0]._replace(total="Total")
    columns += [
        Column(
            measure.header,
            [measure.show(getattr(row, measure.name)) for row in rows],
            measure.show(getattr(total, measure.name)),
            number=True,
            rank=0 if names else measure.rank,
        )
        for measure in MEASURES
        if (measure.name in names if names else measure.needed(total))
    ]
    for name, header in MONEY.items():
        if name in (names or ("cost",)):
            *costs, cost = show_money([*(getattr(row, name) for row in rows), getattr(total, name)])
            columns.append(Column(header, costs, cost, number=True, money=True))
    return [*columns, *compared_columns(report)]


def compared_columns(report: Report) -> list[Column]:
    """What the same groups cost before, and by how much that has changed."""
    if report.total_before is None:
        return []
    pairs = [(row.cost, report.before[row.group].cost) for row in report.rows]
    pairs.append((report.total.cost, report.total_before.cost))
    costs = [now for now, _ in pairs]
    *before, total = show_money([earlier for _, earlier in pairs], costs)
    *changes, change = show_changes([difference(now, earlier) for now, earlier in pairs], costs)
    *shares, share = [show_share(now, earlier) for now, earlier in pairs]
    return [
        Column("Before", before, total, number=True, money=True, rank=2),
        Column("Δ", changes, change, number=True, money=True, rank=1),
        Column("Δ %", shares, share, number=True, rank=1),
    ]
