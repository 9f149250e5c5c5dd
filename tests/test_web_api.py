"""The HTTP interface for programs: what it refuses, what it stores, and what it never answers, which is a 5xx."""

import asyncio
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from dashboard_server import ADMIN, VIEWER, WRITER, Served, dashboard, filled
from dashboard_story import story
from hypothesis import HealthCheck, settings
from made_events import NOON, made_event, store_events
from postgres_server import PostgresServer
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from usage_tracker.dsn import parse_dsn
from usage_tracker.event import UNTIMED
from usage_tracker.report import Query, Report, Row
from usage_tracker.report.sums import NOTHING
from usage_tracker.stores import open_store
from usage_tracker.web import api, metrics, reading
from usage_tracker.web.metrics import Admitted, written
from usage_tracker.web.openapi import document
from usage_tracker.web.posting import Outcome, Posted, Writer

NOW = datetime.now(UTC)
schema = schemathesis.openapi.from_dict({**document(), "servers": [{"url": "/"}]})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    dsn = filled(tmp_path_factory.mktemp("api") / "usage.db", list(story(NOW, days=20, calls_a_day=10)))
    with dashboard(dsn, edit=True) as running:
        yield running


@pytest.fixture
def client(running: Served) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


def posted(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": str(uuid4()),
        "started_at": datetime.now(UTC).isoformat(),
        "duration_ms": 812.5,
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "input_tokens": 1000,
        "output_tokens": 100,
        **fields,
    }


@schema.parametrize()
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_no_request_that_the_document_describes_is_answered_by_a_server_error(case: Any, running: Served) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    answer = case.call(base_url=running.url, headers=headers)
    checks = [not_a_server_error, status_code_conformance, content_type_conformance]
    case.validate_response(answer, checks=checks, headers=headers)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/api/v1/report?bye=model", "bye"),
        ("/api/v1/report?top=0", "top"),
        ("/api/v1/report?top=1&top=2", "top"),
        ("/api/v1/report?by=hour&since=0001-01-01", "by"),
        ("/api/v1/report?since=9999-12-31", "since"),
        ("/api/v1/report?since=%00", "since"),
        ("/api/v1/report?where=model", "where"),
        (f"/api/v1/report?where={'&where='.join(['app=web'] * 201)}", "where"),
        (f"/api/v1/events?where={'&where='.join(['app!=a*'] * 2000)}", "where"),
        ("/api/v1/report?compare=previous&since=all", "compare"),
        ("/api/v1/events?limit=1000000", "limit"),
        (f"/api/v1/events?limit={'1000000':0>26}", "limit"),
        (f"/user/daily/activity?start_date=2026-08-01&end_date=2026-08-02&timezone={'9' * 30:0>50}", "timezone"),
        ("/user/daily/activity?start_date=2026-08-02&end_date=2026-08-01", "start_date"),
        ("/spend/logs?start_date=yesterday", "start_date"),
    ],
)
def test_a_wrong_request_is_a_problem_that_names_its_parameter(client: httpx.Client, path: str, parameter: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["parameter"] == parameter
    assert problem["status"] == 400
    assert problem["detail"]


@pytest.mark.parametrize("days", ["start_date=9999-12-31", "end_date=9999-12-31", "end_date=0001-01-01"])
def test_days_at_the_ends_of_the_calendar_are_days(client: httpx.Client, days: str) -> None:
    for path in ("/spend/tags", "/spend/logs"):
        found = client.get(f"{path}?{days}")
        assert (found.status_code, bool(found.json())) == (200, days == "end_date=9999-12-31")


def test_what_is_not_there_is_a_problem_too(client: httpx.Client) -> None:
    for path in ("/api/v1/events/no-such-call", "/api/v1/dimensions/colour/values", "/api/v2/report"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.delete("/api/v1/report").status_code == 405


def test_while_a_long_answer_is_written_others_are_answered(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def long(*_: object) -> str:
        writing.set()
        return "written" if go_on.wait(30) else "nobody was answered"

    monkeypatch.setattr(api, "as_json", long)
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(client.get, "/api/v1/report?since=all")
        assert writing.wait(30)
        assert client.get("/api/v1/dimensions").status_code == 200
        go_on.set()
        assert asked.result().text == "written"


def test_the_values_of_a_dimension_can_be_searched(client: httpx.Client) -> None:
    found = client.get("/api/v1/dimensions/model/values", params={"since": "all", "matching": "CLAUDE"}).json()
    assert found["values"]
    assert all("claude" in value for value in found["values"])
    assert "model" in client.get("/api/v1/dimensions").json()["dimensions"]


def test_the_most_expensive_values_are_told_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_READ", 50)
    monkeypatch.setattr(api, "MOST_VALUES", 20)
    calls = [made_event(datetime.now(UTC), user_id=f"u-{number}", cost=f"{number}") for number in range(60)]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        told = client.get("/api/v1/dimensions/user/values").json()
        few = client.get("/api/v1/dimensions/user/values", params={"where": "user=u-1?"}).json()
    assert (told["values"], told["more"]) == ([f"u-{number}" for number in range(59, 39, -1)], True)
    assert (len(few["values"]), few["more"]) == (10, False)


def test_an_event_that_is_posted_is_priced_and_told_as_any_other(running: Served) -> None:
    event = posted(project="from-go", tags=["tier:pro"], api_key="sk-secret-of-a-user-0001")
    with running.client(WRITER) as writer, running.client() as client:
        assert writer.post("/api/v1/events", json=event).json() == {"stored": 1, "known": 0}
        found = client.get(f"/api/v1/events/{event['event_id']}").json()["event"]
        assert found["project"] == "from-go"
        assert found["tags"] == ["tier:pro"]
        assert float(found["cost"]) == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)
        assert "secret" not in json.dumps(found)


def test_what_is_empty_in_a_posted_event_is_unknown(running: Served) -> None:
    blank = dict.fromkeys(("model", "service_tier", "response_id", "error_type", "project", "user_id", "base_host"), "")
    event = posted(**{**blank, "request_model": " gpt-4o "})
    with running.client(ADMIN) as admin:
        assert admin.post("/api/v1/events", json=event).status_code == 200
        found = admin.get(f"/api/v1/events/{event['event_id']}").json()["event"]
    assert {name: found[name] for name in blank} == dict.fromkeys(blank)
    assert (found["request_model"], found["cost"]) == ("gpt-4o", "0.0035")


def test_a_report_that_no_store_could_read_at_once_is_a_problem_that_names_its_range(tmp_path: Path) -> None:
    events = [made_event(NOON.replace(year=year)) for year in range(2027, 2300)]
    asked = "by=day&since=all&until=9998-01-01&tz=Europe/Berlin"
    with dashboard(filled(tmp_path / "usage.db", events)) as running, running.client() as client:
        answer = client.get(f"/api/v1/report?{asked}")
        assert (answer.status_code, answer.json()["parameter"]) == (400, "since")
        for page in ("/", "/explore"):
            assert client.get(f"{page}?{asked}").status_code == 400


def test_an_event_is_stored_once_however_often_it_is_sent(tmp_path: Path) -> None:
    events = [posted() for _ in range(5)]
    with dashboard(filled(tmp_path / "usage.db", [])) as running, running.client(WRITER) as writer:
        assert writer.post("/api/v1/events", json=events).json() == {"stored": 5, "known": 0}
        assert writer.post("/api/v1/events", json=events[:2]).json() == {"stored": 0, "known": 2}
        more = [*events, posted()]
        assert writer.post("/api/v1/events", json=[*more, more[-1]]).json() == {"stored": 1, "known": 6}
        with running.client() as client:
            assert client.get("/api/v1/report").json()["total"]["calls"] == 6


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_servers_that_are_sent_the_same_events_at_once_store_them_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db" if kind == "sqlite" else request.getfixturevalue("empty_postgres_dsn")
    address = parse_dsn(dsn)
    sent = [
        Posted(event_id=uuid4(), started_at=datetime.now(UTC), duration_ms=1.0, operation="chat", input_tokens=place)
        for place in range(30)
    ]
    stored: list[int] = []
    writers = [Writer(address, None, "key") for _ in range(4)]

    def send(writer: Writer, first: int) -> None:
        stored.extend(writer.write(sent[start % 30 : start % 30 + 10]).stored for start in range(first, first + 20, 5))

    threads = [threading.Thread(target=send, args=(writer, place * 5)) for place, writer in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    store = open_store(address)
    [(count, different)] = list(
        store.select(f"SELECT count(*), count(DISTINCT event_id) FROM {store.dialect.prefix}events")
    )
    store.close()
    assert count == different == sum(stored) == 30


def test_while_events_wait_to_be_stored_others_are_answered(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def blocked(*_: object) -> Outcome:
        return Outcome(int(go_on.wait(60)), 0)

    monkeypatch.setattr(Writer, "_write", blocked)
    with ThreadPoolExecutor(40) as others, running.client(ADMIN) as admin:
        sent = [others.submit(admin.post, "/api/v1/events", json=posted()) for _ in range(40)]
        time.sleep(1)  # they have arrived
        try:
            assert admin.get("/api/v1/report", timeout=20).status_code == 200
        finally:
            go_on.set()
        assert [each.result().json()["stored"] for each in sent] == [1] * 40


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 422, "not one event or a list"),
        (b"[]", 422, "length >= 1"),
        (json.dumps(posted(event_id="x")).encode(), 422, "event_id"),
        (json.dumps(posted(colour="red")).encode(), 422, "unknown field"),
        (json.dumps(posted(input_tokens=-1)).encode(), 422, ">= 0"),
        (json.dumps(posted(reported_cost="1e999999999")).encode(), 422, "reported_cost"),
        (json.dumps(posted(reported_cost="NaN")).encode(), 422, "reported_cost"),
        (json.dumps(posted(started_at="2026-08-01T12:00:00")).encode(), 422, "timezone"),
        (json.dumps(posted(started_at="1970-01-01T00:00:07Z")).encode(), 422, "from 2000 to 2099"),
        (json.dumps(posted(started_at="9999-12-31T23:59:59Z")).encode(), 422, "from 2000 to 2099"),
        (b" " * (5 << 20), 413, "larger than"),
    ],
)
def test_a_body_that_can_not_be_stored_is_refused_in_a_sentence(
    running: Served, body: bytes, status: int, sentence: str
) -> None:
    with running.client(WRITER) as writer:
        answer = writer.post("/api/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/v1/events", "/login", "/logout"])
def test_who_leaves_in_the_middle_of_a_body_is_no_error(running: Served, path: str) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [(b"authorization", f"Bearer {WRITER}".encode()), (b"content-type", b"application/json")],
    }  # fmt: skip
    asyncio.run(running.app(scope, receive, send))
    assert sent[0]["status"] == 499


def test_a_stated_cost_is_kept_to_the_picodollar_however_it_is_written(running: Served) -> None:
    costs = {"2.5e-1": "0.25", "0.0000000000014": "0.000000000001", "1e-999999999": "0"}
    with running.client(ADMIN) as admin:
        for written, kept in costs.items():
            event = posted(reported_cost=written)
            assert admin.post("/api/v1/events", json=event).status_code == 200
            assert admin.get(f"/api/v1/events/{event['event_id']}").json()["event"]["reported_cost"] == kept


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/events", "GET, HEAD, POST"),
        ("/api/v1/budgets/any", "DELETE, GET, HEAD, PUT"),
        ("/budgets", "GET, HEAD, POST"),
        ("/metrics", "GET, HEAD"),
    ],
)
def test_another_method_is_told_all_that_there_are(client: httpx.Client, path: str, allowed: str) -> None:
    answer = client.patch(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_reading_and_writing_need_their_own_tokens(running: Served) -> None:
    with running.client(VIEWER) as viewer, running.client(WRITER) as writer, running.client(None) as nobody:
        assert viewer.post("/api/v1/events", json=posted()).status_code == 403
        assert writer.get("/api/v1/report").status_code == 403
        refused = nobody.get("/api/v1/report")
        assert refused.status_code == 401
        assert "Bearer" in refused.headers["www-authenticate"]


def test_metrics_are_running_totals_by_few_labels(tmp_path: Path) -> None:
    events = [
        made_event(NOW, cost="0.25", project='a"b\\c\nd', user_id="u-1", tags=("t",)),
        made_event(NOW, cost=None, flags=("unpriced",), status="error"),
        made_event(NOW - timedelta(days=400), cost="0.5"),
    ]
    with dashboard(filled(tmp_path / "usage.db", events)) as running, running.client() as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    series = 'usage_tracker_{}{{provider="openai",model="gpt-4o",operation="chat"}} {}'
    lines = answer.text.splitlines()
    for name, value in (
        ("calls_total", "3.0"),
        ("errors_total", "1.0"),
        ("unpriced_calls_total", "1.0"),
        ("cost_usd_total", "0.75"),
    ):
        assert series.format(name, value) in lines
    assert r'usage_tracker_project_calls_total{app="tests",project="a\"b\\c\nd",team=""} 1.0' in lines
    assert "usage_tracker_store_up 1.0" in lines
    assert "u-1" not in answer.text
    sample = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)*\})? [0-9.e+-]+')
    for line in lines:
        assert line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line), line


def test_metrics_have_a_bounded_number_of_lines_and_no_counter_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_LABEL_SETS", 3)
    monkeypatch.setattr(metrics, "SECONDS", 0.0)
    dsn = filled(tmp_path / "usage.db", [made_event(NOW, model=f"m-{place}", cost="1") for place in range(5)])
    with dashboard(dsn) as running, running.client() as client:
        before = counters(client.get("/metrics").text)
        store = open_store(parse_dsn(dsn))
        store_events(store, [made_event(NOW, model=f"m-{place}", cost="50") for place in range(3, 9)])
        store.close()
        after = counters(client.get("/metrics").text)
    assert len(before) == len(after) == 4
    assert sum(after.values()) == 11
    assert all(after[name] >= value for name, value in before.items())


def test_no_counter_falls_by_the_last_digits_of_a_sum() -> None:
    chance, admitted, took, before = random.Random(1), Admitted(), 0.0, 0.0
    for calls in range(1, 300):
        took += chance.choice([0.0, chance.random() * 3000])
        sums = NOTHING._replace(calls=calls, duration_ms=took)
        rows = (Row.of(("openai", "gpt-4o", "chat"), sums),)
        report = Report(Query(), rows, rows[0], ())
        [now] = counters("".join(written({"": report}, admitted)), "duration_seconds_total").values()
        assert before <= now == pytest.approx(took / 1000)
        before = now


def test_the_time_that_calls_took_is_that_of_those_whose_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SECONDS", 0.0)
    untimed = [made_event(NOW, duration_ms=UNTIMED) for _ in range(9)]
    dsn = filled(tmp_path / "usage.db", [made_event(NOW, duration_ms=60_000.0), *untimed])
    with dashboard(dsn) as running, running.client() as client:
        before = client.get("/metrics").text
        store = open_store(parse_dsn(dsn))
        store_events(store, [made_event(NOW, duration_ms=2000.0)])
        store.close()
        after = client.get("/metrics").text
        day = {"start_date": f"{NOW:%Y-%m-%d}", "end_date": f"{NOW:%Y-%m-%d}"}
        told = client.get("/user/daily/activity", params=day).json()["metadata"]
    for text, seconds, timed in ((before, 60.0, 1.0), (after, 62.0, 2.0)):
        assert list(counters(text, "duration_seconds_total").values()) == [seconds]
        assert list(counters(text, "timed_calls_total").values()) == [timed]
    assert (told["total_response_time_ms"], told["total_timed_requests"]) == (62_000, 2)


def counters(text: str, family: str = "calls_total") -> dict[str, float]:
    return {
        name: float(value)
        for name, value in re.findall(rf"^usage_tracker_{family}\{{(.*)\}} (.*)$", text, re.MULTILINE)
    }


def test_where_the_database_is_away_it_says_so_and_comes_back(own_postgres: PostgresServer) -> None:
    with dashboard(own_postgres.dsn(own_postgres.create(migrated=True))) as running, running.client() as client:
        assert client.get("/").status_code == 200
        own_postgres.stop()
        page = client.get("/?since=3d")
        assert page.status_code == 503
        assert "The store is away" in page.text
        assert 'data-retry="5"' in page.text
        problem = client.get("/api/v1/report?since=4d")
        assert problem.status_code == 503
        assert problem.headers["retry-after"] == "5"
        assert "usage_tracker_store_up 0.0" in client.get("/metrics").text
        own_postgres.start()
        assert client.get("/?since=3d").status_code == 200
