"""What is left undone in a database whose programs may not do it themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from usage_tracker.stores.postgres.partitions import months
from usage_tracker.stores.store import Store

MOST_UNFOLDED = 100_000
"""Rows; a shipper at work leaves fewer."""
UNFOLDED = "SELECT count(*) FROM (SELECT FROM usage_tracker.delta_hour LIMIT %s) AS few"


class Undone(NamedTuple):
    found: str
    remedy: str


def undone(store: Store) -> Iterator[Undone]:
    """Raises StoreError, also where this role may not see it."""
    today = datetime.now(UTC).date()
    [this_month] = [month.table for month in months(today) if month.start <= today < month.end]
    [(table,)] = store.select("SELECT to_regclass(%s)::text", [f"usage_tracker.{this_month}"])
    if table is None:
        yield Undone(
            "this month has no partition: its events are stored, but slower to read",
            "the schema's owner runs `usage-tracker migrate` once a month",
        )
    [(unfolded,)] = store.select(UNFOLDED, [MOST_UNFOLDED])
    if unfolded == MOST_UNFOLDED:
        yield Undone(
            f"{MOST_UNFOLDED:,} rows or more are not folded into the rollups: reports are slow",
            "let `usage-tracker ship` run with a role that may fold: `usage-tracker migrate --print-grants`",
        )
