"""The pages without a browser: what they say, and that it is what the command line says."""

import asyncio
import csv
import html
import io
import json
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from commanding import invoke
from dashboard_server import VIEWER, Served, dashboard, filled
from dashboard_story import story
from made_events import NOON, made_event, random_events
from starlette.applications import Starlette
from starlette.routing import Mount

from usage_tracker.cli.figures import UNKNOWN, show_count, show_money
from usage_tracker.dsn import parse_dsn
from usage_tracker.report import Query, Report, run
from usage_tracker.stores import Store, open_store
from usage_tracker.web import reading
from usage_tracker.web.access import Access, Identity
from usage_tracker.web.app import create_app

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    calls = [*story(NOW, days=40, calls_a_day=15), made_event(NOW, host="web-1")]  # on a Sunday the story may rest
    dsn = filled(tmp_path_factory.mktemp("told") / "usage.db", calls)
    with dashboard(dsn) as running:
        yield running, dsn


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    dsn = filled(tmp_path_factory.mktemp("mixed") / "usage.db", random_events(8, 300))
    with dashboard(dsn) as running:
        yield running, dsn


@pytest.fixture
def client(told: tuple[Served, str]) -> Iterator[httpx.Client]:
    with told[0].client() as client:
        yield client


def printed(dsn: str, *words: str) -> dict[str, object]:
    outcome = invoke("report", "--dsn", dsn, "-o", "json", *words)
    assert outcome.exit_code == 0, outcome.output
    document: dict[str, object] = json.loads(outcome.stdout)
    return document


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def asked_at_random(chance: random.Random) -> list[tuple[str, Any]]:
    tags = chance.choice(["tag", "tag:tier"])
    by = chance.sample(["model", "project", "user", tags, "provider", "status", "app"], chance.randint(1, 2))
    unit = chance.choice([None, "hour", "day", "week", "month"])
    words: list[tuple[str, Any]] = [("by", ",".join([*([unit] if unit else []), *by]))]
    words += [("since", "2026-01"), ("until", chance.choice(["2026-06", "2026-12"]))]
    words += [("tz", chance.choice(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))]
    for condition in chance.sample(
        ["model!=none", "project=alpha", "user=u-*", "tag=eu", "provider!=azure", "tag:tier=pro"], chance.randint(0, 2)
    ):
        words.append(("where", condition))
    if chance.random() < 0.4:
        words.append(("top", str(chance.randint(1, 4))))
    if chance.random() < 0.4:
        words.append(("compare", "previous"))
    if chance.random() < 0.5:
        words.append(("cost", chance.choice(["reported", "current"])))
    return words


@pytest.mark.parametrize("seed", range(12))
def test_an_answer_is_what_the_command_line_prints_for_the_same_question(mixed: tuple[Served, str], seed: int) -> None:
    running, dsn = mixed
    words = asked_at_random(random.Random(seed))
    for _ in range(2):
        with running.client() as client:
            answer = client.get("/api/v1/report", params=words)
            page = client.get("/explore", params=words)
        assert answer.status_code == page.status_code == 200, answer.text
        said = printed(dsn, *(word for name, value in words for word in (f"--{name}", value)))
        if answer.json() == said:
            break  # else the hour may have turned in between, up to which periods are compared
    assert answer.json() == said
    total, rows = said["total"], said["rows"]
    assert isinstance(total, dict)
    assert isinstance(rows, list)
    shown = text_of(page.text)
    if rows:
        assert show_count(total["calls"]) in shown
        costs = [row["cost"] and Decimal(row["cost"]) for row in [*rows, total]]
        for cost in show_money(costs):
            assert cost in shown


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """Ten calls of a cent each and of a reported cent and a half; of two tiers, and of none."""
    tags = [("tier:pro", "eu"), ("tier:free",), ("eu",), ("tier:pro",), ()] * 2
    now = datetime.now(UTC)
    events = [made_event(now, model="gpt-4o", tags=each, cost="0.01", reported_cost="0.015") for each in tags]
    dsn = filled(tmp_path_factory.mktemp("tiers") / "usage.db", events)
    with dashboard(dsn) as running:
        yield running, dsn


def test_the_values_of_a_tag_are_a_dimension_that_can_be_chosen_and_opened(tiers: tuple[Served, str]) -> None:
    with tiers[0].client() as client:
        assert '<option value="tag:tier">Tag tier</option>' in client.get("/explore").text
        page = client.get("/explore?by=tag:tier").text
        assert '<option value="tag:tier" selected>' in page
        overview = client.get("/?by=tag:tier").text
        for shown in (page, overview):
            address = re.search(r'<a href="([^"]*where=tag%3Atier%3Dpro[^"]*)"', shown)
            assert address is not None
            alone = client.get(address[1].replace("&amp;", "&"))
            assert "tag:tier=pro" in text_of(alone.text)
        rows = client.get("/api/v1/report?by=tag:tier").json()["rows"]
    assert {row["tag:tier"]: row["calls"] for row in rows} == {"pro": 4, "free": 2, None: 4}


def test_keys_of_tags_that_no_address_can_name_are_not_offered(tmp_path: Path) -> None:
    tags = ("x,y:1", "a=b:2", "q!:3", "k :4", "né e:5")
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC), tags=tags)])
    with dashboard(dsn) as running, running.client() as client:
        assert set(re.findall(r'<option value="tag:([^"]*)"', client.get("/explore").text)) == {"né e"}


def test_too_many_tags_to_offer_their_keys_keep_nobody_from_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_READ", 50)
    calls = [made_event(NOW, tags=(f"request:{number}",)) for number in range(60)]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        assert client.get("/explore?by=tag").status_code == 400
        page = client.get("/explore?by=model")
    assert page.status_code == 200
    assert 'value="tag:request"' not in page.text


def test_costs_are_those_that_are_asked_for(tiers: tuple[Served, str]) -> None:
    with tiers[0].client() as client:
        costs = {}
        for basis in ("recorded", "reported", "current"):
            answer = client.get("/api/v1/report", params={"by": "model", "cost": basis}).json()
            assert answer == printed(tiers[1], "--by", "model", "--cost", basis)
            costs[basis] = answer["total"]["cost"]
            for path in ("/", "/explore"):
                page = client.get(path, params={"by": "model", "cost": basis}).text
                assert show_money([Decimal(costs[basis])])[0] in page, (path, basis)
        assert (costs["recorded"], costs["reported"]) == ("0.1", "0.15")
        assert costs["current"] not in (costs["recorded"], costs["reported"])
        page = client.get("/?cost=reported").text
        assert "Cost, as reported" in page
        for address in re.findall(r'<a href="([^"]*)"', page):
            assert client.get(address.replace("&amp;", "&")).status_code == 200, address
        assert client.get("/api/v1/report?cost=imagined").status_code == 400


def test_prices_of_today_that_a_mistake_keeps_from_being_known_are_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "book.toml"
    book.write_text("[[price]]\nmatch = 'gpt-*'\ninptu = 1\n")
    monkeypatch.setenv("TRACKER_PRICES", str(book))
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    with dashboard(dsn) as running, running.client() as client:
        for path in ("/", "/explore", "/api/v1/report"):
            answer = client.get(f"{path}?cost=current")
            assert answer.status_code == 503
            assert "did you mean" in answer.text, path
            assert client.get(path).status_code == 200
        assert answer.headers["content-type"] == "application/problem+json"


def test_prices_of_today_for_too_many_calls_are_refused(
    tiers: tuple[Served, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.report.costs.MOST_PRICED", 5)
    with tiers[0].client() as client:
        problem = client.get("/api/v1/report?cost=current&by=project")
        assert problem.status_code == 400
        assert problem.json()["parameter"] == "cost"
        assert "narrow them with since, until or where" in problem.json()["detail"]


def test_the_large_figures_are_the_totals_of_the_report(told: tuple[Served, str], client: httpx.Client) -> None:
    page = client.get("/", params={"since": "29d"}).text
    total = printed(told[1], "--since", "29d", "--compare", "previous")["total"]
    assert isinstance(total, dict)
    figures = dict(re.findall(r'<h2>([^<]*)</h2>\s*<p class="big" title="([^"]*)"', page))
    assert figures["Cost"] == show_money([Decimal(total["cost"])])[0]
    assert figures["Calls"] == show_count(total["calls"])
    assert figures["Errors"] == show_count(total["errors"])
    assert figures["Unpriced calls"] == show_count(total["unpriced"])
    assert figures["Tokens"] == show_count(total["input_tokens"] + total["output_tokens"])
    assert figures["Month&#39;s end"].startswith(("$", UNKNOWN))  # in a month's first hours nobody knows


@pytest.mark.parametrize("asked", ["", "?since=mtd", "?since=100d&where=team=core"])
def test_failed_calls_that_are_counted_are_those_that_the_figure_leads_to(tmp_path: Path, asked: str) -> None:
    now = datetime.now(UTC)
    dsn = filled(
        tmp_path / "usage.db",
        [made_event(now - timedelta(days=day), status="error", team="core") for day in (0, 50, 200)],
    )
    with dashboard(dsn) as running, running.client() as client:
        found = re.search(r'<a href="(/events[^"]*)">(\d+)</a>', client.get(f"/{asked}").text)
        assert found is not None
        listed = client.get(found[1].replace("&amp;", "&")).text
    assert listed.count("data-event=") == int(found[2])


def test_while_calls_have_not_said_what_they_used_not_every_cost_is_known(tmp_path: Path) -> None:
    waiting = made_event(datetime.now(UTC), cost=None, input_tokens=None, output_tokens=None, awaits="batch-1")
    with dashboard(filled(tmp_path / "usage.db", [waiting])) as running, running.client() as client:
        shown = text_of(client.get("/").text)
    assert "1 call has not said yet what it used" in shown
    assert "Unpriced calls 0 not known yet of 1" in shown
    assert "every cost is known" not in shown


def test_credits_have_a_sign_and_no_bar(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    events = [made_event(now, model=model, cost=cost) for model, cost in (("paid", "0.5"), ("credited", "-200000"))]
    with dashboard(filled(tmp_path / "usage.db", events)) as running, running.client() as client:
        page = client.get("/?since=6d").text
        assert ">-$200,000<" in page
        assert re.findall(r'class="c-[^"]*" width="([^"]*)"', page) == ["100.0%", "0.0%"]


def test_figures_do_not_depend_on_the_decimals_of_the_application(tmp_path: Path) -> None:
    """Of an app in which the dashboard is mounted."""
    now = datetime.now(UTC)
    dsn = filled(tmp_path / "usage.db", [made_event(now, cost="1234.56", team=team) for team in ("core", "web")])
    inner = create_app(dsn, Access(everyone="viewer"))
    app = Starlette(routes=[Mount("/usage", inner)])

    async def read(path: str) -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example") as client:
            return (await client.get(f"/usage{path}")).text

    for path, figure in (("/explore?by=team", "$2,469.12"), ("/metrics", "} 2469.12\n")):
        with localcontext(prec=3):
            assert figure in asyncio.run(read(path)), path
    inner.state.site.reader.close()


def test_the_csv_of_a_page_has_the_rows_that_it_shows(client: httpx.Client) -> None:
    page = client.get("/", params={"since": "29d", "by": "project"}).text
    address = re.search(r'href="([^"]*format=csv[^"]*)"', page)
    assert address is not None
    rows = list(csv.DictReader(io.StringIO(client.get(address[1].replace("&amp;", "&")).text)))
    names = re.findall(r'<th scope="row"><i class="swatch[^>]*></i><a [^>]*>([^<]*)</a>', page)
    assert names == [row["project"] or "(none)" for row in rows]


def test_a_value_of_a_table_leads_to_the_page_of_that_value_alone(client: httpx.Client) -> None:
    page = client.get("/", params={"since": "29d", "by": "project"}).text
    links = dict(re.findall(r'<a href="([^"]*)" title="Only ([^"]*)">', page))
    address = next(address for address, name in links.items() if name == "search")
    alone = client.get(address.replace("&amp;", "&")).text
    assert "project=search" in text_of(alone)
    assert set(re.findall(r'title="Only ([^"]*)"', alone)) == {"search"}


def test_a_value_keeps_its_colour_from_page_to_page(client: httpx.Client) -> None:
    def colour(page: str) -> str:
        found = re.search(r'<i class="swatch (c-\w+)"></i><a [^>]*>claude-sonnet-4', page)
        assert found is not None
        return found[1]

    assert colour(client.get("/?since=29d").text) == colour(client.get("/?since=6d").text)


def test_what_a_chart_draws_has_colours_whatever_stands_first_in_the_table(tmp_path: Path) -> None:
    calls = [
        made_event(NOW, cost=str(team * 10 - project), project=f"project-{project}", team=f"team-{team}")
        for project in range(6)
        for team in range(1, 7)
    ]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        page = client.get("/?by=project,team").text
    [legend] = re.findall('<ul class="legend".*?</ul>', page)
    drawn = re.findall(r'swatch c-(\w+)"></i>([^<]*)', legend)
    assert len(drawn) == 9
    assert [name for colour, name in drawn if colour == "rest"] == ["Others · Others"]


@pytest.mark.parametrize(("tags", "told"), [(("eu", "tier:pro"), ""), (("eu",), "$0.020000")])
def test_calls_that_are_drawn_under_several_tags_are_not_added_up(
    tmp_path: Path, tags: tuple[str, ...], told: str
) -> None:
    calls = [made_event(datetime.now(UTC), tags=tags), made_event(datetime.now(UTC), tags=("tier:free",))]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        page = client.get("/?since=today&by=tag").text
    [drawn] = re.findall('<script type="application/json">(.*?)</script>', page)
    assert json.loads(drawn)["together"][-1] == told


def test_a_command_in_a_sentence_is_code(tmp_path: Path) -> None:
    calls = [made_event(datetime.now(UTC), cost=None, flags=("unpriced",), model="`<b>`")]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        for path in ("/", "/explore"):
            [note] = re.findall('<p class="remark">([^\n]* unpriced .*?)</p>', client.get(path).text)
            assert "<b>" not in note
            assert "<code>usage-tracker prices unpriced</code> says why" in note


def test_a_chart_of_all_calls_has_a_colour(client: httpx.Client) -> None:
    assert re.findall('<i class="swatch c-([^"]*)"', client.get("/explore?since=29d&by=day").text) == ["0"]


def test_hostile_names_are_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    quote = "'; DROP TABLE usage_event; --"
    ending = '</script><img src=x onerror="alert(2)">'
    dsn = filled(
        tmp_path / "usage.db",
        [made_event(datetime.now(UTC), model=evil, project=quote, user_id=ending, tags=(evil,), error_type=evil)],
    )
    with dashboard(dsn) as running, running.client() as client:
        for path in (
            "/?by=model",
            "/?by=user",
            "/explore?by=day,user",
            "/?by=tag",
            "/events",
            "/explore?by=project,model",
        ):
            page = client.get(path).text
            assert evil not in page
            assert ending not in page
            assert "<img" not in page
            for address in re.findall(r'<a href="([^"]*)"', page):
                assert client.get(address.replace("&amp;", "&").replace("&#39;", "'")).status_code == 200, address
        assert client.get("/api/v1/report", params={"by": "project"}).json()["rows"][0]["project"] == quote


def test_pages_of_events_go_back_without_a_gap_or_a_repetition(tmp_path: Path) -> None:
    at = NOON
    many = [made_event(at) for _ in range(130)] + [made_event(at - timedelta(hours=hours)) for hours in range(1, 120)]
    dsn = filled(tmp_path / "usage.db", many)
    seen: list[str] = []
    with dashboard(dsn) as running, running.client() as client:
        address = "/events"
        while address:
            page = client.get(address).text
            seen += re.findall(r'data-event="([^"]*)"', page)
            older = re.search(r'<a href="([^"]*)">Older calls</a>', page)
            address = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == len(many)
    assert set(seen) == {str(event.event_id) for event in many}


def test_beside_the_exports_of_calls_stands_how_many_they_have_at_most_and_what_has_all(client: httpx.Client) -> None:
    page = client.get("/events").text
    assert "CSV JSON of the newest 10,000; usage-tracker export has all" in text_of(page)
    assert re.findall(r'href="/api/v1/events[^"]*limit=(\d+)', page) == ["10000"] * 2


def test_an_event_shows_how_its_cost_is_made_up(client: httpx.Client) -> None:
    event = client.get("/api/v1/events", params={"where": "model=gpt-5*", "limit": 1}).json()["events"][0]
    page = client.get(f"/events/{event['event_id']}")
    shown = text_of(page.text)
    assert f"${event['cost']}" in shown
    assert "/ 1M" in shown
    assert event["project"] is None or event["project"] in shown
    by_answer = client.get(f"/api/v1/events/{event['response_id']}").json()
    assert by_answer["event"]["event_id"] == event["event_id"]
    assert client.get("/events/no-such-call").status_code == 404


def test_an_event_is_shown_in_the_time_zone_of_the_list_that_leads_to_it(client: httpx.Client) -> None:
    listed = client.get("/events?tz=Asia/Kathmandu&where=project=search").text
    found = re.search(r'<a id="call[^>]* href="([^"]*)">([^<]*)</a>', listed)
    assert found is not None
    page = client.get(html.unescape(found[1])).text
    assert f"{found[2]} +0545" in page
    more = re.search(r'<a href="([^"]*where=project[^"]*)">search</a>', page)
    assert more is not None
    assert "Asia/Kathmandu" in text_of(client.get(html.unescape(more[1])).text)
    [plain] = set(re.findall(r'href="/events/[^"?]*(\??)', client.get("/events").text))
    assert plain == ""


def test_where_nothing_was_recorded_the_page_says_how_to_begin(tmp_path: Path) -> None:
    with dashboard(f"sqlite:///{tmp_path}/none.db") as running, running.client() as client:
        page = client.get("/")
        assert "No calls yet" in page.text
        assert "usage-tracker run -- python app.py" in page.text
        assert not (tmp_path / "none.db").exists(), "reading creates nothing"
        assert client.get("/api/v1/report").status_code == 503


def test_a_store_of_another_version_is_not_said_to_be_away(tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    with closing(sqlite3.connect(tmp_path / "usage.db")) as connection:
        connection.execute("ALTER TABLE usage_kind RENAME TO usage_kind_of_before")
    with dashboard(dsn) as running, running.client() as client:
        page = text_of(client.get("/").text)
    assert "The store can't answer" in html.unescape(page)
    assert "usage-tracker migrate" in page


@pytest.mark.parametrize("path", ["/", "/explore", "/events"])
def test_a_store_without_calls_says_how_to_begin_where_all_there_is_is_asked_for(tmp_path: Path, path: str) -> None:
    with dashboard(filled(tmp_path / "usage.db", [])) as running, running.client() as client:
        page = client.get(f"{path}?since=all").text
        assert "No calls yet" in page
        assert "usage-tracker run -- python app.py" in page
        assert "Look at all there is" in client.get(f"{path}?since=7d").text
        assert "Look at all there is" in client.get(f"{path}?since=all&where=model%3Dx").text


def test_where_nothing_meets_the_conditions_the_page_offers_a_way_out(client: httpx.Client) -> None:
    page = client.get("/", params={"where": "model=no-such"}).text
    assert "No calls" in page
    assert "Look at all there is" in page


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/?sinze=7d", "did you mean since?"),
        ("/?since=yesterdy", "did you mean yesterday?"),
        ("/?tz=Berlin", "did you mean"),
        ("/?where=modle=x", "is not a dimension"),
        ("/?by=day,hour", "one unit of time"),
        ("/?by=day", "Explore takes any"),
        ("/?by=project,team,model", "Explore takes any"),
        ("/explore?top=many", "a whole number"),
        ("/explore?by=hour&since=2000-01-01", "more than 5,000 hours"),
        ("/events?after=x", "no place in the list"),
        ("/?since=2026-11-10&until=2026-11-01", "give a since before until"),
        ("/?where=day=x", "use since and until"),
        ("/?since=--all", "--all&#39; names no time"),
    ],
)
def test_a_wrong_address_is_refused_in_a_sentence(client: httpx.Client, path: str, sentence: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert sentence in text_of(answer.text)


@pytest.mark.parametrize("where", ["", "&where=model%3Dno-such"])
def test_a_comparison_ends_where_a_page_leads_to_all_there_is(client: httpx.Client, where: str) -> None:
    page = client.get(f"/explore?since=7d&compare=previous{where}").text
    leading = [html.unescape(link) for link in re.findall(r'href="([^"]*since=all[^"]*)"', page)]
    assert leading
    assert [client.get(link).status_code for link in leading] == [200] * len(leading)
    answer = client.get("/explore?since=all&compare=previous")
    assert (answer.status_code, "a comparison needs a since" in text_of(answer.text)) == (400, True)


@pytest.mark.parametrize("since", ["0226-01-01", "0001-01-08"])
def test_a_range_that_nothing_is_before_is_shown_alone(client: httpx.Client, since: str) -> None:
    answer = client.get(f"/?since={since}")
    assert (answer.status_code, "compared with" in answer.text) == (200, False)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("since=90m", "90m"),
        ("since=2026-08-15&until=2026-08-15", "2026-08-15"),
        ("since=2026-08-15T08:00:00Z&until=2026-08-15T09:00:00Z&tz=Asia/Tokyo", "2026-08-15 17:00 to 2026-08-15 18:00"),
        ("since=all&until=2026-08", "up to 2026-08-31"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/explore", "/events"])
def test_a_range_without_a_name_of_its_own_is_told_beside_those_that_have_one(
    client: httpx.Client, path: str, asked: str, shown: str
) -> None:
    assert f"<summary>{shown}</summary>" in client.get(f"{path}?{asked}").text


@pytest.mark.parametrize("unit", ["hour", "day", "week", "month"])
def test_a_chart_may_end_where_the_calendar_does(tmp_path: Path, unit: str) -> None:
    calls = [made_event(datetime(9999, 12, day, 23, tzinfo=UTC)) for day in (25, 30)]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        for path in (f"/explore?by={unit}", "/?"):
            answer = client.get(f"{path}&since=9999-12-24&until=9999-12-30")
            assert (answer.status_code, "$0.020000" in answer.text) == (200, True)


def test_a_range_that_has_not_begun_is_empty(client: httpx.Client) -> None:
    assert "No calls" in text_of(client.get("/?since=2098-01-01T14:30&until=2099").text)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Of a call each hour for four days, the first two days' are gone."""
    calls = [made_event(NOON + timedelta(hours=hour), session_id="s") for hour in range(-48, 48)]
    dsn = filled(tmp_path_factory.mktemp("pruned") / "usage.db", calls)
    with closing(open_store(parse_dsn(dsn))) as store:
        assert sum(store.prune(NOON)) == 48
    with dashboard(dsn) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/?since=2026-08&until=2026-08&tz=Asia/Kolkata", "only whole hours"),
        ("/?since=2026-08&until=2026-08&cost=current", "what they would cost today"),
        ("/explore?since=2026-08&until=2026-08&by=session", "neither sessions nor hosts"),
        ("/explore?since=2026-08-13&until=2026-08-14&by=session", "neither sessions nor hosts"),
        ("/events", "still counts them"),
        ("/events?since=2026-08-13&until=2026-08-14", "still counts them"),
        ("/api/v1/report?since=2026-08&until=2026-08&by=session", "neither sessions nor hosts"),
        ("/api/v1/report?since=2026-08&until=2026-08&by=app,model", "p50 and p95"),
        ("/api/v1/events?since=2026-08", "still counts them"),
    ],
)
def test_what_lacks_calls_that_were_pruned_says_so(pruned: Served, path: str, said: str) -> None:
    with pruned.client() as client:
        told = html.unescape(re.sub("</?code>", "", client.get(path).text))
    [note] = re.findall('Calls up to 2026-08-15 [^.]* were pruned[^<"]*', told)
    assert said in note


@pytest.mark.parametrize(
    "path",
    [
        "/?since=2026-08&until=2026-08",
        "/explore?since=2026-08-16&until=2026-08-16&by=session",
        "/events?since=2026-08-16&until=2026-08-16",
        "/api/v1/report?since=2026-08&until=2026-08&by=model",
        "/api/v1/events?since=2026-08-16",
    ],
)
def test_what_lacks_none_says_nothing(pruned: Served, path: str) -> None:
    with pruned.client() as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert "were pruned" not in answer.text


def test_health_says_what_doctor_says_of_this_machine(told: tuple[Served, str], client: httpx.Client) -> None:
    shown = text_of(client.get("/health").text)
    assert told[1].removeprefix("sqlite:///") in shown
    assert "spool" in shown
    assert re.search(r"(web|jobs|ide|notebooks)-\d", shown)


def test_health_tells_the_newest_call_that_is_not_of_a_clock_far_ahead(tmp_path: Path) -> None:
    """That one was made just now for years, however long no call had come."""
    now = datetime.now(UTC)
    calls = [made_event(now - timedelta(days=3, minutes=5)), made_event(now + timedelta(days=365))]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        page = text_of(client.get("/health").text)
    assert re.search(r"The newest call in the store is from [^()]+ \(3 days ago\)", page)


def test_health_names_a_host_of_which_a_single_call_is_of_unknown_tokens(tmp_path: Path) -> None:
    calls = [made_event(NOW, input_tokens=None, output_tokens=None), *(made_event(NOW) for _ in range(249))]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, running.client() as client:
        assert "box openai 250 0 0 99.6%" in text_of(client.get("/health").text)


def test_pages_carry_a_policy_that_lets_nothing_in_from_elsewhere(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(
        r"""\s(?:style|on\w+)=["']|<style|<script>|https?://(?!127)""", answer.text.replace("http://www.w3.org", "")
    )


def test_many_who_ask_the_same_are_one_question_to_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from usage_tracker.web import reading

    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    asked: list[object] = []

    def noted(store: Store, query: Query) -> Report:
        asked.append(query)
        return run(store, query)

    monkeypatch.setattr(reading, "run", noted)
    with dashboard(dsn) as running, running.client() as client:
        for _ in range(10):
            assert client.get("/api/v1/report?by=model").status_code == 200
    assert len(asked) < 5


def test_a_page_that_is_still_the_same_is_not_sent_again(told: tuple[Served, str], client: httpx.Client) -> None:
    page = client.get("/?since=29d")
    assert page.headers["cache-control"] == "private, no-cache"
    same = client.get("/?since=29d", headers={"If-None-Match": page.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    other = client.get("/?since=6d", headers={"If-None-Match": page.headers["etag"]})
    assert other.status_code == 200


def test_each_who_looks_at_a_shared_page_can_leave_with_a_form_of_their_own(told: tuple[Served, str]) -> None:
    access: Access = told[0].app.state.site.access
    forms, tags = [], []
    for name in ("anna", "ben"):
        cookie = access.new_cookie(Identity(name, "viewer"))
        with told[0].client(None, cookies={told[0].cookie: cookie}) as client:
            page = client.get("/?since=20d")
            found = re.search(r'action="/logout"[^>]*><input type="hidden" name="form" value="([^"]*)"', page.text)
            assert found is not None
            identity = access.by_cookie(cookie)
            assert access.holds(found[1], identity, "logout")
            assert client.get("/?since=20d", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
            forms.append(found[1])
            tags.append(page.headers["etag"])
    assert len(set(forms)) == len(set(tags)) == 2
    with told[0].client() as program:
        assert 'action="/logout"' not in program.get("/?since=20d").text


def test_many_viewers_of_one_page_are_one(told: tuple[Served, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from usage_tracker.web import overview

    looked: list[str] = []
    look = overview.look

    async def noted(*arguments: Any) -> Any:
        looked.append("")
        await asyncio.sleep(0.1)
        return await look(*arguments)

    monkeypatch.setattr(overview, "look", noted)

    async def visit() -> list[int]:
        headers = {"Authorization": f"Bearer {VIEWER}"}
        async with httpx.AsyncClient(base_url=told[0].url, headers=headers, trust_env=False, timeout=60) as client:
            answers = await asyncio.gather(*(client.get("/?since=17d") for _ in range(20)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(visit()) == [200] * 20
    assert len(looked) < 4


def test_the_files_of_others_are_the_ones_that_the_manifest_names() -> None:
    import hashlib
    from importlib.resources import files

    folder = files("usage_tracker.web") / "static" / "vendor"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name for entry in folder.iterdir() if (name := entry.name).endswith(".min.js")} == set(manifest)
    for name, said in manifest.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == said["sha256"], name
        assert (folder / said["license_file"]).read_text()
        assert said["version"] in (folder / "README.md").read_text()


def test_a_first_visit_weighs_less_than_400_kilobytes(client: httpx.Client) -> None:
    page = client.get("/?since=29d")
    weight = int(page.headers.get("content-length") or len(page.content))
    for address in re.findall(r'(?:src|href)="(/static/[^"]*)"', page.text):
        with closing(client.get(address)) as answer:
            assert answer.headers["content-encoding"] == "gzip"
            assert "immutable" in answer.headers["cache-control"]
            weight += int(answer.headers["content-length"])
    assert weight < 400_000
