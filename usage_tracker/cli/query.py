"""`usage-tracker query`: a user's own SQL, which may only read."""

import json
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import cast

import click

from usage_tracker.cli.columns import Column
from usage_tracker.cli.figures import UNKNOWN, counted, printable
from usage_tracker.cli.options import dsn_option, output_option
from usage_tracker.cli.output import emit_data, emit_page, say
from usage_tracker.cli.plain import csv_lines, json_text, tsv_lines
from usage_tracker.cli.stores import NothingYet, check_schema, check_there
from usage_tracker.dsn import Dsn
from usage_tracker.errors import QueryError
from usage_tracker.plain_values import plain
from usage_tracker.stores import read_sql

Rows = Iterable[tuple[object, ...]]

WRITES = re.compile(r"\s*(alter|create|delete|drop|grant|insert|merge|replace|revoke|truncate|update)\b", re.IGNORECASE)
"""How statements begin that are refused in our words; no store runs the others either, and says so in its own."""
MOST_SHOWN = 1000
"""Rows of a table for people; other formats have all of them."""


def as_table(names: Sequence[str], rows: Rows) -> list[str]:
    from usage_tracker.cli.table import render_table

    shown = list(islice(rows, MOST_SHOWN + 1))
    notes = []
    if len(shown) > MOST_SHOWN:
        notes.append(f"The first {MOST_SHOWN:,} rows; -o csv has all of them.")
    cells = zip(*shown[:MOST_SHOWN], strict=True) if shown else [[] for _ in names]
    columns = [
        Column(printable(name), list(map(show, column)), number=all(is_number(value) for value in column))
        for name, column in zip(names, map(list, cells), strict=True)
    ]
    return [render_table(counted(min(len(shown), MOST_SHOWN), "row"), columns, notes)]


def show(value: object) -> str:
    if isinstance(value, float) and 1e-15 < abs(value) < 1e15:
        return format(Decimal(repr(value)), "f")  # small sums of money have no exponent elsewhere either
    if isinstance(value, list):
        return ", ".join(map(show, value))
    if value is None:
        return UNKNOWN
    found = jsonable(value)
    return printable(json.dumps(found, ensure_ascii=False) if isinstance(found, dict) else str(found))


def is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def as_json(names: Sequence[str], rows: Rows) -> list[str]:
    return [json_text([dict(zip(names, map(jsonable, row), strict=True)) for row in rows])]


def as_jsonl(names: Sequence[str], rows: Rows) -> Iterator[str]:
    return (json.dumps(dict(zip(names, map(jsonable, row), strict=True))) + "\n" for row in rows)


def as_csv(names: Sequence[str], rows: Rows) -> Iterator[str]:
    return csv_lines(names, (dict(zip(names, map(cell, row), strict=True)) for row in rows))


def as_tsv(names: Sequence[str], rows: Rows) -> Iterator[str]:
    return tsv_lines(names, (dict(zip(names, map(cell, row), strict=True)) for row in rows))


def cell(value: object) -> object:
    """As in JSON; but an amount is no text, of which a spreadsheet might make a formula where it is below zero."""
    return value if isinstance(value, Decimal) else jsonable(value)


def jsonable(value: object) -> object:
    """What JSON has no word for, as text: ids, bytes, ranges, infinity."""
    found = plain(value)
    if isinstance(found, list):
        return [jsonable(each) for each in found]
    if isinstance(found, bytes | memoryview):
        return bytes(found).hex()
    if isinstance(found, float) and not isfinite(found):
        return str(found)
    return found if isinstance(found, str | int | float | bool | dict | None) else str(found)


FORMATS: dict[str, Callable[[Sequence[str], Rows], Iterable[str]]] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
    "tsv": as_tsv,
}


@click.command(
    help="""Ask the store in SQL. It can only read; - takes the statement from stdin.

    \b
    The view `events` has a row for each call, `daily` the sums of each day; both are the same on every store.

    \b
    Examples:
      usage-tracker query "SELECT model, sum(cost) FROM events GROUP BY model ORDER BY 2 DESC"
      usage-tracker query -o csv - < question.sql > answer.csv
    """
)
@click.argument("sql")
@dsn_option
@output_option(FORMATS)
def query(sql: str, dsn: Dsn, output: str) -> None:
    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        raise click.UsageError("the statement is empty")
    if writes := WRITES.match(text):
        raise click.ClickException(
            f"{writes[1].upper()} would change the store, and a query only reads; `usage-tracker prune` takes old "
            "events out, `usage-tracker reprice` prices calls again"
        )
    try:
        with closing(ask(dsn, text)) as found:
            names = unique(cast(Sequence[str], next(found)))
            written = FORMATS[output](names, found)
            (emit_page if output == "table" else emit_data)(written)
    except NothingYet as nothing:
        if output == "json":
            emit_data(as_json((), ()))
        say(str(nothing))


def ask(dsn: Dsn, text: str) -> Generator[tuple[object, ...], None, None]:
    """As `read_sql`; but what the store's words leave out is said first: there is no schema, or this role may not see
    it, so that it has none of the views. Raises NothingYet, RightsError."""
    check_there(dsn)
    try:
        yield from read_sql(dsn, text)
    except QueryError:
        check_schema(dsn)
        raise


def unique(names: Sequence[str]) -> list[str]:
    """Columns of one name are told apart, so that none hides another: sum, sum_2."""
    found: list[str] = []
    for name in names:
        place, number = name, 1
        while place in found:
            number += 1
            place = f"{name}_{number}"
        found.append(place)
    return found
