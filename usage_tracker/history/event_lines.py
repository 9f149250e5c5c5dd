"""Events that another store of ours gave as JSON lines (`usage-tracker export`, `usage-tracker events -o jsonl`): with
their ids, and with what they cost there."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from usage_tracker.errors import UsageTrackerError
from usage_tracker.event import UNTIMED, Cost, Origin, Usage, UsageEvent
from usage_tracker.history.importing import Found, microseconds, optional
from usage_tracker.stores.values import read_cost_parts

SAID_OTHERWISE = frozenset(("cached", "duration_ms", "raw", "started_at", "usage"))
"""Fields of UsageEvent that have another form in a line."""
UNREADABLE = (
    AttributeError, InvalidOperation, KeyError, RecursionError, TypeError, ValueError, msgspec.ValidationError
)  # fmt: skip


class EventLines:
    """See Source. A line that is none of ours ends it with an UsageTrackerError that says which."""

    kind = "events"

    def __init__(self, path: Path, until: datetime | None) -> None:
        self.place = str(path.resolve())
        self._path = path
        self._until = optional(until)

    def count(self, since: int | None) -> int | None:
        if not self._path.is_file():
            return None
        with self._path.open("rb") as lines:
            return sum(1 for _ in lines)

    def read(self, since: int | None) -> Iterator[Found]:
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.isspace():
                    continue
                try:
                    found = found_in(json.loads(line))
                except UNREADABLE as error:
                    reason = f"{type(error).__name__}: {error}"
                    raise UsageTrackerError(f"line {number} of {self._path} is no event of ours ({reason})") from None
                started = found.event.started_at // 1000
                if (since is None or started >= since) and (self._until is None or started < self._until):
                    yield found


def found_in(line: Mapping[str, Any]) -> Found:
    """An event by its line. Raises KeyError, ValueError, TypeError and what else says that it is none."""
    flags = tuple(line["cost_flags"] or ())
    said = {
        **{name: line[name] for name in UsageEvent.__struct_fields__ if name not in SAID_OTHERWISE},
        "started_at": microseconds(datetime.fromisoformat(line["started_at"])) * 1000,
        "duration_ms": UNTIMED if line["duration_ms"] is None else line["duration_ms"],
        "usage": [line[name] for name in Usage.__struct_fields__],
        "raw": line["usage"],
        "cached": "cached" in flags,
    }
    return Found(
        UUID(line["event_id"]),
        origin(tuple({**line, "tags": tuple(line["tags"] or ())}[name] for name in Origin.__struct_fields__)),
        msgspec.convert([said[name] for name in UsageEvent.__struct_fields__], UsageEvent),
        msgspec.convert(
            [
                None if line["cost"] is None else Decimal(str(line["cost"])),
                [
                    (unit, Decimal("NaN") if count is None else count, price)
                    for unit, count, price in read_cost_parts(line["cost_parts"])
                ],
                line["price_source"],
                line["price_version"],
                flags,
            ],
            Cost,
        ),
    )


@lru_cache(maxsize=4096)
def origin(values: tuple[Any, ...]) -> Origin:
    """The same object for what repeats."""
    return msgspec.convert(values, Origin)
