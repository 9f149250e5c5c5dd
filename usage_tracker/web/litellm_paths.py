"""The LiteLLM proxy's addresses for spend, so that scripts and dashboards that were made for it find their figures
here: https://docs.litellm.ai/docs/proxy/cost_tracking. Shapes are those of litellm 1.106.

What the proxy calls a customer or an end user, and an internal user, is our user; an api_key is our fingerprint of it.
Unlike the proxy's, a page of daily activity holds whole days, and the totals beside it are those of all pages. What is
unknown is 0 here, as their types want a number.
"""

import asyncio
import json
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.report import Condition, Event, Query, Range, Report, Row, find_event, list_events, midnight
from usage_tracker.report.groups import NOTHING
from usage_tracker.stores import Store
from usage_tracker.web.parameters import Parameter, Refused, day, one_of, read_parameters, switch, whole
from usage_tracker.web.reading import Reader
from usage_tracker.web.site import site_of
from usage_tracker.web.view import exactly

UNATTRIBUTED = "unattributed"
"""The proxy's name of calls without a key."""
NO_TEAM = "Unassigned Team"
MOST_LOGS = 10_000
MOST_DAYS = 3660

DAY = {"type": "string", "format": "date"}
START = Parameter("start_date", "The first day, as 2026-08-01.", day, DAY)
END = Parameter("end_date", "The last day, included.", day, DAY)
MODEL = Parameter("model", "Only this model.")
API_KEY = Parameter("api_key", f"Only this key's fingerprint, or `{UNATTRIBUTED}`.")
USER = Parameter("user_id", "Only this user.")
PAGE = Parameter(
    "page", "Which page.", whole(1, 100_000), {"type": "integer", "minimum": 1, "maximum": 100_000}, default=1
)
PAGE_SIZE = Parameter(
    "page_size", "Days of a page.", whole(1, 1000), {"type": "integer", "minimum": 1, "maximum": 1000}, default=50
)
TIMEZONE = Parameter(
    "timezone",
    "Minutes from local time to UTC, as JavaScript's getTimezoneOffset() says it: 480 for Los Angeles in winter.",
    whole(-840, 840),
    {"type": "integer", "minimum": -840, "maximum": 840},
)
CURRENT_DAY = Parameter(
    "include_current_utc_day",
    "Without effect: days are the caller's own.",
    switch,
    {"type": "boolean"},
)
GROUP_BY = Parameter(
    "group_by",
    "team, customer or api_key.",
    one_of(("team", "customer", "api_key")),
    {"type": "string", "enum": ["team", "customer", "api_key"]},
    default="team",
)
INTERNAL_USER = Parameter("internal_user_id", "The keys and models of this user.")
TEAM = Parameter("team_id", "Only this team.")
CUSTOMER = Parameter("customer_id", "Only this user.")
REQUEST = Parameter("request_id", "The provider's id of the answer, or ours of the call.")
SUMMARIZE = Parameter(
    "summarize", "With both days: sums by day; false: the calls one by one.", switch, {"type": "boolean"}, default=True
)

DAILY_ACTIVITY = (START, END, MODEL, API_KEY, USER, PAGE, PAGE_SIZE, TIMEZONE, CURRENT_DAY)
SPEND_TAGS = (START, END)
SPEND_REPORT = (START, END, GROUP_BY, API_KEY, INTERNAL_USER, TEAM, CUSTOMER)
SPEND_LOGS = (API_KEY, USER, REQUEST, START, END, SUMMARIZE)


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
    for name, dimension in (("models", "model"), ("model_groups", "request_model"), ("providers", "provider")):
        answered = await reader.ask(Query(*asked, ("day", dimension, "api_key"), where, zone))
        for row in answered.rows:
            place, key = row.group[1], str(row.group[2] or UNATTRIBUTED)
            if place is not None and row.group[0] in found:
                entry = found[row.group[0]][name].setdefault(
                    place, {"metrics": metrics(None), "metadata": {}, "api_key_breakdown": {}}
                )
                add(entry["metrics"], metrics(row))
                entry["api_key_breakdown"][key] = {"metrics": metrics(row), "metadata": {}}
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
        "total_response_time_ms": round((row.mean_duration_ms or 0) * row.calls),
        "timed_requests": row.calls,
    }


def add(sums: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        sums[name] += value


async def spend_tags(request: Request) -> Response:
    """Spend by tag. A call with several tags counts under each."""
    values = read_parameters(SPEND_TAGS, request.query_params.multi_items())
    found = await site_of(request).reader.ask(Query(*some_days(values), ("tag",)))
    return answer(
        [
            {"individual_request_tag": row.group[0], "log_count": row.calls, "total_spend": float(row.cost or 0)}
            for row in found.rows
            if row.group[0] is not None
        ]
    )


async def spend_report(request: Request) -> Response:
    """Spend by day and team or customer, or by key, each with what it is made of."""
    values = read_parameters(SPEND_REPORT, request.query_params.multi_items())
    if values["start_date"] is None or values["end_date"] is None:
        raise Refused("please provide start_date and end_date", "start_date")
    asked, reader = both_days(values, UTC), site_of(request).reader
    where = conditions(
        values, {"api_key": "api_key", "internal_user_id": "user", "team_id": "team", "customer_id": "user"}
    )
    if values["api_key"] or values["internal_user_id"] or values["group_by"] == "api_key":
        return answer(by_key(await reader.ask(Query(*asked, ("api_key", "model"), where))))
    if values["team_id"] and values["customer_id"]:
        entry = {"team_name": values["team_id"], "customer": values["customer_id"]}
        days = await each_day(reader, asked, where, ("model", "api_key"))
        return answer([{"group_by_day": start, "teams": [group_entry(entry, found.rows, 0)]} for start, found in days])
    by_team = values["group_by"] == "team"
    dimension, name, plural = ("team", "team_name", "teams") if by_team else ("user", "customer", "customers")
    days = await each_day(reader, asked, where, (dimension, "model", "api_key"))
    return answer([{"group_by_day": start, plural: group_entries(found, name)} for start, found in days])


async def each_day(
    reader: Reader, asked: Range, where: tuple[Condition, ...], by: tuple[str, ...]
) -> list[tuple[str, Report]]:
    """A report for each day that has calls: four dimensions at once are more than one report has."""
    days = await reader.ask(Query(*asked, ("day",), where))
    starts = [midnight(row.group[0], UTC) for row in days.rows if row.calls and isinstance(row.group[0], date)]
    found = await asyncio.gather(*(reader.ask(Query(start, start + timedelta(days=1), by, where)) for start in starts))
    return [(start.isoformat(), report) for start, report in zip(starts, found, strict=True)]


def group_entries(report: Report, name: str) -> list[dict[str, Any]]:
    """An entry for each value of the report's first dimension."""
    groups: dict[Any, list[Row]] = {}
    for row in report.rows:
        groups.setdefault(row.group[0], []).append(row)
    missing = NO_TEAM if name == "team_name" else None
    return [group_entry({name: missing if value is None else value}, rows, 1) for value, rows in groups.items()]


def group_entry(named: dict[str, Any], rows: Iterable[Row], place: int) -> dict[str, Any]:
    """What one team or customer spent, by model and key; these stand in the group from `place` on."""
    parts = [
        {
            "model": row.group[place] or "",
            "api_key": row.group[place + 1] or "",
            "spend": float(row.cost or 0),
            "total_tokens": (row.input_tokens or 0) + (row.output_tokens or 0),
        }
        for row in rows
    ]
    total = sum((row.cost or Decimal(0) for row in rows), Decimal(0))
    return {**named, "total_spend": float(total), "metadata": parts}


def by_key(report: Report) -> list[dict[str, Any]]:
    """Each key with its models, the most expensive first."""
    keys: dict[Any, list[Row]] = {}
    for row in report.rows:
        keys.setdefault(row.group[0], []).append(row)
    return [
        {
            "api_key": key or "",
            "total_cost": float(sum((row.cost or Decimal(0) for row in rows), Decimal(0))),
            "total_input_tokens": sum(row.input_tokens or 0 for row in rows),
            "total_output_tokens": sum(row.output_tokens or 0 for row in rows),
            "model_details": [
                {
                    "model": row.group[1] or "",
                    "total_cost": float(row.cost or 0),
                    "total_input_tokens": row.input_tokens or 0,
                    "total_output_tokens": row.output_tokens or 0,
                }
                for row in rows
            ],
        }
        for key, rows in keys.items()
    ]


async def spend_logs(request: Request) -> Response:
    """With both days, sums by day; otherwise, or with summarize=false, the calls, the newest first."""
    values = read_parameters(SPEND_LOGS, request.query_params.multi_items())
    where = conditions(values, {"api_key": "api_key", "user_id": "user"})
    reader = site_of(request).reader
    if values["request_id"] is not None:
        found = await reader.do(lambda store: find_event(store, values["request_id"]))
        return answer([log_of(found)] if found and meets(found, values) else [])
    dated = values["start_date"] is not None and values["end_date"] is not None
    asked = both_days(values, UTC) if dated else some_days(values)
    if dated and values["summarize"]:
        return answer(await summaries(reader, asked, where))

    def read(store: Store) -> list[dict[str, Any]]:
        with closing(list_events(store, *asked, where, MOST_LOGS)) as events:
            return [log_of(event) for event in events]

    logs = await reader.do(read, slow=True)
    headers = {"x-litellm-spend-logs-truncated": "true"} if len(logs) == MOST_LOGS else {}
    return answer(logs, headers)


async def summaries(reader: Reader, asked: Range, where: tuple[Condition, ...]) -> list[dict[str, Any]]:
    """Spend of each day, by key, user and model; days without calls after the last one that has some, as the proxy has
    them."""
    days, keys, users, models = await asyncio.gather(
        *(reader.ask(Query(*asked, ("day", *by), where)) for by in ((), ("api_key",), ("user",), ("model",)))
    )
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
    return all(values[name] in (None, event[name]) for name in ("api_key", "user_id"))


def conditions(values: dict[str, Any], names: dict[str, str]) -> tuple[Condition, ...]:
    """Conditions of parameters, by the dimensions that they are about."""
    found = []
    for name, dimension in names.items():
        value = values.get(name)
        if value is not None:
            missing = (dimension, value) in {("api_key", UNATTRIBUTED), ("team", NO_TEAM)}
            found.append(exactly(dimension, None if missing else value))
    return tuple(found)


def both_days(values: dict[str, Any], zone: tzinfo) -> Range:
    """Raises Refused where a day is missing, or they are in the wrong order or too far apart."""
    first, last = values["start_date"], values["end_date"]
    if first is None or last is None:
        raise Refused("please provide start_date and end_date", "start_date")
    return days_between(first, last, zone)


def some_days(values: dict[str, Any]) -> Range:
    """As `both_days`; without one, the range is open there."""
    first, last = values["start_date"], values["end_date"]
    if first is not None and last is not None:
        return days_between(first, last, UTC)
    start = None if first is None else midnight(max(first, FIRST), UTC)
    return Range(start, midnight(min(last or LAST, LAST) + timedelta(days=1), UTC))


FIRST, LAST = date(2, 1, 1), date(9998, 12, 30)
"""What every time zone can hold."""


def days_between(first: date, last: date, zone: tzinfo) -> Range:
    if last < first:
        raise Refused("start_date must be on or before end_date", "start_date")
    if (last - first).days > MOST_DAYS:
        raise Refused(f"that are more than {MOST_DAYS} days", "end_date")
    if first < FIRST or last > LAST:
        raise Refused("the days are beyond the calendar", "start_date")
    return Range(midnight(first, zone), midnight(last + timedelta(days=1), zone))


def answer(body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(
        json.dumps(body), media_type="application/json", headers={"Cache-Control": "no-store", **(headers or {})}
    )
