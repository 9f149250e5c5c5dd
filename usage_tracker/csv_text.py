"""CSV that programs and spreadsheets read alike."""

import csv
import io
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


def no_formula(text: str) -> str:
    """The text, after an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
