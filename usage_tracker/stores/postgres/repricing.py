"""Other costs for calls in Postgres: set by set, as events have no key."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from usage_tracker.decimals import EXACT
from usage_tracker.instants import to_instant, to_moment
from usage_tracker.stores.dimensions import Keys
from usage_tracker.stores.postgres.connection import Cursor
from usage_tracker.stores.postgres.rows import PRICE, price_and_counts, written_array
from usage_tracker.stores.repricing import Repriced, Stored
from usage_tracker.stores.values import picodollars

CHANGING_LOCK = 0x7573616765_09
"""Of whoever changes or deletes single events: their rows have no order in which all would lock them."""
LOCK = "LOCK TABLE usage_tracker.usage_event IN ROW SHARE MODE"
"""Nobody moves events into their month from here on. A statement that waits for whoever does was planned before that
month was there: it doesn't find them, and the one after it does."""
FIND = """
SELECT e.event_id::text, e.started_at, e.kind_key, e.owner_key, e.user_key,
    ARRAY(SELECT DISTINCT g.tag_key FROM usage_tracker.usage_tag g WHERE g.tag = ANY(t.tags)), e.status, e.cost,
    coalesce(e.cost_flags, '{}')
FROM usage_tracker.usage_event e
JOIN unnest(%s::uuid[]) AS asked(event_id) USING (event_id)
JOIN usage_tracker.usage_tags t USING (tags_key)
WHERE e.started_at BETWEEN %s AND %s
FOR UPDATE OF e
"""
KEEP = """
INSERT INTO usage_tracker.usage_original (event_id, started_at, cost, price_key, cost_counts, cost_flags)
SELECT e.event_id, e.started_at, e.cost, e.price_key, e.cost_counts, e.cost_flags
FROM usage_tracker.usage_event e
JOIN unnest(%s::uuid[]) AS asked(event_id) USING (event_id)
WHERE e.started_at BETWEEN %s AND %s
ON CONFLICT (event_id) DO NOTHING
"""
CHANGE = """
UPDATE usage_tracker.usage_event e
SET cost = now.cost, price_key = now.price_key, cost_counts = now.counts, cost_flags = now.flags::text[]
FROM unnest(%s::uuid[], %s::numeric[], %s::integer[], %s::text[], %s::text[])
    AS now(event_id, cost, price_key, counts, flags)
WHERE e.event_id = now.event_id AND e.started_at BETWEEN %s AND %s
"""


def find(cursor: Cursor, repriced: Sequence[Repriced]) -> list[Stored]:
    """The calls as they are, locked until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHANGING_LOCK])
    cursor.execute(LOCK)
    cursor.execute(FIND, [[str(each.event_id) for each in repriced], *span(repriced)])
    return [
        Stored(
            UUID(event_id),
            to_instant(started_at),
            kind,
            owner,
            user,
            tuple(tags) or (0,),
            status,
            None if cost is None else picodollars(cost),
            flags,
        )
        for event_id, started_at, kind, owner, user, tags, status, cost, flags in cursor.fetchall()
    ]


def change(cursor: Cursor, keys: Keys, repriced: Sequence[Repriced]) -> None:
    """Nothing is to be kept where `keys` has unknown ones afterwards."""
    prices = keys[PRICE]
    rows = []
    for each in repriced:
        price_key, counts = price_and_counts(each.cost, prices)
        amount = None if each.cost.amount is None else picodollars(each.cost.amount)
        dollars = None if amount is None else EXACT.scaleb(Decimal(amount), -12)
        flags = written_array(each.cost.flags) if each.cost.flags else None
        rows.append((str(each.event_id), dollars, price_key, counts, flags))
    cursor.execute(KEEP, [[row[0] for row in rows], *span(repriced)])
    cursor.execute(CHANGE, [*map(list, zip(*rows, strict=True)), *span(repriced)])


def span(repriced: Sequence[Repriced]) -> tuple[datetime, datetime]:
    instants = [each.started_at for each in repriced]
    return to_moment(min(instants)), to_moment(max(instants))
