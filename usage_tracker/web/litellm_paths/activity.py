"""`/user/daily/activity`: unlike the proxy's, a page holds whole days, and the totals beside it are those of all
pages."""

from datetime import UTC, date, timedelta, timezone, tzinfo
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.report import Condition, Query, Range, Report, Row
from usage_tracker.report.sums import NOTHING
from usage_tracker.web.litellm_paths.asked import (
    DAILY_ACTIVITY,
    UNATTRIBUTED,
    UNKNOWN_PROVIDER,
    answer,
    both_days,
    conditions,
)
from usage_tracker.web.parameters import read_parameters
from usage_tracker.web.reading import Reader
from usage_tracker.web.site import site_of
from usage_tracker.zones import midnight


async def daily_activity(request: Request) -> Response:
    """Spend by day, the newest first, with its models, providers and keys."""
    values = read_parameters(request, *DAILY_ACTIVITY)
    zone: tzinfo = UTC if values["timezone"] is None else timezone(timedelta(minutes=-values["timezone"]))
    asked, where = (
        both_days(values, zone),
        conditions(values, {"model": "model", "api_key": "api_key", "user_id": "user"}),
    )
    reader = site_of(request).reader
    days = await reader.ask(Query(*asked, ("day",), where, zone))
    page, size = values["page"], values["page_size"]
    newest = sorted((row for row in days.rows if row.calls), key=lambda row: row.group, reverse=True)
    shown = newest[(page - 1) * size : page * size]
    parts = await read_parts(reader, shown, where, zone)
    total = metrics(days.total)
    metadata = {
        "total_spend": total["spend"],
        "total_prompt_tokens": total["prompt_tokens"],
        "total_completion_tokens": total["completion_tokens"],
        "total_tokens": total["total_tokens"],
        "total_api_requests": total["api_requests"],
        "total_successful_requests": total["successful_requests"],
        "total_failed_requests": total["failed_requests"],
        "total_cache_read_input_tokens": total["cache_read_input_tokens"],
        "total_cache_creation_input_tokens": total["cache_creation_input_tokens"],
        "total_response_time_ms": total["total_response_time_ms"],
        "total_timed_requests": total["timed_requests"],
        "page": page,
        "total_pages": -(-len(newest) // size),
        "has_more": page * size < len(newest),
    }
    return await answer(lambda: {"results": results(shown, parts), "metadata": metadata})


class Part(NamedTuple):
    """What days are made of, in one respect."""

    name: str
    report: Report
    """By day, its values and keys."""
    missing: str | None = None
    """What calls without a value count under; None: under none."""


async def read_parts(reader: Reader, days: list[Row], where: tuple[Condition, ...], zone: tzinfo) -> list[Part]:
    """All that the days, the newest first, are made of."""
    if not days:
        return []
    first, last = days[-1].group[0], days[0].group[0]
    assert isinstance(first, date)
    assert isinstance(last, date)
    asked = Range(midnight(first, zone), midnight(last + timedelta(days=1), zone))
    unasked = (*where, Condition("request_model", True, None))

    async def ask(*by: str, met: tuple[Condition, ...] = where) -> Report:
        return await reader.ask(Query(*asked, ("day", *by), met, zone))

    return [
        Part("models", await ask("model", "api_key")),
        Part("model_groups", await ask("request_model", "api_key")),
        # the proxy's groups of calls of which it isn't known what they asked
        Part("model_groups", await ask("model", "api_key", met=unasked)),
        Part("providers", await ask("provider", "api_key"), UNKNOWN_PROVIDER),
        Part("api_keys", await ask("api_key"), UNATTRIBUTED),
    ]


def results(days: list[Row], parts: list[Part]) -> list[dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {row.group[0]: empty_breakdown() for row in days}
    for name, report, missing in parts:
        for row in report.rows:
            day, value, *keys = row.group
            place = value or missing
            if place is None or day not in found:
                continue
            entry = found[day][name].setdefault(str(place), {"metrics": metrics(None), "metadata": {}})
            add(entry["metrics"], metrics(row))
            for key in keys:
                of_key = {"metrics": metrics(None), "metadata": {}}
                by_key = entry.setdefault("api_key_breakdown", {})
                add(by_key.setdefault(str(key or UNATTRIBUTED), of_key)["metrics"], metrics(row))
    return [{"date": str(row.group[0]), "metrics": metrics(row), "breakdown": found[row.group[0]]} for row in days]


def empty_breakdown() -> dict[str, Any]:
    names = ("mcp_servers", "models", "model_groups", "providers", "endpoints", "api_keys", "entities")
    return {name: {} for name in names}


def metrics(row: Row | None) -> dict[str, Any]:
    """Of no row: nothing at all."""
    if row is None:
        return dict.fromkeys(metrics(Row.of((), NOTHING)), 0)
    prompt, completion = row.input_tokens or 0, row.output_tokens or 0
    return {
        "spend": float(row.cost or 0),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cache_read_input_tokens": row.cache_read_tokens or 0,
        "cache_creation_input_tokens": row.cache_write_tokens or 0,
        "total_tokens": prompt + completion,
        "successful_requests": row.calls - row.errors,
        "failed_requests": row.errors,
        "api_requests": row.calls,
        "total_response_time_ms": round((row.mean_duration_ms or 0) * row.timed),
        "timed_requests": row.timed,
    }


def add(sums: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        sums[name] += value
