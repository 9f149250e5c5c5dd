"""Rows as COPY's CSV, written by the JSON encoder: it is the fastest writer of rows that Python has.

A row of JSON without its brackets is a line of CSV, once COPY is told that NULL is null and that quotes are escaped by
backslashes. Only control characters differ: CSV holds them as they are.
https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from usage_tracker.errors import EventsRefused
from usage_tracker.instants import SECOND, to_moment
from usage_tracker.stores.rollups import Grain, Key, Sums

Row = Sequence[object]
"""Texts have to be storable."""

ROWS_AT_ONCE = 500
"""How many rows are encoded in one go: less than a millisecond, in which no other thread of the app can run."""

ESCAPE = re.compile(rb"\\(?:u00([0-9a-f]{2})|(.))")
CONTROLS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

encode_lines = msgspec.json.Encoder(decimal_format="number").encode_lines


class CopyLines:
    """A file for COPY that is written while it is read, so that client and server work at the same time."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self.refusal: EventsRefused | None = None
        """Why there are no more rows. psycopg2 would make it an error of the server's."""

    def read(self, size: int) -> bytes:
        """The next rows, however many bytes they take; empty at the end."""
        try:
            return csv_lines(list(islice(self._rows, ROWS_AT_ONCE)))
        except EventsRefused as refusal:
            self.refusal = refusal
        except UnicodeEncodeError:
            self.refusal = EventsRefused("a text of the event is no Unicode; the event can't be stored")
        return b""


def copy_command(table: str, columns: Sequence[str]) -> str:
    return (
        f"COPY usage_tracker.{table} ({', '.join(columns)}) FROM STDIN "
        r"WITH (FORMAT csv, NULL 'null', ESCAPE E'\\', ENCODING 'UTF8')"
    )


def csv_lines(rows: Sequence[Row]) -> bytes:
    """No byte but the one between two rows is both outside of quotes and a line's end, so brackets are found safely."""
    if not rows:
        return b""
    lines = b"\n".join([*encode_lines(rows)[1:-2].split(b"]\n["), b""])  # twice as fast as to replace them
    return ESCAPE.sub(unescaped, lines) if b"\\" in lines else lines


def unescaped(escape: re.Match[bytes]) -> bytes:
    code, letter = escape.groups()
    return bytes.fromhex(code.decode()) if code else CONTROLS.get(letter, escape[0])


def instant_text(microseconds: int) -> str:
    """An instant as `COPY` reads it; many are in the same second."""
    second, rest = divmod(microseconds, SECOND)
    return f"{second_text(second)}.{rest:06}Z"


@lru_cache(4096)
def second_text(seconds: int) -> str:
    return to_moment(seconds * SECOND).isoformat()[:19]


def written_money(picodollars: int | None) -> str | None:
    return None if picodollars is None else f"{picodollars}e-12"


@lru_cache(256)
def written_bucket(seconds: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(to_moment(seconds * SECOND)))


def delta_rows(grain: Grain, rows: dict[Key, Sums]) -> Iterator[Row]:
    """Rows of the grain's keys and measures."""
    money = [place for place, name in enumerate((*grain.keys, *grain.measures)) if name in ("cost", "reported_cost")]
    for key, sums in rows.items():
        row: list[Any] = [written_bucket(key[0]), *key[1:], *sums]
        for place in money:
            if row[place]:
                row[place] = f"{row[place]}e-12"
        yield row
