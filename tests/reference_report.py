"""What a report must say, computed the slow way: one event after the other, out of the view `events`."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import ceil
from typing import Any

import pytest

from usage_tracker.report import OTHERS, UNITS, Condition, Query, Report
from usage_tracker.stores import Store

Event = dict[str, Any]
Groups = dict[tuple[Any, ...], list[Event]]
PERCENTILES = ("p50_duration_ms", "p95_duration_ms", "p50_ttft_ms", "p95_ttft_ms")
NAMES = {"user": "user_id", "session": "session_id"}
COLUMNS = (
    "started_at, status, estimated, duration_ms, ttft_ms, cost, reported_cost, cost_flags, tags, "
    "provider, request_model, model, operation, sdk, service_tier, "
    "app, project, team, user_id, session_id, api_key, host, "
    "input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, awaits, completes"
)


def read_view(store: Store) -> list[Event]:
    """All events of the view, in one form for both stores."""
    names = COLUMNS.split(", ")
    rows = store.select(f"SELECT {COLUMNS} FROM {store.dialect.prefix}events")
    return [tidy(dict(zip(names, row, strict=True))) for row in rows]


def tidy(event: Event) -> Event:
    for name in ("cost", "reported_cost"):
        if isinstance(event[name], float):
            event[name] = Decimal(repr(event[name])).quantize(Decimal("1e-12"))
    for name in ("cost_flags", "tags"):
        if isinstance(event[name], str):
            event[name] = json.loads(event[name])
    if isinstance(event["started_at"], str):
        event["started_at"] = datetime.fromisoformat(event["started_at"])
    return event


def values(event: Event, dimension: str, query: Query) -> list[Any]:
    """What the event counts under."""
    local = event["started_at"].astimezone(query.tz)
    day = local.date()
    offset = local.utcoffset()
    assert offset is not None
    match dimension:
        case "hour":
            return [local.replace(minute=0, second=0, microsecond=0, tzinfo=timezone(offset), fold=0)]
        case "day":
            return [day]
        case "week":
            return [day - timedelta(days=day.weekday())]
        case "month":
            return [day.replace(day=1)]
        case "tag":
            return list(dict.fromkeys(event["tags"])) or [None]
        case "flag":
            return list(dict.fromkeys(event["cost_flags"])) or [None]
        case _ if dimension.startswith("tag:"):
            prefix = dimension.removeprefix("tag:") + ":"
            own = [tag.removeprefix(prefix) for tag in event["tags"] if tag.startswith(prefix)]
            return list(dict.fromkeys(own)) or [None]
        case "model":
            return [event["request_model"] if event["model"] is None else event["model"]]
        case _:
            return [event[NAMES.get(dimension, dimension)]]


def meets(event: Event, condition: Condition, query: Query) -> bool:
    found = values(event, condition.dimension, query)
    if condition.pattern is None:
        return (found == [None]) == condition.equal
    tokens = re.findall(r"\\.|.", condition.pattern, re.DOTALL)
    regex = "".join({"*": ".*", "?": "."}.get(token, re.escape(token[-1])) for token in tokens)
    matches = [value is not None and re.fullmatch(regex, value, re.DOTALL) is not None for value in found]
    return any(matches) == condition.equal


def chosen(events: Iterable[Event], query: Query) -> list[Event]:
    """Those that the query counts."""
    return [
        event
        for event in events
        if (query.since is None or event["started_at"] >= query.since)
        and (query.until is None or event["started_at"] < query.until)
        and all(meets(event, condition, query) for condition in query.where)
    ]


def expected_groups(events: Iterable[Event], query: Query) -> Groups:
    groups: Groups = {}
    for event in events:
        groups_of: list[tuple[Any, ...]] = [()]
        for dimension in query.by:
            groups_of = [(*group, value) for group in groups_of for value in values(event, dimension, query)]
        for group in groups_of:
            groups.setdefault(group, []).append(event)
    return groups


def with_others(groups: Groups, query: Query) -> Groups:
    """The groups of the most expensive values, time apart, and the rest as Others; of one other value, that one."""
    assert query.top is not None

    def named(group: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(value for name, value in zip(query.by, group, strict=True) if name not in UNITS)

    of_values: Groups = {}
    for group, events in groups.items():
        of_values.setdefault(named(group), []).extend(events)

    def place(values: tuple[Any, ...]) -> Any:
        cost = sum((event["cost"] or Decimal(0) for event in of_values[values]), Decimal(0))
        calls = sum(event["completes"] is None for event in of_values[values])
        return -cost, -calls, [(value is None, value or "") for value in values]

    ranked = sorted(of_values, key=place)
    top = ranked if len(ranked) == query.top + 1 else ranked[: query.top]
    found: Groups = {}
    for group, events in groups.items():
        kept = named(group) in top
        values = (value if kept or name in UNITS else OTHERS for name, value in zip(query.by, group, strict=True))
        found.setdefault(tuple(values), []).extend(events)
    return found


def expected_figures(events: list[Event]) -> dict[str, Any]:
    def known(name: str) -> list[Any]:
        return [event[name] for event in events if event[name] is not None]

    calls = [event for event in events if event["completes"] is None]
    counted = [event for event in events if event["input_tokens"] is not None or event["output_tokens"] is not None]

    def tokens(name: str, said: list[Any]) -> int | None:
        return sum(known(name)) if said or not events else None

    durations = [event["duration_ms"] for event in calls if event["duration_ms"] is not None]
    first_chunks = [event["ttft_ms"] for event in calls if event["ttft_ms"] is not None]
    return {
        "calls": len(calls),
        "errors": sum(event["status"] == "error" for event in calls),
        "counted": sum(event["completes"] is None for event in counted),
        "awaited": sum(event["awaits"] is not None for event in calls),
        "estimated": sum(bool(event["estimated"]) for event in events),
        "unpriced": sum("unpriced" in event["cost_flags"] for event in events),
        "input_tokens": tokens("input_tokens", known("input_tokens")),
        "cache_read_tokens": tokens("cache_read_tokens", known("cache_read_tokens")),
        "cache_write_tokens": tokens("cache_write_tokens", known("cache_write_tokens")),
        "output_tokens": tokens("output_tokens", known("output_tokens")),
        "reasoning_tokens": tokens("reasoning_tokens", known("reasoning_tokens")),
        "cost": sum(known("cost"), Decimal(0)) if known("cost") or not events else None,
        "reported_cost": sum(known("reported_cost"), Decimal(0)) if known("reported_cost") else None,
        **dict.fromkeys(PERCENTILES),
        "timed": len(durations),
        "mean_duration_ms": approx(sum(durations) / len(durations)) if durations else None,
        "mean_ttft_ms": approx(sum(first_chunks) / len(first_chunks)) if first_chunks else None,
    }


def expected_percentiles(events: list[Event]) -> dict[str, Any]:
    """By the nearest rank. A sketch knows them to 2 %, three digits, and no better than a millisecond."""
    found = {}
    for name in ("duration_ms", "ttft_ms"):
        known = sorted(event[name] for event in events if event["completes"] is None and event[name] is not None)
        for percent in (50, 95):
            exact = max(1, known[ceil(len(known) * percent / 100) - 1]) if known else None
            found[f"p{percent}_{name}"] = exact and pytest.approx(exact, rel=0.025)
    return found


def approx(value: float) -> Any:
    """Postgres keeps an event's durations with 24 bits; such of a minute and more may have been taken from a sum."""
    return pytest.approx(value, rel=1e-5, abs=0.05)


def check(report: Report, events: list[Event]) -> None:
    """Hold a report against all events of its store."""
    query = report.query
    counted = chosen(events, query)
    groups = expected_groups(counted, query)
    expected = {group: expected_figures(found) for group, found in groups.items()}
    total = expected_figures(counted)
    if query.percentiles:
        for group, found in groups.items():
            expected[group] |= expected_percentiles(found)
        total |= expected_percentiles(counted)
    assert {row.group: figures(row) for row in report.rows} == expected
    assert figures(report.total) == total


def figures(row: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "group"}
