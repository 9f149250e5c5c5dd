"""The times that files are about, and what the rollups say of each."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from usage_tracker.instants import to_instant
from usage_tracker.plain_values import exact
from usage_tracker.stores import Store
from usage_tracker.stores.values import sum_of_picodollars

Grain = Literal["day", "hour"]
"""Of UTC."""

LAST = datetime.max.replace(tzinfo=UTC)


class Bucket(NamedTuple):
    """A day or an hour."""

    start: datetime
    grain: Grain

    @property
    def end(self) -> datetime:
        length = timedelta(**{f"{self.grain}s": 1})
        return min(self.start, LAST - length) + length

    @property
    def day(self) -> date:
        return self.start.date()

    @property
    def name(self) -> str:
        """`2026-08-31` or `2026-08-31T13`."""
        return self.day.isoformat() if self.grain == "day" else f"{self.day.isoformat()}T{self.start.hour:02}"


COUNTED = (
    "calls", "completed", "errors", "counted", "estimated", "priced", "unpriced", "reported", "awaited",
    "input_tokens", "output_tokens", "cost", "reported_cost",
)  # fmt: skip
"""What tells whether anything has changed. Events only come, and go with `prune`; costs change with `reprice`."""


def read_counted(store: Store, grain: Grain) -> Mapping[Bucket, str]:
    """What the rollups say of each day or hour that has events, as a text to compare. Raises StoreError."""
    sums = ", ".join(summed(store, name) for name in COUNTED)
    rows = store.select(
        f"SELECT bucket_at, {sums} FROM {store.dialect.prefix}by_{grain}_kind "  # noqa: S608  our own names
        "GROUP BY bucket_at ORDER BY bucket_at"
    )
    return {Bucket(moment(at), grain): json.dumps([plain(value) for value in values]) for at, *values in rows}


def events_counted(says: str) -> int:
    """How many events the rollups had counted when they said so."""
    values = dict(zip(COUNTED, json.loads(says), strict=True))
    return int(values["calls"]) + int(values["completed"])


def summed(store: Store, name: str) -> str:
    """The sum of a column."""
    is_picodollars = store.dialect.name == "sqlite" and name in ("cost", "reported_cost")
    return sum_of_picodollars(name) if is_picodollars else f"sum({name})"


def moment(at: object) -> datetime:
    """A `bucket_at`, as either store holds it."""
    return at if isinstance(at, datetime) else datetime.fromtimestamp(int(str(at)), UTC)


def plain(value: object) -> str:
    """A sum in one form, however many zeros its summands ended with."""
    return exact(Decimal(str(value)))


def count_events(store: Store, bucket: Bucket) -> int:
    """How many events are there themselves. Raises StoreError."""
    mark = store.dialect.placeholder
    rows = store.select(
        f"SELECT count(*) FROM {store.dialect.prefix}usage_event "  # noqa: S608  our own name
        f"WHERE started_at >= {mark} AND started_at < {mark}",
        [instant(store, bucket.start), instant(store, bucket.end)],
    )
    [(found,)] = list(rows)
    return int(str(found))


def instant(store: Store, at: datetime) -> object:
    """As `started_at` holds it."""
    if store.dialect.name == "sqlite":
        return to_instant(at)
    return at
