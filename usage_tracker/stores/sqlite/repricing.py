"""Other costs for calls in SQLite."""

import json
import sqlite3
from collections.abc import Sequence

from usage_tracker.stores.dimensions import Keys
from usage_tracker.stores.repricing import Repriced, Stored, moves
from usage_tracker.stores.rollups import with_coarser
from usage_tracker.stores.sqlite.rows import PRICE, price_of, upsert
from usage_tracker.stores.values import cost_parts, json_text, picodollars

FIND = (
    "SELECT kind_key, owner_key, user_key, t.tags, status, cost, cost_flags FROM usage_event "
    "JOIN usage_tags t USING (tags_key) WHERE started_at = ? AND event_id = ?"
)
KEEP = (
    "INSERT INTO usage_original (event_id, started_at, cost, price_key, cost_parts, cost_flags) "
    "SELECT event_id, started_at, cost, price_key, cost_parts, cost_flags FROM usage_event "
    "WHERE started_at = ? AND event_id = ? ON CONFLICT (event_id) DO NOTHING"
)
CHANGE = (
    "UPDATE usage_event SET cost = ?, price_key = ?, cost_parts = ?, cost_flags = ? "
    "WHERE started_at = ? AND event_id = ?"
)


def reprice(connection: sqlite3.Connection, keys: Keys, repriced: Sequence[Repriced]) -> int:
    """How many calls were there and cost something else now; nothing is to be kept where `keys` has unknown ones
    afterwards."""
    stored = [found for each in repriced if (found := find(connection, each)) is not None]
    there = {found.event_id for found in stored}
    prices = keys[PRICE]
    for each in repriced:
        if each.event_id not in there:
            continue
        where, cost, price = (each.started_at, each.event_id.bytes), each.cost, price_of(each.cost)
        connection.execute(KEEP, where)
        amount = None if cost.amount is None else picodollars(cost.amount)
        key, parts = (None, None) if price is None else (prices[price], cost_parts(cost.lines))
        flags = json_text(cost.flags) if cost.flags else None
        connection.execute(CHANGE, (amount, key, parts, flags, *where))
    for grain, sums in with_coarser(moves(stored, repriced)).items():
        connection.executemany(upsert(grain), ((*key, *values) for key, values in sums.items()))
    return len(stored)


def find(connection: sqlite3.Connection, each: Repriced) -> Stored | None:
    row = connection.execute(FIND, (each.started_at, each.event_id.bytes)).fetchone()
    if row is None:
        return None
    kind, owner, user, tags, status, cost, flags = row
    marks = [
        connection.execute("SELECT tag_key FROM usage_tag WHERE tag = ?", [tag]).fetchone()[0]
        for tag in dict.fromkeys(json.loads(tags))
    ]
    said = json.loads(flags) if flags else []
    return Stored(each.event_id, each.started_at, kind, owner, user, tuple(marks) or (0,), status, cost, said)
