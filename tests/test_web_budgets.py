"""Budgets on the dashboard: what the page shows is what `usage-tracker budget` says, and who may change what."""

import html
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from commanding import invoke
from dashboard_server import ADMIN, VIEWER, WRITER, Served, dashboard, filled
from made_events import made_event
from postgres_server import Databases

from usage_tracker.dsn import parse_dsn
from usage_tracker.spending import Question, UsedOf, answer
from usage_tracker.stores import Store, open_store
from usage_tracker.web import budget_lines, budgets_api, reading
from usage_tracker.web.access import Access, Identity

FRONTEND = {"limit": "100", "where": ["team=frontend"], "soft": ["0.8"], "on_limit": "block"}


@pytest.fixture
def dsn(tmp_path: Path) -> str:
    events = [made_event(datetime.now(UTC), team=team, cost=str(cost)) for team, cost in TEAMS]
    return filled(tmp_path / "usage.db", events)


TEAMS = (("frontend", 85), ("search", 3), ("search", 4))


@pytest.fixture
def running(dsn: str) -> Iterator[Served]:
    with dashboard(dsn, edit=True) as running:
        yield running


@pytest.fixture
def admin(running: Served) -> Iterator[httpx.Client]:
    with running.client(ADMIN) as client:
        yield client


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def form_of(client: httpx.Client, path: str = "/budgets?new=1") -> str:
    found = re.search(
        r'class="panel [^>]*>\s*(?:<h2[^<]*</h2>\s*)?<input type="hidden" name="form" value="([^"]*)"',
        client.get(path).text,
    )
    assert found is not None
    return found[1]


def printed(dsn: str, *words: str) -> Any:
    outcome = invoke("budget", *words, "--dsn", dsn, "-o", "json")
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)


def without_pace(document: Any) -> Any:
    """What is projected differs from one moment to the next."""
    moving = ("projected", "hit_at")
    return [{key: value for key, value in each.items() if key not in moving} for each in document["budgets"]]


def test_the_page_shows_what_is_spent_left_and_projected(admin: httpx.Client) -> None:
    assert admin.put("/api/v1/budgets/frontend", json=FRONTEND).json()["added"] is True
    shown = text_of(admin.get("/budgets").text)
    assert "frontend team=frontend, per month" in shown
    assert "85 % $85.00 $100.00 $15.00" in shown
    assert "over 80 %" in shown


def test_of_a_budget_that_credits_outweigh_nothing_is_used(tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC), cost="-3.5")])
    with dashboard(dsn, edit=True) as running, running.client(ADMIN) as admin:
        assert admin.put("/api/v1/budgets/credited", json={"limit": 10}).status_code == 200
        page = admin.get("/budgets").text
    assert "-$3.50 $10.00 $13.50" in text_of(page)
    assert [float(width) for width in re.findall(r'<rect class="(?:used|ahead)" width="([^"]*)%"', page)] == [0, 0]


def test_the_interface_says_what_the_command_line_says(dsn: str, admin: httpx.Client) -> None:
    admin.put("/api/v1/budgets/frontend", json=FRONTEND)
    admin.put("/api/v1/budgets/each", json={"limit": 5, "each": "team", "per": "day", "measure": "calls"})
    assert admin.get("/api/v1/budgets").json() == printed(dsn, "list")
    assert without_pace(admin.get("/api/v1/budget-status").json()) == without_pace(printed(dsn, "status"))
    assert without_pace(admin.get("/api/v1/budgets/each").json()) == without_pace(printed(dsn, "show", "each"))


def test_a_budget_that_was_read_can_be_sent_back(admin: httpx.Client) -> None:
    admin.put("/api/v1/budgets/frontend", json=FRONTEND)
    [read] = admin.get("/api/v1/budgets").json()["budgets"]
    answer = admin.put("/api/v1/budgets/frontend", json={**read, "limit": "150"})
    assert answer.json()["added"] is False
    assert answer.json()["budget"] == {**read, "limit": "150"}


def test_a_form_adds_changes_and_removes_a_budget(admin: httpx.Client) -> None:
    fields = {"form": form_of(admin), "do": "add", "name": "search", "limit": "5M tokens", "per": "day"}
    fields |= {"where": "team=search\nmodel!=none\n", "soft": "50%, 80%", "each": "", "strict": ""}
    assert admin.post("/budgets", data=fields).status_code == 303
    [budget] = admin.get("/api/v1/budgets").json()["budgets"]
    assert (budget["limit"], budget["measure"], budget["soft"]) == ("5000000", "tokens", ["0.5", "0.8"])
    assert budget["where"] == ["team=search", "model!=none"]
    page = admin.get("/budgets?edit=search").text
    assert 'name="limit" value="5000000 tokens"' in page
    assert "team=search\nmodel!=none</textarea>" in page
    changed = {**fields, "form": form_of(admin, "/budgets?edit=search"), "do": "set", "limit": "7"}
    assert admin.post("/budgets", data=changed).status_code == 303
    assert admin.get("/api/v1/budgets").json()["budgets"][0]["limit"] == "7"
    remove = {"form": form_of(admin, "/budgets?remove=search"), "do": "remove", "name": "search"}
    assert admin.post("/budgets", data=remove).status_code == 303
    assert admin.get("/api/v1/budgets").json()["budgets"] == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"limit": "much"}, "is no limit"),
        ({"limit": "-1"}, "more than 0"),
        ({"per": "fortnight"}, "is no window"),
        ({"where": "teem=x"}, "did you mean team?"),
        ({"where": "status=error"}, "can't be the scope"),
        ({"tz": "Berlin"}, "not a time zone"),
        ({"soft": "lots"}, "is no share"),
        ({"name": "a b"}, "no name for a budget"),
        ({"on_limit": "explode"}, "is one of"),
        ({"delay": "nan", "on_limit": "throttle"}, "seconds"),
        ({"limit": "5 calls", "per": "minute"}, "choose on_limit throttle or block"),
        ({"name": "frontend"}, "already"),
    ],
)
def test_a_form_that_makes_no_sense_is_shown_again_with_the_reason(
    admin: httpx.Client, fields: dict[str, str], sentence: str
) -> None:
    admin.put("/api/v1/budgets/frontend", json=FRONTEND)
    sent = {"form": form_of(admin), "do": "add", "name": "new-one", "limit": "31", "where": "team=kept", **fields}
    answer = admin.post("/budgets", data=sent)
    assert answer.status_code == 422
    assert sentence in text_of(answer.text).replace("&#39;", "'")
    if "where" not in fields:
        assert "team=kept</textarea>" in answer.text, "what was typed stays"


def test_a_form_takes_all_the_conditions_that_a_budget_may_have(admin: httpx.Client) -> None:
    where = [f"project!={'проект' * 16}-{place}" for place in range(20)]
    assert admin.put("/api/v1/budgets/most", json={"limit": 1, "where": where}).status_code == 200
    fields = {"form": form_of(admin, "/budgets?edit=most"), "do": "set", "name": "most", "limit": "2"}
    assert admin.post("/budgets", data={**fields, "where": "\n".join(where)}).status_code == 303
    [budget] = [each for each in admin.get("/api/v1/budgets").json()["budgets"] if each["name"] == "most"]
    assert (budget["limit"], budget["where"]) == ("2", where)


def test_a_form_that_names_no_budget_is_shown_again_too(admin: httpx.Client) -> None:
    answer = admin.post("/budgets", data={"form": form_of(admin), "do": "set", "limit": "31"})
    assert (answer.status_code, "no name for a budget" in answer.text) == (422, True)


def test_a_body_that_makes_no_sense_is_a_problem(admin: httpx.Client) -> None:
    soft = [{"limit": 1, "soft": ["0.8", share]} for share in ("NaN", "Infinity", "-1", "0", "1e400")]
    for body in (
        {},
        {"limit": "NaN"},
        {"limit": 0},
        {"limit": 1, "each": "colour"},
        {"limit": 1, "name": "other"},
        *soft,
    ):
        answer = admin.put("/api/v1/budgets/new", json=body)
        assert answer.status_code == 422, body
        assert answer.json()["detail"]
    assert admin.get("/api/v1/budgets/none").status_code == 404
    assert admin.delete("/api/v1/budgets/none").status_code == 404
    assert admin.put("/api/v1/budgets/a%20b", json={"limit": 1}).status_code == 404


def test_a_budget_for_each_of_nothing_is_one_for_all(admin: httpx.Client) -> None:
    assert admin.put("/api/v1/budgets/whole", json={"limit": 1, "each": ""}).json()["budget"]["each"] is None
    for path in ("/", "/budgets"):
        assert admin.get(path).status_code == 200


def test_where_budgets_can_not_be_read_no_program_is_told_that_there_are_none(tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    with closing(sqlite3.connect(tmp_path / "usage.db")) as connection:
        connection.execute("ALTER TABLE budget RENAME TO budget_of_before")
    with dashboard(dsn) as running, running.client() as client:
        assert client.get("/").status_code == 200
        for path in ("/api/v1/budgets", "/api/v1/budget-status", "/budgets"):
            assert client.get(path).status_code == 503


def test_nobody_but_an_admin_changes_anything(running: Served) -> None:
    for token in (VIEWER, WRITER):
        with running.client(token) as client:
            assert client.put("/api/v1/budgets/x", json={"limit": 1}).status_code == 403
            assert client.delete("/api/v1/budgets/x").status_code == 403
            assert client.post("/budgets", data={"do": "add", "name": "x", "limit": "1"}).status_code == 403
    with running.client(None) as client:
        assert client.put("/api/v1/budgets/x", json={"limit": 1}).status_code == 401
    with running.client(VIEWER) as client:
        page = client.get("/budgets?new=1").text
        assert "<textarea" not in page
        assert client.get("/api/v1/budgets").json()["budgets"] == []


def test_without_edit_not_even_an_admin_does(dsn: str) -> None:
    with dashboard(dsn) as running, running.client(ADMIN) as client:
        assert client.put("/api/v1/budgets/x", json={"limit": 1}).status_code == 403
        page = client.get("/budgets?new=1").text
        assert "<textarea" not in page
        assert "serve --edit" in page
        assert client.post("/budgets", data={"do": "add", "name": "x", "limit": "1"}).status_code == 403
        assert client.get("/api/v1/budgets").json()["budgets"] == []


def test_a_form_of_another_page_changes_nothing(running: Served) -> None:
    access: Access = running.app.state.site.access
    cookies = [access.new_cookie(Identity(name, "admin")) for name in ("anna", "mallory")]
    with (
        running.client(None, cookies={running.cookie: cookies[0]}) as anna,
        running.client(None, cookies={running.cookie: cookies[1]}) as mallory,
    ):
        sent = {"do": "add", "name": "x", "limit": "1"}
        own, stolen = form_of(anna), form_of(mallory)
        assert anna.post("/budgets", data=sent).status_code == 403
        assert anna.post("/budgets", data={**sent, "form": stolen}).status_code == 403
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert anna.post("/budgets", data={**sent, "form": own}, headers=elsewhere).status_code == 403
        assert anna.put("/api/v1/budgets/x", json={"limit": 1}).status_code == 403, "a session is not for programs"
        assert anna.get("/api/v1/budgets").json()["budgets"] == []
        assert anna.post("/budgets", data={**sent, "form": own}).status_code == 303


def test_who_has_changed_what_is_told(running: Served, admin: httpx.Client) -> None:
    access: Access = running.app.state.site.access
    admin.put("/api/v1/budgets/frontend", json=FRONTEND)
    with running.client(None, cookies={running.cookie: access.new_cookie(Identity("anna", "admin"))}) as anna:
        fields = {"form": form_of(anna, "/budgets?edit=frontend"), "do": "set", "name": "frontend", "limit": "150"}
        assert anna.post("/budgets", data=fields).status_code == 303
        shown = text_of(anna.get("/budgets").text)
    assert re.search(r"anna dashboard changed frontend: limit 100 → 150", shown)
    assert re.search(r"admin API added frontend: \$100.00 a month for team=frontend; refuses calls", shown)
    changes = admin.get("/api/v1/changes", params={"subject": "frontend", "limit": 1}).json()["changes"]
    assert [(change["who"], change["before"]["limit"], change["after"]["limit"]) for change in changes] == [
        ("anna", "100", "150")
    ]
    assert admin.get("/api/v1/changes", params={"kind": "prices"}).json()["changes"] == []


def test_the_overview_warns_of_budgets_that_are_or_will_be_used_up(admin: httpx.Client) -> None:
    assert 'class="warnings' not in admin.get("/").text
    admin.put("/api/v1/budgets/roomy", json={"limit": 100_000})
    admin.put("/api/v1/budgets/frontend", json=FRONTEND)
    assert 'class="warnings near"' in admin.get("/").text
    admin.put("/api/v1/budgets/search", json={"limit": 5, "where": ["team=search"], "on_limit": "block"})
    page = admin.get("/").text
    assert 'class="warnings"' in page
    shown = text_of(page)
    assert "search : $7.00 of $5.00 per month, calls are refused" in shown
    assert "roomy" not in shown


def test_of_a_budget_that_very_many_have_used_up_those_who_used_most_are_shown(tmp_path: Path) -> None:
    calls = [made_event(datetime.now(UTC), user_id=f"u-{number}", cost=f"{number + 1}") for number in range(300)]
    with dashboard(filled(tmp_path / "usage.db", calls), edit=True) as running, running.client(ADMIN) as admin:
        admin.put("/api/v1/budgets/users", json={"limit": "0.5", "each": "user"})
        page, overview = text_of(admin.get("/budgets").text), text_of(admin.get("/").text)
        assert len(admin.get("/api/v1/budget-status").json()["budgets"]) == 300
    assert re.findall(r"users (u-[0-9]+)", page) == [f"u-{number}" for number in range(299, 99, -1)]
    assert "100 more have used less" in page
    assert "users of u-299" in overview
    assert "297 more" in overview


def test_a_budget_of_too_many_parts_hides_no_page_and_no_other_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_READ", 50)
    calls = [made_event(datetime.now(UTC), user_id=f"u-{number}") for number in range(60)]
    with dashboard(filled(tmp_path / "usage.db", calls), edit=True) as running, running.client(ADMIN) as admin:
        for name, budget in {"users": {"each": "user"}, "whole": {}}.items():
            assert admin.put(f"/api/v1/budgets/{name}", json={"limit": "0.5", **budget}).status_code == 200
        for path in ("/", "/budgets"):
            page = text_of(admin.get(path).text)
            assert "Where users stands isn't shown" in html.unescape(page)
            assert "$0.60" in page
        assert len(admin.get("/api/v1/budgets").json()["budgets"]) == 2
        assert admin.get("/api/v1/budgets/whole").status_code == 200
        for path in ("/api/v1/budgets/users", "/api/v1/budget-status"):
            assert "budget status" in admin.get(path).json()["detail"]


def test_more_budgets_than_can_be_read_in_time_hide_no_page_and_none_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_lines, "STANDING_SECONDS", 0.0)
    calls = [made_event(datetime.now(UTC), cost="0.25")]
    with dashboard(filled(tmp_path / "usage.db", calls), edit=True) as running, running.client(ADMIN) as admin:
        for name in ("one", "other"):
            assert admin.put(f"/api/v1/budgets/{name}", json={"limit": 100}).status_code == 200
        for path in ("/", "/budgets"):
            page = html.unescape(text_of(admin.get(path).text))
            assert "Where 2 budgets stand isn't shown: to read that takes too long. usage-tracker budget status" in page
        assert "Not all budgets can be told" in page
        assert len(admin.get("/api/v1/budgets").json()["budgets"]) == 2
        assert [each["spent"] for each in admin.get("/api/v1/budget-status").json()["budgets"]] == ["0.25"] * 2
        assert [each["name"] for each in admin.get("/api/v1/budgets/one").json()["budgets"]] == ["one"]
        monkeypatch.setattr(budgets_api, "ANSWER_SECONDS", 0.0)
        assert "budget status" in admin.get("/api/v1/budget-status").json()["detail"]


@pytest.mark.parametrize("long", ["app", "host"])
def test_a_budget_that_takes_long_to_read_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: str
) -> None:
    """Whatever it is called. No rollup is by hosts."""
    go_on = threading.Event()

    def answer_or_wait(store: Store, question: Question) -> UsedOf:
        if question.query.by == (long,):
            go_on.wait(30)
        return answer(store, question)

    monkeypatch.setattr(budget_lines, "answer", answer_or_wait)
    monkeypatch.setattr(budget_lines, "STANDING_SECONDS", 2.0)
    calls = [made_event(datetime.now(UTC), cost="0.25")]
    with dashboard(filled(tmp_path / "usage.db", calls), edit=True) as running, running.client(ADMIN) as admin:
        for name, each in {"a-budget": long, "each-team": "team", "whole": None, "z-budget": long}.items():
            limit = 100 + len(name)
            assert admin.put(f"/api/v1/budgets/{name}", json={"limit": limit, "each": each}).status_code == 200
        page = html.unescape(text_of(admin.get("/budgets").text))
        go_on.set()
    assert "Where 2 budgets stand isn't shown: to read that takes too long." in page
    assert [name for name in ("each-team", "whole") if re.search(rf"{name} .{{0,60}}[$]0[.]25", page)] == [
        "each-team",
        "whole",
    ]


def test_while_a_long_status_is_written_others_are_answered(
    running: Served, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.put("/api/v1/budgets/frontend", json=FRONTEND)
    writing, go_on = threading.Event(), threading.Event()

    def long(_: object) -> str:
        writing.set()
        return "written" if go_on.wait(30) else "nobody was answered"

    monkeypatch.setattr(budgets_api, "outlook_json", long)
    for path in ("/api/v1/budget-status", "/api/v1/budgets/frontend"):
        writing.clear()
        go_on.clear()
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(admin.get, path)
            assert writing.wait(30)
            with running.client(ADMIN) as client:
                assert client.get("/api/v1/budgets").status_code == 200
            go_on.set()
            assert asked.result().text == "written"


def test_times_of_budgets_say_their_zone(admin: httpx.Client) -> None:
    admin.put("/api/v1/budgets/there", json={"limit": 100, "per": "month", "tz": "Asia/Kathmandu"})
    assert re.search(r"\d\d 00:00 \+0545", text_of(admin.get("/budgets?tz=America/New_York").text))


def test_names_with_markup_in_them_are_text(dsn: str) -> None:
    evil = "team=<script>alert(1)</script>"
    with dashboard(dsn, edit=True) as running, running.client(ADMIN) as client:
        client.put("/api/v1/budgets/evil", json={"limit": 1, "where": [evil]})
        for path in ("/budgets", "/budgets?edit=evil", "/budgets?edit=<script>alert(1)</script>"):
            assert "<script>alert" not in client.get(path).text


def test_reading_needs_no_more_than_a_readers_role(postgres_databases: Databases, postgres_dsn: str) -> None:
    from usage_tracker.stores.grants import grants

    owner = open_store(parse_dsn(postgres_dsn))
    owner.migrate()
    owner.close()
    database = parse_dsn(postgres_dsn).text.partition("dbname=")[2].split()[0].strip("'")
    role = f"reads_{database}"
    postgres_databases.run(f"CREATE ROLE {role} LOGIN; {grants('reader', role)}", database)
    reader = postgres_databases.dsn(database, user=role)
    try:
        with dashboard(reader, edit=postgres_dsn) as running, running.client(ADMIN) as client:
            assert client.put("/api/v1/budgets/frontend", json=FRONTEND).status_code == 200
            assert "frontend" in client.get("/budgets").text
            assert client.get("/").status_code == 200
        with dashboard(reader, edit=True) as running, running.client(ADMIN) as client:
            refused = client.put("/api/v1/budgets/frontend", json={"limit": 1})
            assert refused.status_code == 503
            assert "may not do that" in refused.json()["detail"]
    finally:
        postgres_databases.run(f"DROP OWNED BY {role}; DROP ROLE {role}", database)
