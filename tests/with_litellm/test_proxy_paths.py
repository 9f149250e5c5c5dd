"""The LiteLLM proxy's addresses for spend, held against the proxy's own types."""

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from dashboard_server import dashboard, filled
from litellm.models.spend_logs import LiteLLM_SpendLogs
from litellm.types.proxy.management_endpoints.common_daily_activity import (
    BreakdownMetrics,
    MetricWithMetadata,
    SpendAnalyticsPaginatedResponse,
    SpendMetrics,
)
from made_events import made_event, random_events

from usage_tracker.event import PricedEvent

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic's, of types of theirs
    from litellm.proxy.management_endpoints.common_daily_activity import update_breakdown_metrics

DAYS = {"start_date": "2026-01-01", "end_date": "2026-12-31"}


@pytest.fixture(scope="module")
def events() -> list[PricedEvent]:
    return random_events(3, 250)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, events: list[PricedEvent]) -> Any:
    with (
        dashboard(filled(tmp_path_factory.mktemp("proxy") / "usage.db", events)) as running,
        running.client() as client,
    ):
        yield client


def in_range(event: PricedEvent) -> bool:
    return datetime.fromtimestamp(event.event.started_at / 1e9, UTC).year == 2026


def spend(events: list[PricedEvent]) -> float:
    return float(sum(event.cost.amount or 0 for event in events))


def test_daily_activity_is_what_the_proxys_own_type_reads(client: httpx.Client, events: list[PricedEvent]) -> None:
    answer = client.get("/user/daily/activity", params={**DAYS, "page_size": 1000})
    read = SpendAnalyticsPaginatedResponse.model_validate(answer.json())
    chosen = [event for event in events if in_range(event)]
    assert read.metadata.total_api_requests == len(chosen)
    assert read.metadata.total_failed_requests == sum(event.event.status == "error" for event in chosen)
    assert read.metadata.total_spend == pytest.approx(spend(chosen))
    assert read.metadata.total_prompt_tokens == sum(event.event.usage.input_tokens or 0 for event in chosen)
    for day in read.results:
        for part in (day.breakdown.api_keys, day.breakdown.models, day.breakdown.providers):
            known = sum(entry.metrics.api_requests for entry in part.values())
            assert known <= day.metrics.api_requests
        assert sum(entry.metrics.spend for entry in day.breakdown.api_keys.values()) == pytest.approx(day.metrics.spend)
        for model in day.breakdown.models.values():
            keys = model.api_key_breakdown.values()
            assert sum(entry.metrics.api_requests for entry in keys) == model.metrics.api_requests


def test_what_a_day_is_made_of_has_what_the_proxy_has_where_something_is_unknown(tmp_path: Path) -> None:
    at, key = datetime(2026, 8, 15, 3, tzinfo=UTC), "k…1234"
    told: list[dict[str, Any]] = [
        {"provider": "azure", "model": "gpt-4o-2024", "request_model": "gpt-4o"},
        {"provider": None, "model": "gpt-4o", "request_model": None},
        {"provider": "unknown", "model": None, "request_model": "gpt-4o"},
        {"provider": "azure", "model": None, "request_model": None},
    ]
    dsn = filled(tmp_path / "usage.db", [made_event(at, api_key=key, **fields) for fields in told])
    with dashboard(dsn) as running, running.client() as client:
        day = {"start_date": "2026-08-15", "end_date": "2026-08-15"}
        answer = client.get("/user/daily/activity", params=day)
    ours = SpendAnalyticsPaginatedResponse.model_validate(answer.json()).results[0].breakdown
    theirs = BreakdownMetrics()
    for fields in told:
        record: Any = SimpleNamespace(
            **dict.fromkeys(SpendMetrics.model_fields, 0),
            api_key=key,
            model=fields["model"] or fields["request_model"],
            model_group=fields["request_model"],
            custom_llm_provider=fields["provider"],
            mcp_namespaced_tool_name=None,
            endpoint=None,
        )
        record.api_requests = 1
        update_breakdown_metrics(theirs, record, {}, {}, None)
    for name in ("models", "model_groups", "providers"):
        assert calls_of(getattr(ours, name)) == calls_of(getattr(theirs, name))


def calls_of(part: dict[str, MetricWithMetadata]) -> dict[str, Any]:
    return {
        name: (
            entry.metrics.api_requests,
            {key: at.metrics.api_requests for key, at in entry.api_key_breakdown.items()},
        )
        for name, entry in part.items()
    }


@pytest.mark.parametrize("size", [1, 7])
def test_totals_are_those_of_all_pages_on_each_of_them(client: httpx.Client, size: int) -> None:
    whole = SpendAnalyticsPaginatedResponse.model_validate(
        client.get("/user/daily/activity", params={**DAYS, "page_size": 1000}).json()
    )
    days = []
    page, more = 1, True
    while more:
        answer = client.get("/user/daily/activity", params={**DAYS, "page": page, "page_size": size})
        read = SpendAnalyticsPaginatedResponse.model_validate(answer.json())
        assert read.metadata.total_spend == whole.metadata.total_spend
        days += read.results
        page, more = page + 1, read.metadata.has_more
    assert [day.date for day in days] == [day.date for day in whole.results]
    assert len({day.date for day in days}) == len(days), "no day is on two pages"
    assert sum(day.metrics.spend for day in days) == pytest.approx(whole.metadata.total_spend)


def test_a_day_is_the_callers_own_where_they_say_their_time_zone(tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime(2026, 8, 15, 3, tzinfo=UTC))])
    with dashboard(dsn) as running, running.client() as client:
        day = {"start_date": "2026-08-14", "end_date": "2026-08-14"}
        assert client.get("/user/daily/activity", params=day).json()["results"] == []
        [found] = client.get("/user/daily/activity", params={**day, "timezone": 480}).json()["results"]
        assert found["date"] == "2026-08-14"


def test_spend_by_tag_has_each_tag_once(client: httpx.Client, events: list[PricedEvent]) -> None:
    found = client.get("/spend/tags").json()
    assert {row["individual_request_tag"] for row in found} == {tag for event in events for tag in event.origin.tags}
    for row in found:
        assert row.keys() == {"individual_request_tag", "log_count", "total_spend"}
        tagged = [event for event in events if row["individual_request_tag"] in event.origin.tags]
        assert row["log_count"] == len(tagged)
        assert row["total_spend"] == pytest.approx(spend(tagged))


def test_the_spend_report_has_each_team_of_each_day(client: httpx.Client, events: list[PricedEvent]) -> None:
    """The shape is the SELECT's of `get_spend_by_team` in litellm's spend_tracking_utils.py."""
    days = client.get("/global/spend/report", params=DAYS).json()
    teams = [team for day in days for team in day["teams"]]
    assert {team["team_name"] for team in teams} == {"core", "Unassigned Team"}
    assert all(
        part.keys() == {"model", "api_key", "spend", "total_tokens"} for team in teams for part in team["metadata"]
    )
    chosen = [event for event in events if in_range(event)]
    assert sum(team["total_spend"] for team in teams) == pytest.approx(spend(chosen))
    customers = client.get("/global/spend/report", params={**DAYS, "group_by": "customer"}).json()
    assert sum(entry["total_spend"] for day in customers for entry in day["customers"]) == pytest.approx(spend(chosen))
    keys = client.get("/global/spend/report", params={**DAYS, "group_by": "api_key"}).json()
    assert sum(key["total_cost"] for key in keys) == pytest.approx(spend(chosen))
    assert client.get("/global/spend/report").status_code == 400


def test_the_log_is_what_the_proxys_own_type_reads(client: httpx.Client, events: list[PricedEvent]) -> None:
    rows = client.get("/spend/logs", params={**DAYS, "summarize": "false"}).json()
    assert len(rows) == sum(in_range(event) for event in events)
    for row in rows:
        # the type reads JSON columns as the database has them, as text
        as_text = {name: json.dumps(row[name]) for name in ("metadata", "request_tags")}
        read = LiteLLM_SpendLogs.model_validate({**row, **as_text})
        assert read.total_tokens == (read.prompt_tokens or 0) + (read.completion_tokens or 0)
    assert sum(row["spend"] for row in rows) == pytest.approx(spend([event for event in events if in_range(event)]))
    one = client.get("/spend/logs", params={"request_id": rows[0]["request_id"]}).json()
    assert one == [rows[0]]
    keyless = next(row["request_id"] for row in rows if not row["api_key"])
    for key, found in (("unattributed", 1), ("another", 0)):
        assert len(client.get("/spend/logs", params={"request_id": keyless, "api_key": key}).json()) == found


def test_the_summary_of_the_log_has_every_day_to_the_end(client: httpx.Client, events: list[PricedEvent]) -> None:
    days = client.get("/spend/logs", params=DAYS).json()
    assert days[-1]["startTime"] == "2026-12-31"
    assert [day["startTime"] for day in days] == sorted({day["startTime"] for day in days})
    for day in days:
        assert {"startTime", "spend", "users", "models"} <= day.keys()
        assert sum(day["users"].values()) == pytest.approx(day["spend"])
        assert sum(day["models"].values()) == pytest.approx(day["spend"])
    assert sum(day["spend"] for day in days) == pytest.approx(spend([event for event in events if in_range(event)]))
