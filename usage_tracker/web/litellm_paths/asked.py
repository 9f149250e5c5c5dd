"""What the proxy's addresses take, and the answer in its form."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, timedelta, tzinfo
from typing import Any

from starlette.responses import Response

from usage_tracker.conditions import exactly
from usage_tracker.report import Condition, Range
from usage_tracker.web.parameters import Parameter, Refused, day, one_of, switch, whole
from usage_tracker.zones import midnight

UNATTRIBUTED = "unattributed"
"""The proxy's name of calls without a key."""
UNKNOWN_PROVIDER = "unknown"
NO_TEAM = "Unassigned Team"
MOST_DAYS = 3660

DAY = {"type": "string", "format": "date"}
START = Parameter("start_date", "The first day, as 2026-08-01.", day, DAY)
END = Parameter("end_date", "The last day, included.", day, DAY)
MODEL = Parameter("model", "Only this model.")
API_KEY = Parameter("api_key", f"Only this key's fingerprint, or `{UNATTRIBUTED}`.")
USER = Parameter("user_id", "Only this user.")
PAGE = whole("page", "Which page.", 1, 100_000, default=1)
PAGE_SIZE = whole("page_size", "Days of a page.", 1, 1000, default=50)
TIMEZONE = whole(
    "timezone",
    "Minutes from local time to UTC, as JavaScript's getTimezoneOffset() says it: 480 for Los Angeles in winter.",
    -840,
    840,
)
CURRENT_DAY = switch("include_current_utc_day", "Without effect: days are the caller's own.")
GROUP_BY = one_of("group_by", "team, customer or api_key.", ("team", "customer", "api_key"), default="team")
INTERNAL_USER = Parameter("internal_user_id", "The keys and models of this user.")
TEAM = Parameter("team_id", "Only this team.")
CUSTOMER = Parameter("customer_id", "Only this user.")
REQUEST = Parameter("request_id", "The provider's id of the answer, or ours of the call.")
SUMMARIZE = switch("summarize", "With both days: sums by day; false: the calls one by one.", default=True)

DAILY_ACTIVITY = (START, END, MODEL, API_KEY, USER, PAGE, PAGE_SIZE, TIMEZONE, CURRENT_DAY)
SPEND_TAGS = (START, END)
SPEND_REPORT = (START, END, GROUP_BY, API_KEY, INTERNAL_USER, TEAM, CUSTOMER)
SPEND_LOGS = (API_KEY, USER, REQUEST, START, END, SUMMARIZE)


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
    start = None if first is None else midnight(within(first), UTC)
    return Range(start, midnight(within(last or LAST) + timedelta(days=1), UTC))


FIRST, LAST = date(2, 1, 1), date(9998, 12, 30)
"""What every time zone can hold."""


def within(day: date) -> date:
    return min(max(day, FIRST), LAST)


def days_between(first: date, last: date, zone: tzinfo) -> Range:
    if last < first:
        raise Refused("start_date must be on or before end_date", "start_date")
    if (last - first).days > MOST_DAYS:
        raise Refused(f"that are more than {MOST_DAYS} days", "end_date")
    if first < FIRST or last > LAST:
        raise Refused("the days are beyond the calendar", "start_date")
    return Range(midnight(first, zone), midnight(last + timedelta(days=1), zone))


async def answer(make: Callable[[], object], headers: dict[str, str] | None = None) -> Response:
    """What is made, as JSON. Both on a thread: for a month of many models and keys it takes seconds, in which others
    ask."""
    text = await asyncio.to_thread(written, make)
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store", **(headers or {})})


def written(make: Callable[[], object]) -> str:
    return json.dumps(make())
