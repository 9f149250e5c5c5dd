"""CSV that programs and spreadsheets read alike."""

import csv
import io
import json
from collections.abc import Iterable

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a formula of a cell, in one spreadsheet or another."""
ENDS = ";\t\r\n"
"""Where some of them end a cell that isn't quoted, and would find the start of a formula behind it."""


def csv_line(cells: Iterable[object]) -> str:
    """Cells quoted as RFC 4180 says, ended by a line feed."""
    line = io.StringIO()
    csv.writer(line, lineterminator=ENDS).writerow(cells)  # which quotes what holds one of them
    return line.getvalue().removesuffix(ENDS) + "\n"


def csv_cell(value: object) -> object:
    """A cell. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list | dict) else value
