"""`/spend/logs`: the calls one by one, or summed by day."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.report import Event, Query, Range, Report, list_events
from usage_tracker.stores import Store
from usage_tracker.web.litellm_paths.asked import SPEND_LOGS, UNATTRIBUTED, answer, both_days, conditions, some_days
from usage_tracker.web.parameters import read_parameters
from usage_tracker.web.site import site_of

MOST_LOGS = 10_000
SUMMED_BY = ((), ("api_key",), ("user",), ("model",))
"""The dimensions of a day's sums."""


async def spend_logs(request: Request) -> Response:
    """With both days, sums by day; otherwise, or with summarize=false, the calls, the newest first."""
    values = read_parameters(request, *SPEND_LOGS)
    where = conditions(values, {"api_key": "api_key", "user_id": "user"})
    reader = site_of(request).reader
    if values["request_id"] is not None:
        event = await reader.of_event(values["request_id"], lambda _, event: event)
        return await answer(lambda: [log_of(event)] if event and meets(event, values) else [])
    dated = values["start_date"] is not None and values["end_date"] is not None
    asked = both_days(values, UTC) if dated else some_days(values)
    if dated and values["summarize"]:
        found = await asyncio.gather(*(reader.ask(Query(*asked, ("day", *by), where)) for by in SUMMED_BY))
        return await answer(lambda: summed(asked, *found))

    def read(store: Store) -> list[dict[str, Any]]:
        with closing(list_events(store, *asked, where, MOST_LOGS)) as events:
            return [log_of(event) for event in events]

    logs = await reader.do(read, slow=True)
    headers = {"x-litellm-spend-logs-truncated": "true"} if len(logs) == MOST_LOGS else {}
    return await answer(lambda: logs, headers)


def summed(asked: Range, days: Report, keys: Report, users: Report, models: Report) -> list[dict[str, Any]]:
    """Spend of each day, by key, user and model; days without calls after the last one that has some, as the proxy has
    them."""
    found: dict[Any, dict[str, Any]] = {}
    for row in days.rows:
        if row.calls:
            at = str(row.group[0])
            found[row.group[0]] = {"startTime": at, "spend": float(row.cost or 0), "users": {}, "models": {}}
    for report, place in ((users, "users"), (models, "models")):
        for row in report.rows:
            if row.group[0] in found:
                found[row.group[0]][place][row.group[1] or ""] = float(row.cost or 0)
    for row in keys.rows:
        if row.group[0] in found and row.group[1]:
            found[row.group[0]][str(row.group[1])] = float(row.cost or 0)
    listed = [found[at] for at in sorted(found)]
    if listed:
        last = max(found)
        missing = ((asked.until - timedelta(days=1)).date() - last).days
        listed += [
            {"startTime": str(last + timedelta(days=ahead)), "spend": 0, "users": {}, "models": {}}
            for ahead in range(1, missing + 1)
        ]
    return listed


def log_of(event: Event) -> dict[str, Any]:
    """A call as a row of the proxy's log; it holds no message."""
    started: datetime = event["started_at"]
    tokens = (event["input_tokens"] or 0) + (event["output_tokens"] or 0)
    first = None if event["ttft_ms"] is None else started + timedelta(milliseconds=event["ttft_ms"])
    return {
        "request_id": event["response_id"] or event["event_id"],
        "call_type": event["operation"],
        "api_key": event["api_key"] or "",
        "spend": float(event["cost"] or 0),
        "total_tokens": tokens,
        "prompt_tokens": event["input_tokens"] or 0,
        "completion_tokens": event["output_tokens"] or 0,
        "startTime": stamp(started),
        "endTime": stamp(started + timedelta(milliseconds=event["duration_ms"] or 0)),
        "request_duration_ms": round(event["duration_ms"] or 0),
        "completionStartTime": first and stamp(first),
        "model": event["model"] or event["request_model"] or "",
        "model_id": "",
        "model_group": event["request_model"] or "",
        "custom_llm_provider": event["provider"] or "",
        "api_base": event["base_host"] or "",
        "user": event["user_id"] or "",
        "metadata": {"usage_tracker_event_id": event["event_id"], "project": event["project"], "app": event["app"]},
        "cache_hit": str("cached" in event["cost_flags"]),
        "cache_key": "",
        "request_tags": event["tags"] or [],
        "team_id": event["team"],
        "organization_id": None,
        "end_user": event["user_id"] or "",
        "requester_ip_address": None,
        "messages": {},
        "response": {},
        "session_id": event["session_id"],
        "status": "failure" if event["status"] == "error" else "success",
        "proxy_server_request": {},
    }


def stamp(moment: datetime) -> str:
    """As the proxy writes times: milliseconds, UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def meets(event: Event, values: dict[str, Any]) -> bool:
    key, user = event["api_key"] or UNATTRIBUTED, event["user_id"]
    return values["api_key"] in (None, key) and values["user_id"] in (None, user)
