"""`/user/daily/activity`: unlike the proxy's, a page holds whole days, and the totals beside it are those of all
pages."""

from datetime import UTC, date, timedelta, timezone, tzinfo
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.report import Condition, Query, Range, Row
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
    values = read_parameters(DAILY_ACTIVITY, request.query_params.multi_items())
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
    breakdown = await read_breakdown(reader, shown, where, zone)
    total = metrics(days.total)
    body = {
        "results": [
            {"date": str(row.group[0]), "metrics": metrics(row), "breakdown": breakdown[row.group[0]]} for row in shown
        ],
        "metadata": {
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
        },
    }
    return answer(body)


async def read_breakdown(
    reader: Reader, days: list[Row], where: tuple[Condition, ...], zone: tzinfo
) -> dict[Any, dict[str, Any]]:
    """What each of the days is made of."""
    found: dict[Any, dict[str, Any]] = {row.group[0]: empty_breakdown() for row in days}
    if not days:
        return found
    first, last = days[-1].group[0], days[0].group[0]
    assert isinstance(first, date)
    assert isinstance(last, date)
    asked = Range(midnight(first, zone), midnight(last + timedelta(days=1), zone))
    unasked = (*where, Condition("request_model", True, None))
    for name, dimension, met, missing in (
        ("models", "model", where, None),
        ("model_groups", "request_model", where, None),
        ("model_groups", "model", unasked, None),  # the proxy's groups of calls of which it isn't known what they asked
        ("providers", "provider", where, UNKNOWN_PROVIDER),
    ):
        answered = await reader.ask(Query(*asked, ("day", dimension, "api_key"), met, zone))
        for row in answered.rows:
            place, key = row.group[1] or missing, str(row.group[2] or UNATTRIBUTED)
            if place is not None and row.group[0] in found:
                entry = found[row.group[0]][name].setdefault(
                    place, {"metrics": metrics(None), "metadata": {}, "api_key_breakdown": {}}
                )
                add(entry["metrics"], metrics(row))
                of_key = {"metrics": metrics(None), "metadata": {}}
                add(entry["api_key_breakdown"].setdefault(key, of_key)["metrics"], metrics(row))
    keys = await reader.ask(Query(*asked, ("day", "api_key"), where, zone))
    for row in keys.rows:
        if row.group[0] in found:
            key = str(row.group[1] or UNATTRIBUTED)
            found[row.group[0]]["api_keys"][key] = {"metrics": metrics(row), "metadata": {}}
    return found


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
