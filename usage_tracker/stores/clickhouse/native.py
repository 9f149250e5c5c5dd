"""A block in ClickHouse's Native format: column after column, whole or not at all.

A server that gets less than the block's bytes stores nothing of it, which holds for no format that is made of rows.
https://clickhouse.com/docs/interfaces/formats/Native
"""

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from usage_tracker.errors import EventsRefused

INTEGERS = {"UInt8": "B", "Enum8": "b", "Int16": "h", "UInt16": "H", "Int32": "i", "Int64": "q", "UInt64": "Q"}
"""The array's code for each of them."""


class Column(NamedTuple):
    name: str
    kind: str
    """`Int64`, `String`, `Nullable(Int64)`, `Array(String)`, …"""


class Section(NamedTuple):
    """Rows that have the same columns; the others have their defaults: 0, '', null, no element."""

    rows: int
    values: Mapping[str, Sequence[Any]]
    """By column. Those of text are all text or, encoded before, all bytes."""


def write_block(columns: Sequence[Column], sections: Sequence[Section]) -> bytes:
    """Raises EventsRefused for what a column can't hold."""
    rows = sum(section.rows for section in sections)
    parts = [write_length(len(columns)), write_length(rows)]
    for column in columns:
        parts += [write_text(column.name), write_text(column.kind)]
        values = [(section.rows, section.values.get(column.name)) for section in sections]
        try:
            parts += write_column(column.kind, values)
        except (OverflowError, UnicodeEncodeError, TypeError):
            raise EventsRefused(f"ClickHouse can't hold a value of {column.name}; the event can't be stored") from None
    return b"".join(parts)


Values = Sequence[tuple[int, Sequence[Any] | None]]
"""Of each section: how many, and the values, or None for defaults."""


def write_column(kind: str, values: Values) -> Iterable[bytes]:
    if kind.startswith("Nullable("):
        inner = kind[len("Nullable(") : -1]
        yield from (
            bytes([1]) * rows if given is None else bytes(each is None for each in given) for rows, given in values
        )
        filled = [(rows, given and [each or 0 for each in given]) for rows, given in values]
        yield from write_column(inner, filled)
    elif kind == "Array(String)":
        lengths = (length for rows, given in values for length in ([0] * rows if given is None else map(len, given)))
        yield little_endian(array("Q", accumulate(lengths)))
        for _, given in values:
            if given is not None:
                yield from map(write_text, (text for each in given for text in each))
    else:
        for rows, given in values:
            yield DEFAULTS[kind.partition("(")[0]] * rows if given is None else write_values(kind, given)


DEFAULTS = {
    **{kind: bytes(array(code).itemsize) for kind, code in INTEGERS.items()},
    "Float64": bytes(8), "FixedString": bytes(16), "Decimal": bytes(16), "String": b"\0",
}  # fmt: skip


def write_values(kind: str, values: Sequence[Any]) -> bytes:
    kind = kind.partition("(")[0]
    if kind == "String":
        if values and isinstance(values[0], bytes):
            return b"".join(values)
        encoded = Encoded()
        return b"".join([encoded[text] for text in values])
    if kind == "FixedString":
        return b"".join(values)
    if kind == "Decimal":
        return write_decimals(values)
    return little_endian(array("d" if kind == "Float64" else INTEGERS[kind], values))


def write_decimals(values: Sequence[int]) -> bytes:
    """Decimal(38, …): 128 bits each, as a whole number of its smallest unit."""
    try:
        halves = array("q", bytes(16 * len(values)))
        halves[::2] = array("q", values)
        halves[1::2] = array("q", [-1 if value < 0 else 0 for value in values])
    except OverflowError:
        return b"".join([value.to_bytes(16, "little", signed=True) for value in values])
    return little_endian(halves)


def little_endian(numbers: "array[Any]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


class Encoded(dict[str, bytes]):
    """Each text once: most columns have few that differ."""

    def __missing__(self, text: str) -> bytes:
        found = self[text] = write_text(text)
        return found


def write_text(text: str) -> bytes:
    encoded = text.encode()
    return write_length(len(encoded)) + encoded


def write_length(length: int) -> bytes:
    """A number in groups of seven bits, the lowest first."""
    if length < 0x80:
        return SHORT[length]
    groups = bytearray()
    while length >= 0x80:
        groups.append(length & 0x7F | 0x80)
        length >>= 7
    groups.append(length)
    return bytes(groups)


SHORT = [bytes([length]) for length in range(0x80)]
