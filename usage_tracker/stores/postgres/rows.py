"""Rows for Postgres."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from usage_tracker.event import COUNTS, Cost, Figures, Origin, PricedCalls, PricedEvent
from usage_tracker.stores.dimensions import KIND, Content, Dimension, Keys, Known, WhoKeys, kind_of
from usage_tracker.stores.postgres.copy_lines import Row, encode_lines, instant_text, second_text, written_money
from usage_tracker.stores.postgres.templates import TEMPLATES_AT_MOST, split_cost, split_usage
from usage_tracker.stores.rollups import Rollups
from usage_tracker.stores.values import cost_parts, cost_template, encode_json, facts, json_text, storable

PRICE = Dimension("usage_price", "price_key", ("source", "version", "lines"))
SHAPE = Dimension("usage_shape", "shape_key", ("template",))

OWN_COLUMNS = (
    "event_id", "started_at", *COUNTS, "duration_ms", "ttft_ms", "cost", "cost_counts", "figures", "response_id",
)  # fmt: skip
WHO_COLUMNS = ("owner_key", "user_key", "tags_key", "host_key", "pid", "session_id")
SHARED_COLUMNS = (
    "kind_key", "price_key", "shape_key", "http_status", "attempts", "estimated", "status", "reported_cost",
    "error_type", "cost_flags", "units", "awaits", "completes", "batch",
)  # fmt: skip
EVENT_COLUMNS = OWN_COLUMNS + WHO_COLUMNS + SHARED_COLUMNS
"""What is each event's own, what it shares with all of the same origin, and with all that are alike."""


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
            written_money(found.cost), cost_counts, figures, event.response_id and storable(event.response_id),
            *who_columns(origin, who),
            kind_key, price_key, shape_key, event.http_status, event.attempts, usage.estimated, storable(event.status),
            written_money(found.reported_cost), event.error_type and storable(event.error_type),
            written_array(priced.cost.flags) if priced.cost.flags else None,
            None if usage.units is None else json_text(usage.units),
            event.awaits and storable(event.awaits), event.completes and storable(event.completes), batch,
        )  # fmt: skip


def who_columns(origin: Origin, who: WhoKeys) -> tuple[object, ...]:
    session = origin.session_id and storable(origin.session_id)
    return who.owner, who.user, who.tags, who.host, origin.pid, session


class Shared(NamedTuple):
    """What calls that are alike have in common."""

    kind_key: int
    price_key: int | None
    shape_key: int | None
    bill: str | None
    usage: str | None
    """JSON with %s for each figure, where it has no key and each call keeps it whole."""


def shared_by(priced: PricedCalls, keys: Keys) -> Shared:
    """Not to be kept where `keys` has unknown ones afterwards."""
    calls, price_key, shape_key, bill = priced.calls, None, None, None
    if priced.amounts is not None:
        lines = cost_template(priced.units, priced.prices)
        price_key = template_key(keys[PRICE], (priced.source, priced.version, lines))
        if price_key is None:
            price_key, bill = keys[PRICE][priced.source, priced.version, None], lines
    if calls.template is not None:
        shape_key = template_key(keys[SHAPE], (calls.template,))
    return Shared(keys[KIND][kind_of(calls)], price_key, shape_key, bill, calls.template if shape_key is None else None)


def written_figures(template: str | None, rows: Sequence[tuple[int, ...]]) -> list[str]:
    """What goes into each place of a template, with commas between; of a template that has no key, all of it."""
    if template is not None:
        return [template % row for row in rows]
    return encode_lines(rows)[1:-2].decode().split("]\n[")


def alike_rows(
    priced: PricedCalls,
    shared: Shared,
    whos: Mapping[int, WhoKeys],
    rollups: Rollups,
    batch: int | None,
    written: dict[int, msgspec.Raw],
) -> Iterator[Row]:
    """The rows of calls that are alike, while `rollups` counts them. What they share is written once: in `written`, by
    its id(), what those of an origin do."""
    calls, size = priced.calls, len(priced.calls.event_ids)
    event, nothing = calls.event, [None] * size
    those = [whos[id(origin)] for origin in calls.origins]
    rollups.add_alike(priced, shared.kind_key, those)
    for origin, who in zip(calls.origins, those, strict=True):
        if id(origin) not in written:
            written[id(origin)] = as_line(who_columns(origin, who))
    rest = as_line((
        shared.kind_key, shared.price_key, shared.shape_key, event.http_status, event.attempts, False,
        storable(event.status), None, event.error_type and storable(event.error_type),
        written_array(priced.flags) if priced.flags else None, None, None, None, batch,
    ))  # fmt: skip
    return zip(
        [f"{number:032x}" for number in calls.event_ids],
        [
            f"{second_text(started_at // 1_000_000_000)}.{started_at // 1000 % 1_000_000:06}Z"
            for started_at in calls.started_at
        ],
        *[column or nothing for column in calls.counts],
        calls.duration_ms, calls.ttft_ms,
        nothing if priced.amounts is None else [f"{amount}e-12" for amount in priced.amounts],
        nothing if priced.amounts is None else written_figures(shared.bill, priced.counts),
        nothing if calls.template is None else written_figures(shared.usage, calls.figures),
        calls.response_ids,
        [written[id(origin)] for origin in calls.origins],
        [rest] * size,
        strict=True,
    )  # fmt: skip


def as_line(values: Row) -> msgspec.Raw:
    """Some columns as they are written."""
    return msgspec.Raw(encode_json(values)[1:-1])


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
