"""What is counted of each group of calls, by rollups and by events alike."""

from datetime import date, datetime
from decimal import Decimal
from operator import add, sub
from typing import NamedTuple

from usage_tracker.report.sketch import Sketch

GroupValue = str | date | datetime | None
"""Of a dimension: None where calls have no such value. The first day of a day, week or month; the start of an hour with
its offset from UTC, so that the two hours at the end of summer time differ."""
Group = tuple[GroupValue, ...]


class Sums(NamedTuple):
    """What every source counts, for each group. Sums are over what is known, 0 where nothing is."""

    calls: int
    errors: int
    counted: int
    estimated: int
    priced: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: Decimal
    reported: int
    reported_cost: Decimal
    duration_ms: float
    ttft_calls: int
    ttft_ms: float
    awaited: int
    completed: int
    output_counted: int
    cache_read_counted: int
    cache_write_counted: int
    reasoning_counted: int
    untimed: int
    input_counted: int
    durations: Sketch = Sketch()
    """Where it was asked for."""
    first_chunks: Sketch = Sketch()

    def plus(self, other: "Sums") -> "Sums":
        return Sums._make(map(add, self, other))

    def minus(self, other: "Sums") -> "Sums":
        """Without sketches."""
        return Sums(*map(sub, self[: len(COUNTED)], other[: len(COUNTED)]))

    @property
    def events(self) -> int:
        """Calls, and what tells later what one of them used: a batch may have one such event for each answer in it."""
        return self.calls + self.completed

    def any(self) -> bool:
        """Whether anything was counted. A sum of durations may be next to nothing where others were taken from it, and
        what rollups have not always counted less than nothing."""
        return any(value for value in self[:ALWAYS_COUNTED] if not isinstance(value, float))

    def any_whole(self) -> bool:
        """The same without amounts, of which SQLite may leave a little where nothing is left: it holds large ones to 15
        digits."""
        return any(value for value in self[:ALWAYS_COUNTED] if isinstance(value, int))


COUNTED = Sums._fields[:-2]
"""What rollups hold. Sketches are tables of their own."""
ALWAYS_COUNTED = COUNTED.index("output_counted")
"""So many of them, the first. The others are 0 in rollups of before they were counted, and below where events are taken
away from these."""
NOTHING = Sums(*(0,) * 11, Decimal(0), 0, Decimal(0), 0.0, 0, 0.0, *(0,) * 8)

KNOWN = "(input_tokens IS NOT NULL OR output_tokens IS NOT NULL)"
CALL = "completes IS NULL"

EVENT_SUMS: dict[str, str] = {
    "calls": f"count(*) FILTER (WHERE {CALL})",
    "errors": f"count(*) FILTER (WHERE status = 'error' AND {CALL})",
    "counted": f"count(*) FILTER (WHERE {KNOWN} AND {CALL})",
    "estimated": "count(*) FILTER (WHERE estimated)",
    "priced": "count(cost)",
    "reported": "count(reported_cost)",
    "duration_ms": f"coalesce(sum(CAST(duration_ms AS double precision)) FILTER (WHERE {CALL}), 0)",
    "ttft_calls": f"count(ttft_ms) FILTER (WHERE {CALL})",
    "ttft_ms": f"coalesce(sum(CAST(ttft_ms AS double precision)) FILTER (WHERE {CALL}), 0)",
    "awaited": f"count(awaits) FILTER (WHERE {CALL})",
    "completed": f"count(completes) FILTER (WHERE {KNOWN})",
    "output_counted": "count(output_tokens)",
    "cache_read_counted": "count(cache_read_tokens)",
    "cache_write_counted": "count(cache_write_tokens)",
    "reasoning_counted": "count(reasoning_tokens)",
    "untimed": f"count(*) FILTER (WHERE duration_ms IS NULL AND {CALL})",
    "input_counted": "count(input_tokens)",
}
"""Sums of events that aren't plain sums of a column."""
