"""One call: how its cost is made up, whose it is, how long it took."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

from usage_tracker.cli.event import lines_of, notes_on, show_price
from usage_tracker.cli.figures import UNKNOWN, show_count, show_duration
from usage_tracker.conditions import exactly
from usage_tracker.plain_values import exact, plain
from usage_tracker.report import Event, find_original
from usage_tracker.stores import Store
from usage_tracker.web.overview import words
from usage_tracker.web.view import View

WHOSE = {
    "app": "app",
    "project": "project",
    "team": "team",
    "user_id": "user",
    "session_id": "session",
    "api_key": "api_key",
    "host": "host",
}
"""Columns of who made a call, and the dimensions that find more of theirs."""
WHAT = {
    "provider": "Provider",
    "sdk": "SDK",
    "operation": "Operation",
    "request_model": "Asked for",
    "model": "Model",
    "service_tier": "Tier",
    "base_host": "Host asked",
    "response_id": "Answer",
    "attempts": "Attempts",
}
TOKENS = {
    "input_tokens": "Input",
    "cache_read_tokens": "of it cached",
    "cache_write_tokens": "of it written to the cache",
    "input_audio_tokens": "of it audio",
    "input_image_tokens": "of it images",
    "tool_tokens": "of it the provider's tools",
    "output_tokens": "Output",
    "reasoning_tokens": "of it reasoning",
    "output_audio_tokens": "of it audio",
    "output_image_tokens": "of it images",
}


class Fact(NamedTuple):
    name: str
    value: str
    address: str | None = None


class Bill(NamedTuple):
    unit: str
    number: str
    price: str
    cost: str


class EventPage(NamedTuple):
    heading: str
    sub: str
    status: str
    bill: list[Bill]
    total: str
    notes: list[str]
    what: list[Fact]
    whose: list[Fact]
    tokens: list[Fact]
    took: str
    first_chunk: str
    first_share: float
    """Of the whole time, in percent."""
    raw: str


def make_page(store: Store, event: Event, view: View, events: str) -> EventPage:
    """All of the call, in the time zone of the view. `events`: the path of the list of calls. Raises StoreError."""
    original = find_original(store, event)
    lines = lines_of(event)
    whose = [more(event, column, dimension, view, events) for column, dimension in WHOSE.items() if event[column]]
    whose += [Fact("Tag", tag, address(view, events, "tag", tag)) for tag in event["tags"] or ()]
    duration, first = event["duration_ms"], event["ttft_ms"]
    return EventPage(
        heading=event["model"] or event["request_model"] or event["operation"],
        sub=f"{event['started_at'].astimezone(view.zone):%Y-%m-%d %H:%M:%S %Z} · {event['event_id']}",
        status=" ".join(str(event[key]) for key in ("status", "error_type", "http_status") if event[key]),
        bill=[
            Bill(line.unit, f"{line.count:,f}", show_price(line.unit, line.price), f"${exact(line.cost)}")
            for line in lines
        ],
        total=UNKNOWN if event["cost"] is None else f"${exact(event['cost'])}",
        notes=notes_on(event, original),
        what=[Fact(title, str(event[key])) for key, title in WHAT.items() if event[key]],
        whose=whose,
        tokens=[Fact(title, show_count(event[key])) for key, title in TOKENS.items() if event[key] is not None],
        took=show_duration(duration),
        first_chunk="" if first is None else show_duration(first),
        first_share=min(100.0, first / duration * 100) if first and duration else 0.0,
        raw="" if event["usage"] is None else json.dumps(plain_json(event["usage"]), indent=2, ensure_ascii=False),
    )


def more(event: Event, column: str, dimension: str, view: View, events: str) -> Fact:
    return Fact(words(dimension), event[column], address(view, events, dimension, event[column]))


def address(view: View, events: str, dimension: str, value: str) -> str:
    """The calls that share the value."""
    return replace(view, since="all", where=(exactly(dimension, value),)).address(events)


def plain_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain_json(each) for each in value]
    return plain(value)
