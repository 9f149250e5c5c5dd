"""What docs/dashboard.md says to type works as it stands there, and the dashboards for Grafana ask what can be
answered."""

import json
import os
import re
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from dashboard_server import ADMIN, TOKENS, dashboard, filled, served
from dashboard_story import story
from made_events import NOON, made_event, store_events

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store
from usage_tracker.web.metrics import COUNTERS, FAMILIES

DOCS = Path(__file__).parent.parent / "docs"
GUIDE = (DOCS / "dashboard.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"console", "python", "sh"}


def test_every_request_is_answered(tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", list(story(datetime.now(UTC), days=40, calls_a_day=8)))
    answers = []
    with dashboard(dsn, edit=True) as running:
        environment = {**os.environ, "TOKEN": ADMIN, "URL": running.url, "no_proxy": "127.0.0.1"}
        for kind, text in BLOCKS:
            if kind == "sh":
                script = text.replace("curl -sS", "curl -sS --fail-with-body")
                done = subprocess.run(
                    ["sh", "-eu", "-c", script], check=False, env=environment, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
                answers.append(done.stdout)
        with running.client() as client:
            posted = client.get("/api/v1/events/0199f0c2-7a3e-7c55-8d2e-5a1b2c3d4e5f").json()["event"]
    assert '"compared_with"' in answers[0]
    assert '"removed": "frontend"' in answers[1]
    assert json.loads(answers[2]) == {"stored": 1, "known": 0}
    assert posted["project"] == "from-go"
    assert "usage_tracker_calls_total{" in answers[3]
    assert '"total_spend"' in answers[4]


def test_the_app_that_it_mounts_shows_the_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DSN", filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))]))
    (text,) = [text for kind, text in BLOCKS if kind == "python"]
    found: dict[str, Any] = {}
    exec(compile(text, "dashboard.md", "exec"), found)
    with served(found["app"]) as running, running.client(None) as client:
        assert "gpt-4o" in client.get("/usage/").text
    [mounted] = found["app"].routes
    mounted.app.state.site.reader.close()  # an app tells none that it has mounted of its end


def test_every_token_is_explained() -> None:
    described = re.findall(r"^\| `TRACKER_SERVE_(\w+)_TOKEN`", GUIDE, re.MULTILINE)
    assert {name.lower() for name in described} == set(TOKENS)


def queries(name: str, key: str) -> list[str]:
    board = json.loads((DOCS / "grafana" / name).read_text())
    return [target[key] for panel in board["panels"] for target in panel["targets"]]


def test_grafanas_dashboard_for_prometheus_asks_for_metrics_that_there_are() -> None:
    known = {f"usage_tracker_{prefix}{counter.name}" for prefix in FAMILIES for counter in COUNTERS}
    known |= {"usage_tracker_store_up", "usage_tracker_price_data_age_days"}
    asked = {name for query in queries("prometheus.json", "expr") for name in re.findall(r"usage_tracker_\w+", query)}
    assert asked <= known
    assert len(asked) > 6


def test_grafanas_dashboard_for_postgres_asks_what_the_views_have(postgres_dsn: str) -> None:
    store = open_store(parse_dsn(postgres_dsn))
    store_events(store, [made_event(datetime.now(UTC))])
    now = datetime.now(UTC)
    first, last = ((now + timedelta(days=days)).isoformat() for days in (-30, 1))
    for query in queries("postgres.json", "rawSql"):
        # as Grafana writes them: https://grafana.com/docs/grafana/latest/datasources/postgres/#macros
        text = query.replace("$__timeFrom()", f"'{first}'").replace("$__timeTo()", f"'{last}'")
        text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN '{first}' AND '{last}'", text)
        rows = list(store.select(text))
        assert rows, query
        assert rows[0][-1] is not None, query
    store.close()


def test_grafanas_days_begin_where_the_stores_do_whatever_the_servers_time_zone(postgres_dsn: str) -> None:
    store = open_store(parse_dsn(postgres_dsn))
    store_events(store, [made_event(NOON)])
    store.close()
    with closing(psycopg2.connect(postgres_dsn, options="-c TimeZone=Pacific/Auckland")) as connection:
        cursor = connection.cursor()
        by_day = [query for query in queries("postgres.json", "rawSql") if "AS time" in query and "daily" in query]
        for query in by_day:
            cursor.execute(re.sub(r"\$__time(From|To)\(\)", f"'{NOON.isoformat()}'", query))
            assert [row[0] for row in cursor.fetchall()] == [NOON.replace(hour=0)], query
    assert len(by_day) == 3


def test_grafanas_bars_are_wide_enough_for_an_increase() -> None:
    """Of one sample nothing is known to have increased: a short range's bars are narrower than the time between two."""
    board = json.loads((DOCS / "grafana" / "prometheus.json").read_text())
    asking = [each for each in board["panels"] if any("[$__interval]" in target["expr"] for target in each["targets"])]
    assert {panel["interval"] for panel in asking} == {"5m"}
