"""Rows for SQLite, and the statements that take them."""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import compress, repeat

from usage_tracker.event import COUNTS, Batch, Cost, PricedCalls, PricedEvent
from usage_tracker.stores.dimensions import KIND, Content, Dimension, Keys, WhoKeys, kind_of
from usage_tracker.stores.rollups import Grain, Rollups
from usage_tracker.stores.values import cost_parts, cost_template, facts, json_text, storable
from usage_tracker.threads import in_turns

Row = tuple[object, ...]

PRICE = Dimension("usage_price", "price_key", ("source", "version"))

EVENT_COLUMNS = (
    "event_id", "started_at", *COUNTS, "duration_ms", "ttft_ms",
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


def price_of(cost: Cost) -> Content | None:
    """None of a cost that is nobody's."""
    return (cost.source, cost.version) if cost.lines or cost.source is not None or cost.version is not None else None


Table = tuple[Sequence[str], Sequence[Row]]
"""Some columns of usage_event, and rows of them; what is left out is null in all."""


def tables_and_rollups(batch: Batch, keys: Keys, whos: Mapping[int, WhoKeys]) -> tuple[list[Table], Rollups]:
    """The rows of usage_event and what they add to the rollups; not to be kept where `keys` has unknown ones
    afterwards. Raises EventsRefused for content that no store can hold."""
    rollups = Rollups()
    tables = [alike_rows(priced, keys, whos, rollups) for priced in in_turns(batch.alike)]
    rows = event_rows(batch.events, keys, whos, rollups)
    return [*tables, without_nulls(rows)] if rows else tables, rollups


def without_nulls(rows: Sequence[Row]) -> Table:
    """Without the columns in which no row has anything, which are half of them as a rule: binding their nulls takes a
    third of all that it takes to insert rows."""
    given = [values.count(None) < len(rows) for values in zip(*rows, strict=True)]
    return list(compress(EVENT_COLUMNS, given)), [tuple(compress(row, given)) for row in rows]


def event_rows(events: Sequence[PricedEvent], keys: Keys, whos: Mapping[int, WhoKeys], rollups: Rollups) -> list[Row]:
    rows: list[Row] = []
    kinds, prices = keys[KIND], keys[PRICE]
    for priced in in_turns(events):
        event, usage, origin, price = priced.event, priced.event.usage, priced.origin, price_of(priced.cost)
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
    return rows


def alike_rows(priced: PricedCalls, keys: Keys, whos: Mapping[int, WhoKeys], rollups: Rollups) -> Table:
    """The rows of calls that are alike."""
    calls, event, kind_key = priced.calls, priced.calls.event, keys[KIND][kind_of(priced.calls)]
    those = [whos[id(origin)] for origin in calls.origins]
    rollups.add_alike(priced, kind_key, those)
    sessions = [origin.session_id for origin in calls.origins]
    columns: dict[str, Iterable[object] | None] = {
        "event_id": [number.to_bytes(16) for number in calls.event_ids],
        "started_at": [started_at // 1000 for started_at in calls.started_at],
        **dict(zip(COUNTS, calls.counts, strict=True)),
        "duration_ms": calls.duration_ms,
        "ttft_ms": calls.ttft_ms if any(calls.ttft_ms) else None,
        "kind_key": repeat(kind_key),
        "owner_key": [who.owner for who in those],
        "user_key": [who.user for who in those],
        "tags_key": [who.tags for who in those],
        "host_key": [who.host for who in those],
        "usage": calls.template and [calls.template % figures for figures in calls.figures],
        "pid": [origin.pid for origin in calls.origins],
        "http_status": repeat(event.http_status),
        "attempts": repeat(event.attempts),
        "estimated": repeat(False),
        "status": repeat(storable(event.status)),
        "error_type": None if event.error_type is None else repeat(storable(event.error_type)),
        "response_id": calls.response_ids if calls.response_ids[0] is not None else None,
        "session_id": None if {None}.issuperset(sessions) else [each and storable(each) for each in sessions],
        "cost_flags": repeat(json_text(priced.flags)) if priced.flags else None,
    }
    if priced.amounts is not None:
        template = cost_template(priced.units, priced.prices)
        columns["price_key"] = repeat(keys[PRICE][priced.source, priced.version])
        columns["cost_parts"] = [str(template) % counts for counts in priced.counts]
        columns["cost"] = priced.amounts
    given = {name: column for name, column in columns.items() if column is not None}
    return list(given), list(zip(*given.values(), strict=False))  # some repeat for ever
