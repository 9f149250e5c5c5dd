"""`/spend/tags` and `/global/spend/report`: spend by tag, team, customer or key."""

from collections.abc import Iterable
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.report import Condition, Query, Range, Report, Row
from usage_tracker.report.sums import GroupValue
from usage_tracker.web.litellm_paths.asked import (
    NO_TEAM,
    SPEND_REPORT,
    SPEND_TAGS,
    answer,
    both_days,
    conditions,
    some_days,
)
from usage_tracker.web.parameters import read_parameters
from usage_tracker.web.reading import Reader
from usage_tracker.web.site import site_of
from usage_tracker.zones import midnight


async def spend_tags(request: Request) -> Response:
    """Spend by tag. A call with several tags counts under each."""
    values = read_parameters(request, *SPEND_TAGS)
    found = await site_of(request).reader.ask(Query(*some_days(values), ("tag",)))
    return await answer(
        lambda: [
            {"individual_request_tag": row.group[0], "log_count": row.calls, "total_spend": float(row.cost or 0)}
            for row in found.rows
            if row.group[0] is not None
        ]
    )


async def spend_report(request: Request) -> Response:
    """Spend by day and team or customer, or by key, each with what it is made of."""
    values = read_parameters(request, *SPEND_REPORT)
    asked, reader = both_days(values, UTC), site_of(request).reader
    where = conditions(
        values, {"api_key": "api_key", "internal_user_id": "user", "team_id": "team", "customer_id": "user"}
    )
    if values["api_key"] or values["internal_user_id"] or values["group_by"] == "api_key":
        keys = await reader.ask(Query(*asked, ("api_key", "model"), where))
        return await answer(lambda: by_key(keys))
    if values["team_id"] and values["customer_id"]:
        entry = {"team_name": values["team_id"], "customer": values["customer_id"]}
        days = await each_day(reader, asked, where, ("model", "api_key"))
        return await answer(
            lambda: [{"group_by_day": start, "teams": [group_entry(entry, found.rows, 0)]} for start, found in days]
        )
    by_team = values["group_by"] == "team"
    dimension, name, plural = ("team", "team_name", "teams") if by_team else ("user", "customer", "customers")
    days = await each_day(reader, asked, where, (dimension, "model", "api_key"))
    return await answer(lambda: [{"group_by_day": start, plural: group_entries(found, name)} for start, found in days])


async def each_day(
    reader: Reader, asked: Range, where: tuple[Condition, ...], by: tuple[str, ...]
) -> list[tuple[str, Report]]:
    """A report for each day that has calls: four dimensions at once are more than one report has. One after the other,
    so that others are answered in between, and none waits for its turn longer than an answer may take."""
    days = await reader.ask(Query(*asked, ("day",), where))
    starts = [midnight(row.group[0], UTC) for row in days.rows if row.calls and isinstance(row.group[0], date)]
    return [
        (start.isoformat(), await reader.ask(Query(start, start + timedelta(days=1), by, where))) for start in starts
    ]


def group_entries(report: Report, name: str) -> list[dict[str, Any]]:
    """An entry for each value of the report's first dimension."""
    missing = NO_TEAM if name == "team_name" else None
    return [
        group_entry({name: missing if value is None else value}, rows, 1) for value, rows in by_first(report).items()
    ]


def by_first(report: Report) -> dict[GroupValue, list[Row]]:
    """The rows of each value of the report's first dimension."""
    found: dict[GroupValue, list[Row]] = {}
    for row in report.rows:
        found.setdefault(row.group[0], []).append(row)
    return found


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
        for key, rows in by_first(report).items()
    ]
