"""JSON, CSV and TSV for programs: names and exact figures, money as decimal strings, what is unknown null or empty."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from usage_tracker.csv_text import csv_cell, csv_line
from usage_tracker.plain_values import plain
from usage_tracker.report import Query

SCHEMA_VERSION = 1
"""Of the JSON documents. Fields may be added to a version; none is renamed, removed or given another meaning."""


def json_text(document: object) -> str:
    return json.dumps(document, indent=2) + "\n"


def json_document(**fields: object) -> str:
    """The fields, and before them the version of their form."""
    return json_text({"schema_version": SCHEMA_VERSION, **fields})


def json_head(query: Query) -> dict[str, object]:
    """The first fields of an answer: the range as it was resolved, the conditions."""
    since, until = (moment and plain(moment.astimezone(query.tz)) for moment in (query.since, query.until))
    return {
        "range": {"since": since, "until": until, "tz": str(query.tz)},
        "where": [str(condition) for condition in query.where],
    }


def csv_lines(header: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """The header and a line for each row."""
    return map(csv_line, with_header(header, rows))


def tsv_lines(header: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    r"""As `csv_lines`, with tabs between cells; a tab or line end within one is written \t or \n."""
    for cells in with_header(header, rows):
        yield "\t".join("" if cell is None else TSV.sub(escaped, str(cell)) for cell in cells) + "\n"


TSV = re.compile(r"[\\\t\n\r]")


def escaped(found: re.Match[str]) -> str:
    return {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}[found[0]]


def with_header(header: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[list[object]]:
    yield list(map(csv_cell, header))
    for row in rows:
        yield [plain(csv_cell(row[name])) for name in header]
