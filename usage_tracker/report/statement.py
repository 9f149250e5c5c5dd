"""A SQL statement that is being written, with bound values, and what each store says in its own way.

Instants are microseconds since 1970, UTC, until a statement binds them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import cast
from uuid import UUID

from usage_tracker.stores import Dialect

YEAR_1 = 62_135_596_800
"""Seconds from the start of the year 1, which was a Monday, to 1970. Counted from there, no instant is negative, so a
division rounds down."""


class Statement(ABC):
    """A statement that is being written. Values are bound in the order in which they stand in the text, so text is
    written from left to right."""

    each = ""
    """A source of rows from an array: `one.value` is each element of `{array}`."""
    events = ""
    """Where events are read from, with every column of the view `events`."""
    event_columns: Mapping[str, str] = {}
    """Those columns that have another name there."""
    has_schema = ""
    """A SELECT that says whether anything was ever laid into the store."""
    counted = "(completes IS NULL OR input_tokens IS NOT NULL OR output_tokens IS NOT NULL)"
    """Whether `calls` or `completed` counts an event: a call, or known usage of an earlier one."""
    awaited_flags = ""
    """The flags of a call whose usage is told later, as an array."""
    by_character = ""
    """Goes after a text to sort it by the numbers of its characters, as Python does."""
    rows_hold_values = False
    """Whether rows hold values instead of keys into tables of dimensions: see report.clickhouse."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.parameters: list[object] = []

    def bind(self, value: object) -> str:
        """The placeholder that stands for the value."""
        self.parameters.append(value)
        return self._dialect.placeholder

    def table(self, name: str) -> str:
        return self._dialect.prefix + name

    def write_each(self, array: str) -> str:
        return self.each.format(array=array)

    @abstractmethod
    def bind_instant(self, instant: int, column: str) -> str:
        """The instant as `column` (`bucket_at` of rollups, `started_at` of events) holds it."""

    @abstractmethod
    def bind_event_id(self, event_id: UUID) -> str:
        """An event's id as its column holds it."""

    def write_first(self, column: str) -> str:
        """The least instant of a column; null where there is none."""
        return f"min({column})"

    def write_last(self, column: str) -> str:
        """The greatest instant of a column; null where there is none."""
        return f"max({column})"

    def write_spans(self, spans: Iterable[tuple[int, int]], column: str) -> str:
        """A table of spans, each from `column1` up to and without `column2`."""
        pairs = [f"({self.bind_instant(start, column)}, {self.bind_instant(end, column)})" for start, end in spans]
        return f"(VALUES {', '.join(pairs)})"

    @abstractmethod
    def write_within(self, table: str, column: str, spans: Iterable[tuple[int, int]]) -> str:
        """The table's rows whose instant is in one of many spans, found span by span with the column's index."""

    @abstractmethod
    def write_cut(self, column: str, unit: str, offset: int) -> str:
        """The start of the hour, day, week or month that the column's instant is in, by a wall clock that is `offset`
        seconds ahead of UTC."""

    @abstractmethod
    def read_cut(self, value: object) -> datetime:
        """What such a cut is, as the time on that wall clock."""

    @abstractmethod
    def read_bucket(self, value: object) -> int:
        """A `bucket_at` as an instant."""

    @abstractmethod
    def write_outside_hour(self, column: str, hour: int) -> str:
        """Whether a bucket is not that hour of the day, UTC."""

    @abstractmethod
    def write_glob(self, value: str, pattern: list[tuple[str, bool]]) -> str:
        """Whether a value matches; the pattern is characters, each with whether it is a wildcard."""

    @abstractmethod
    def write_contains(self, array: str, word: str) -> str:
        """Whether the array of words, or null, has that word; it needs no escaping."""

    def write_sum(self, column: str) -> str:
        """The sum of a column; null where there is nothing to add."""
        return f"sum({column})"

    @abstractmethod
    def read_money(self, value: object) -> Decimal:
        """Money out of rollups or events, in dollars."""

    def read_value(self, value: object) -> str | None:
        """The value of a dimension."""
        return cast(str | None, value)

    @abstractmethod
    def read_column(self, name: str, value: object) -> object:
        """A column of an event, in the same form for every store."""
