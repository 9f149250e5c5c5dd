"""Questions that take long: they end when nobody waits, hold up no other, and say why."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from dashboard_server import VIEWER, Served, dashboard, filled
from made_events import NOON, made_event
from msgspec.structs import replace

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.report import Query, Report, parse_condition, reads_every_event, run
from usage_tracker.stores import Store, open_store
from usage_tracker.web import health, reading
from usage_tracker.web.litellm_paths import asked
from usage_tracker.web.reading import Reader, TooLong

ENDLESS = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgres": "SELECT pg_sleep(600)",
}


def endless(store: Store) -> None:
    list(store.select(ENDLESS[store.dialect.name]))


def test_a_request_that_reads_is_ended_from_another_thread_and_the_next_one_is_not(dsn: str) -> None:
    store = open_store(parse_dsn(dsn))
    ended = []

    def read() -> None:
        try:
            endless(store)
        except StoreUnavailable as error:
            ended.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    while thread.is_alive():
        store.interrupt()
        thread.join(0.1)
    store.interrupt()
    assert len(ended) == 1
    assert list(store.select("SELECT 1")) == [(1,)]
    store.close()


def test_what_takes_too_long_is_given_up_and_its_thread_is_free_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.3)
    reader = Reader(parse_dsn(dsn), threads=1)

    async def visit() -> None:
        for _ in range(2):
            with pytest.raises(TooLong):
                await reader.do(endless)
        monkeypatch.setattr(reading, "ANSWER_SECONDS", 30.0)
        assert await reader.do(lambda store: list(store.select("SELECT 1"))) == [(1,)]

    asyncio.run(visit())
    reader.close()


def test_it_is_given_up_when_the_last_who_waits_has_gone(dsn: str) -> None:
    reader = Reader(parse_dsn(dsn), threads=1)

    async def visit() -> None:
        viewers = [asyncio.ensure_future(reader.shared("endless", endless)) for _ in range(2)]
        await asyncio.sleep(0.2)
        viewers[0].cancel()
        await asyncio.sleep(0.2)
        assert not viewers[1].done(), "the other one still waits"
        viewers[1].cancel()
        assert await reader.do(lambda store: list(store.select("SELECT 1"))) == [(1,)]

    asyncio.run(visit())
    reader.close()


def test_questions_without_rollups_hold_up_no_others(dsn: str) -> None:
    reader = Reader(parse_dsn(dsn), threads=1)

    async def visit() -> None:
        slow = [asyncio.ensure_future(reader.do(endless, slow=True)) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert await reader.do(lambda store: list(store.select("SELECT 1"))) == [(1,)]
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(visit())
    reader.close()


def test_who_looks_for_a_call_that_can_be_anywhere_holds_up_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the provider's name of an answer, which no index has."""
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 5.0)
    monkeypatch.setattr(reading, "find_anywhere", lambda store, _: endless(store))
    event_id = UUID("01992a3e-7a3e-7c55-8d2e-5a1b2c3d4e5f")
    made = datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)
    dsn = filled(tmp_path / "usage.db", [replace(made_event(made), event_id=event_id)])

    async def visit(url: str) -> list[list[int]]:
        headers = {"Authorization": f"Bearer {VIEWER}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
            named = ["/events/answer-1", "/api/v1/events/answer-1", "/spend/logs?request_id=answer-1"] * 3
            looking = [asyncio.ensure_future(client.get(path)) for path in named]
            await asyncio.sleep(0.2)
            found = [await client.get(f"{path}/{event_id}") for path in ("/events", "/api/v1/events")]
            assert not any(each.done() for each in looking)
            return [[answer.status_code for answer in answers] for answers in (found, await asyncio.gather(*looking))]

    with dashboard(dsn) as running:
        assert asyncio.run(visit(running.url)) == [[200] * 2, [503] * 9]


def test_a_spend_report_of_many_days_holds_up_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the LiteLLM proxy's, which has a question of its own for each day."""
    begun, going_on = threading.Event(), threading.Event()

    def held(store: Store, query: Query) -> Report:
        if len(query.by) == 3:
            begun.set()
            assert going_on.wait(60)
        return run(store, query)

    monkeypatch.setattr(reading, "run", held)
    calls = [made_event(NOON + timedelta(days=day)) for day in range(20)]
    days = {"start_date": "2026-08-15", "end_date": "2026-09-03"}
    with (
        dashboard(filled(tmp_path / "usage.db", calls)) as running,
        running.client() as client,
        ThreadPoolExecutor(1) as threads,
    ):
        report = threads.submit(client.get, "/global/spend/report", params=days)
        assert begun.wait(60)
        other = client.get("/api/v1/report?by=model&since=2026-08")
        going_on.set()
        assert (other.status_code, report.result().status_code) == (200, 200)
        assert [day["group_by_day"][:10] for day in report.result().json()][:2] == ["2026-08-15", "2026-08-16"]


@pytest.mark.parametrize(
    "path",
    ["/user/daily/activity", "/spend/tags", "/global/spend/report", "/spend/logs", "/spend/logs?summarize=false"],
)
def test_while_a_long_answer_in_the_proxys_shape_is_written_others_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def long(_: object) -> str:
        writing.set()
        return "[]" if go_on.wait(30) else "nobody was answered"

    monkeypatch.setattr(asked, "written", long)
    days = {"start_date": "2026-08-15", "end_date": "2026-08-15"}
    with (
        dashboard(filled(tmp_path / "usage.db", [made_event()])) as running,
        running.client() as client,
        ThreadPoolExecutor(1) as threads,
    ):
        answer = threads.submit(client.get, httpx.URL(path).copy_merge_params(days))
        assert writing.wait(30)
        assert client.get("/api/v1/dimensions").status_code == 200
        go_on.set()
        assert answer.result().json() == []


def test_which_questions_have_no_rollup() -> None:
    def slow(by: str, *where: str) -> bool:
        return reads_every_event(Query(by=tuple(by.split(",")), where=tuple(map(parse_condition, where))))

    assert slow("session")
    assert slow("host")
    assert slow("user,tag")
    assert slow("model", "session=s-1")
    assert not slow("day,model,project")
    assert not slow("user", "team=core")
    assert not slow("tag:tier")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Served]:
    with dashboard(filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])) as running:
        yield running


def never(store: Store, query: Query) -> None:
    endless(store)


def test_a_page_and_a_program_are_told_why(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with running.client() as client:
        assert client.get("/explore").status_code == 200, "what else it shows is read, which takes a moment"
        monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.2)
        monkeypatch.setattr(reading, "run", never)
        page = client.get("/explore?by=session&since=all")
        problem = client.get("/api/v1/report?by=session&since=all")
    assert (page.status_code, problem.status_code) == (503, 503)
    assert "This takes too long" in page.text
    assert "each call has to be read" in page.text
    assert problem.headers["content-type"] == "application/problem+json"
    assert "each call has to be read" in problem.json()["detail"]


def test_health_is_told_though_there_are_too_many_calls_to_say_who_made_them(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(health, "read_reporting", lambda store, _: endless(store))
    with running.client() as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    assert "The newest call" in answer.text
    assert "takes too long" in answer.text


def test_more_rows_than_anybody_can_look_at_are_refused(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_READ", 0)
    with running.client() as client:
        page, problem = client.get("/explore?by=day,user"), client.get("/api/v1/report?by=day,user")
    assert (page.status_code, problem.status_code) == (400, 400)
    assert "more than 0 rows" in page.text
    assert problem.json()["parameter"] == "by"


def test_who_goes_away_leaves_no_question_behind(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def noted(store: Store, query: Query) -> None:
        begun.set()
        try:
            endless(store)
        finally:
            ended.set()

    monkeypatch.setattr(reading, "run", noted)
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 100.0)
    with closing(HTTPConnection(running.url.removeprefix("http://"))) as viewer:
        viewer.request("GET", "/explore?by=session", headers={"Authorization": f"Bearer {VIEWER}"})
        assert begun.wait(60)
    assert ended.wait(30), "long before it would have been given up"
