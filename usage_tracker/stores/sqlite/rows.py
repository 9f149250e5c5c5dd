"""Rows for SQLite, and the statements that take them."""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Collection, Mapping, Sequence

from usage_tracker.event import PricedEvent
from usage_tracker.stores.dimensions import KIND, Content, Dimension, Keys, WhoKeys, kind_of
from usage_tracker.stores.rollups import Grain, Rollups
from usage_tracker.stores.values import cost_parts, facts, json_text, storable
from usage_tracker.threads import in_turns

Row = tuple[object, ...]

PRICE = Dimension("usage_price", "price_key", ("source", "version"))

EVENT_COLUMNS = (
    "event_id", "started_at",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "tool_tokens", "duration_ms", "ttft_ms",
    "kind_key", "owner_key", "user_key", "tags_key", "host_key", "price_key", "cost_parts", "usage",
    "pid", "http_status", "attempts", "estimated", "status", "cost", "reported_cost",
    "error_type", "response_id", "session_id", "cost_flags", "units", "awaits", "completes",
)  # fmt: skip


def insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def upsert(grain: Grain, given: Collection[str] | None = None) -> str:
    """`given`: the measures that there are values for; the rest is 0."""
    given = grain.measures if given is None else given
    values = ["?"] * len(grain.keys) + ["?" if name in given else "0" for name in grain.measures]
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in grain.measures if name in given)
    return (
        f"INSERT INTO rollup_{grain.name} ({', '.join((*grain.keys, *grain.measures))}) VALUES ({', '.join(values)}) "
        f"ON CONFLICT ({', '.join(grain.keys)}) DO UPDATE SET {added or 'calls = calls'}"
    )


def price_of(priced: PricedEvent) -> Content | None:
    cost = priced.cost
    return (cost.source, cost.version) if cost.lines or cost.source is not None or cost.version is not None else None


def rows_and_rollups(
    events: Sequence[PricedEvent], keys: Keys, whos: Mapping[int, WhoKeys]
) -> tuple[list[Row], Rollups]:
    """The rows of usage_event and what they add to the rollups; not to be kept where `keys` has unknown ones
    afterwards. Raises EventsRefused for content that no store can hold."""
    rows: list[Row] = []
    rollups = Rollups()
    kinds, prices = keys[KIND], keys[PRICE]
    for priced in in_turns(events):
        event, usage, origin, price = priced.event, priced.event.usage, priced.origin, price_of(priced)
        who, kind_key, found = whos[id(origin)], kinds[kind_of(priced)], facts(priced)
        rollups.add(priced, found, kind_key, who)
        rows.append((
            priced.event_id.bytes, found.started_at,
            usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
            usage.cache_write_1h_tokens, usage.reasoning_tokens, usage.input_audio_tokens, usage.output_audio_tokens,
            usage.input_image_tokens, usage.output_image_tokens, usage.tool_tokens, found.duration_ms, found.ttft_ms,
            kind_key, who.owner, who.user, who.tags, who.host,
            None if price is None else prices[price], None if price is None else cost_parts(priced.cost.lines),
            None if event.raw is None else json_text(event.raw),
            origin.pid, event.http_status, event.attempts, usage.estimated, storable(event.status),
            found.cost, found.reported_cost,
            event.error_type and storable(event.error_type),
            event.response_id and storable(event.response_id),
            origin.session_id and storable(origin.session_id),
            json_text(priced.cost.flags) if priced.cost.flags else None,
            None if usage.units is None else json_text(usage.units),
            event.awaits and storable(event.awaits), event.completes and storable(event.completes),
        ))  # fmt: skip
    return rows, rollups
