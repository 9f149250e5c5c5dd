"""Rows for Postgres."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from usage_tracker.event import Cost, Figures, PricedEvent
from usage_tracker.stores.dimensions import KIND, Content, Dimension, Keys, Known, WhoKeys, kind_of
from usage_tracker.stores.postgres.copy_lines import Row, instant_text, written_money
from usage_tracker.stores.postgres.templates import TEMPLATES_AT_MOST, split_cost, split_usage
from usage_tracker.stores.rollups import Rollups
from usage_tracker.stores.values import cost_parts, facts, json_text, storable

PRICE = Dimension("usage_price", "price_key", ("source", "version", "lines"))
SHAPE = Dimension("usage_shape", "shape_key", ("template",))

EVENT_COLUMNS = (
    "event_id", "started_at",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "tool_tokens", "duration_ms", "ttft_ms",
    "kind_key", "owner_key", "user_key", "tags_key", "host_key", "price_key", "cost_counts", "shape_key", "figures",
    "pid", "http_status", "attempts", "estimated", "status", "cost", "reported_cost",
    "error_type", "response_id", "session_id", "cost_flags", "units", "awaits", "completes", "batch",
)  # fmt: skip


def event_rows(
    events: Sequence[PricedEvent], keys: Keys, whos: Mapping[int, WhoKeys], rollups: Rollups, batch: int | None
) -> Iterator[Row]:
    """The rows of usage_event, while `rollups` counts them; not to be kept where `keys` has unknown ones afterwards.
    Raises EventsRefused for content that no store can hold."""
    kinds, prices, shapes = keys[KIND], keys[PRICE], keys[SHAPE]
    for priced in events:
        event, usage, origin = priced.event, priced.event.usage, priced.origin
        who, kind_key, found = whos[id(origin)], kinds[kind_of(priced)], facts(priced)
        rollups.add(priced, found, kind_key, who)
        price_key, cost_counts = price_and_counts(priced.cost, prices)
        shape_key, figures = (None, None) if event.raw is None else shape_and_figures(event.raw, shapes)
        yield (
            priced.event_id, instant_text(found.started_at),
            usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
            usage.cache_write_1h_tokens, usage.reasoning_tokens, usage.input_audio_tokens, usage.output_audio_tokens,
            usage.input_image_tokens, usage.output_image_tokens, usage.tool_tokens, found.duration_ms, found.ttft_ms,
            kind_key, who.owner, who.user, who.tags, who.host, price_key, cost_counts, shape_key, figures,
            origin.pid, event.http_status, event.attempts, usage.estimated, storable(event.status),
            written_money(found.cost), written_money(found.reported_cost),
            event.error_type and storable(event.error_type),
            event.response_id and storable(event.response_id),
            origin.session_id and storable(origin.session_id),
            written_array(priced.cost.flags) if priced.cost.flags else None,
            None if usage.units is None else json_text(usage.units),
            event.awaits and storable(event.awaits), event.completes and storable(event.completes),
            batch,
        )  # fmt: skip


def price_and_counts(cost: Cost, prices: Known) -> tuple[int | None, str | None]:
    """The key of what the event's parts cost, and how many of each it has."""
    if not cost.lines and cost.source is None and cost.version is None:
        return None, None
    lines, counts = split_cost(cost.lines)
    price_key = template_key(prices, (cost.source, cost.version, lines))
    if price_key is None:
        return prices[cost.source, cost.version, None], cost_parts(cost.lines)
    return price_key, counts


def shape_and_figures(raw: Figures, shapes: Known) -> tuple[int | None, str]:
    """The key of the usage object's shape, and its figures."""
    template, figures = split_usage(raw)
    shape_key = template_key(shapes, (template,))
    return shape_key, json_text(raw) if shape_key is None else figures


def template_key(known: Known, content: Content) -> int | None:
    """None where there are enough templates already."""
    key = known.get(content)
    if key is None and (content in known.unknown or len(known) + len(known.unknown) < TEMPLATES_AT_MOST):
        return known[content]
    return key


@lru_cache(256)
def written_array(texts: tuple[str, ...]) -> str:
    """A literal of Postgres's text[]. Words have no quotes, so that lines of CSV have nothing to unescape."""
    return "{" + ",".join(text if is_word(text) else quoted(storable(text)) for text in texts) + "}"


def is_word(text: str) -> bool:
    return text.isascii() and text.isidentifier() and text.lower() != "null"


def quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
