"""Rows for SQLite, and the statements that take them."""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Sequence

from usage_tracker.event import PricedEvent
from usage_tracker.stores.dimensions import KIND, Content, Dimension, Keys, Wanted, WhoKeys, kind_of
from usage_tracker.stores.rollups import Grain, Rollups
from usage_tracker.stores.values import Facts, cost_parts, facts, json_text, storable

PRICE = Dimension("usage_price", "price_key", ("source", "version"))

EVENT_COLUMNS = (
    "event_id", "started_at",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "tool_tokens", "duration_ms", "ttft_ms",
    "kind_key", "owner_key", "user_key", "tags_key", "host_key", "price_key", "pid",
    "http_status", "attempts", "estimated", "status", "cost", "reported_cost",
    "error_type", "response_id", "session_id", "usage", "cost_parts", "cost_flags", "units",
)  # fmt: skip


def insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def upsert(grain: Grain) -> str:
    inserted = insert(f"rollup_{grain.name}", (*grain.keys, *grain.measures))
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in grain.measures)
    return f"{inserted} ON CONFLICT ({', '.join(grain.keys)}) DO UPDATE SET {added}"


def price_of(priced: PricedEvent) -> Content | None:
    cost = priced.cost
    return (cost.source, cost.version) if cost.lines or cost.source is not None or cost.version is not None else None


def wanted(events: Sequence[PricedEvent]) -> Wanted:
    """What the events need keys for."""
    found = Wanted(PRICE)
    found.add_origins(events)
    found[KIND].update(dict.fromkeys(map(kind_of, events)))
    found[PRICE].update(dict.fromkeys(price for priced in events if (price := price_of(priced)) is not None))
    return found


def rows_and_rollups(events: Sequence[PricedEvent], keys: Keys) -> tuple[list[tuple[object, ...]], Rollups]:
    """The rows of usage_event and what they add to the rollups; `keys` has to know all that is `wanted`. Raises EventsRefused
    for content that no store can hold."""
    kinds, prices, origins = keys[KIND], keys[PRICE], keys.of_origins(events)
    rows, rollups = [], Rollups()
    for priced in events:
        found, who, kind_key, price = (
            facts(priced),
            origins[id(priced.origin)],
            kinds[kind_of(priced)],
            price_of(priced),
        )
        rollups.add(priced, found, kind_key, who)
        rows.append(event_row(priced, found, who, kind_key, None if price is None else prices[price]))
    return rows, rollups


def event_row(
    priced: PricedEvent, facts: Facts, who: WhoKeys, kind_key: int, price_key: int | None
) -> tuple[object, ...]:
    """A row of EVENT_COLUMNS."""
    event, usage, cost = priced.event, priced.event.usage, priced.cost
    return (
        priced.event_id.bytes, facts.started_at,
        usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
        usage.cache_write_1h_tokens, usage.reasoning_tokens, usage.input_audio_tokens, usage.output_audio_tokens,
        usage.input_image_tokens, usage.output_image_tokens, usage.tool_tokens, facts.duration_ms, facts.ttft_ms,
        kind_key, who.owner, who.user, who.tags, who.host, price_key, priced.origin.pid,
        event.http_status, event.attempts, usage.estimated, storable(event.status), facts.cost, facts.reported_cost,
        None if event.error_type is None else storable(event.error_type),
        None if event.response_id is None else storable(event.response_id),
        None if priced.origin.session_id is None else storable(priced.origin.session_id),
        None if event.raw is None else json_text(event.raw),
        None if price_key is None else cost_parts(cost.lines),
        json_text(cost.flags) if cost.flags else None,
        None if usage.units is None else json_text(usage.units),
    )  # fmt: skip
