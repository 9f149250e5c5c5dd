"""The dashboard in a real browser: as people see it, use it and leave it on a wall."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Tab, opened_browser, opened_tab
from dashboard_server import ADMIN, WRITER, Served, dashboard, filled
from dashboard_story import story
from made_events import made_event
from playwright.sync_api import Browser, Error, Route, expect
from postgres_server import PostgresServer

from usage_tracker.web.reading import FRESH_SECONDS
from usage_tracker.web.shared_pages import STALE_SECONDS

NOW = datetime.now(UTC)
PAGES = (
    "/?since=29d",
    "/explore?since=29d&by=day,project",
    "/explore?since=29d&by=team",
    "/events",
    "/budgets",
    "/health",
    "/login",
)
BARRIERS: dict[str, dict[str, Any]] = {
    "light": {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    dsn = filled(tmp_path_factory.mktemp("browser") / "usage.db", list(story(NOW, days=62, calls_a_day=25)))
    with dashboard(dsn) as running:
        yield running


@pytest.fixture
def tab(browser: Browser, running: Served) -> Iterator[Tab]:
    with opened_tab(browser, running) as tab:
        yield tab


def asked(tab: Tab) -> dict[str, list[str]]:
    return parse_qs(urlsplit(tab.page.url).query)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Some of everything that pages show, and no more: what looks for barriers takes its time for each cell."""
    dsn = filled(tmp_path_factory.mktemp("small") / "usage.db", list(story(NOW, days=12, calls_a_day=3)))
    with dashboard(dsn, edit=True) as running, running.client(ADMIN) as admin:
        for name, limit in (("full", "0.000001"), ("roomy", "1000")):
            assert admin.put(f"/api/v1/budgets/{name}", json={"limit": limit}).status_code == 200
        assert admin.put("/api/v1/budgets/each", json={"limit": 1, "each": "team"}).status_code == 200
        yield running


@pytest.mark.timeout(300)  # on a busy machine, to look at ten pages in detail takes a while
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_barrier(browser: Browser, small: Served, theme: str) -> None:
    with opened_tab(browser, small, theme=theme, role="admin") as tab:
        tab.page.goto("/events")
        one = tab.page.locator("#lines a").first.get_attribute("href")
        assert one is not None
        for path in (*(page.replace("29d", "6d") for page in PAGES), "/budgets?new=1", "/budgets?remove=roomy", one):
            tab.page.goto(path)
            found = Axe().run(tab.page, options={**BARRIERS[theme], "resultTypes": ["violations"]})
            assert not found.response["violations"], f"{path}: {found.generate_report()}"


@pytest.mark.parametrize("width", [360, 2560])
def test_every_page_fits_its_window(browser: Browser, running: Served, width: int) -> None:
    with opened_tab(browser, running, width) as tab:
        for path in PAGES:
            tab.page.goto(path)
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
        tab.page.goto(f"/events/resp_{'0af3' * 14}")
        expect(tab.page.get_by_role("heading", name="There is no such call")).to_be_visible()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        tab.wrong.clear()  # the browser's own word for an answer of 404


def test_a_page_loads_from_its_own_server_alone_and_draws_its_chart(tab: Tab, running: Served) -> None:
    tab.page.goto("/?since=29d")
    expect(tab.page.locator("#chart svg path").first).to_be_attached()
    assert tab.asked
    assert [url for url in tab.asked if not url.startswith(running.url)] == []
    bars = tab.page.evaluate("document.querySelectorAll('#chart svg path').length")
    assert bars > 60


def test_a_click_on_a_value_filters_and_going_back_undoes_it(tab: Tab) -> None:
    tab.page.goto("/?since=29d")
    tab.page.get_by_role("link", name="gpt-4o-2024-08-06").click()
    expect(tab.page.locator(".chip")).to_have_text(re.compile("model=gpt-4o-2024-08-06"))
    assert asked(tab)["where"] == ["model=gpt-4o-2024-08-06"]
    rows = tab.page.locator(".ranking tbody tr")
    expect(rows).to_have_count(1)
    tab.page.get_by_role("link", name="Project", exact=True).click()
    expect(tab.page.locator("#ranking")).to_have_text("By project")
    tab.page.go_back()
    expect(tab.page.locator("#ranking")).to_have_text("By model")
    tab.page.go_back()
    expect(tab.page.locator(".chip")).to_have_count(0)
    expect(tab.page.locator("#chart svg").first).to_be_attached()
    tab.page.go_forward()
    expect(rows).to_have_count(1)
    tab.page.reload()
    expect(rows).to_have_count(1)


def test_a_click_on_a_bar_goes_into_its_day(tab: Tab) -> None:
    tab.page.goto("/?since=29d")
    expect(tab.page.locator("#chart svg path").first).to_be_attached()
    box = tab.page.locator("#chart .plot").bounding_box()
    assert box is not None
    tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8)
    expect(tab.page.locator("#over-time")).to_have_text(re.compile("by hour"))
    said = asked(tab)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", said["since"][0])
    assert said["since"] == said["until"]


def test_what_the_pointer_is_on_is_told_with_its_figures(tab: Tab) -> None:
    tab.page.goto("/?since=29d")
    expect(tab.page.locator("#chart svg path").first).to_be_attached()
    box = tab.page.locator("#chart .plot").bounding_box()
    assert box is not None
    # a day on which people work: on others there may be no call
    ago = next(days for days in (1, 2, 3) if (NOW - timedelta(days=days)).weekday() < 5)
    tab.page.mouse.move(box["x"] + box["width"] * (1 - (ago + 0.5) / 30), box["y"] + box["height"] * 0.8)
    expect(tab.page.locator(".tip b")).to_have_text(f"{NOW - timedelta(days=ago):%Y-%m-%d}")
    expect(tab.page.locator(".tip em").first).to_have_text(re.compile(r"^\$"))


def test_the_csv_that_a_page_offers_is_of_the_very_view(tab: Tab) -> None:
    tab.page.goto("/?since=29d&by=project&where=team!%3Dlegal")
    names = [text.strip() for text in tab.page.locator(".ranking tbody th").all_inner_texts()]
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [row["project"] or "(none)" for row in rows] == names


def test_colours_are_chosen_and_stay(browser: Browser, running: Served) -> None:
    with opened_tab(browser, running, theme="light") as tab:
        tab.page.goto("/")
        paper = "getComputedStyle(document.body).backgroundColor"
        light = tab.page.evaluate(paper)
        button = tab.page.get_by_role("button", name="Colours")
        button.click()
        expect(button).to_have_text(re.compile("Light"))
        button.click()
        dark = tab.page.evaluate(paper)
        assert dark != light
        tab.page.goto("/events")
        assert tab.page.evaluate(paper) == dark
        assert tab.page.locator("html").get_attribute("data-theme") == "dark"


def test_the_keyboard_reaches_everything(tab: Tab) -> None:
    tab.page.goto("/?since=29d")
    tab.page.keyboard.press("Tab")
    expect(tab.page.locator(":focus")).to_have_text("Skip to the content")
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("project=search")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".chip")).to_have_text(re.compile("project=search"))
    tab.page.locator("#page").focus()
    tab.page.keyboard.press("g")
    tab.page.keyboard.press("e")
    expect(tab.page.locator("#calls")).to_be_visible()
    expect(tab.page.locator(".top nav a[aria-current]")).to_have_text("Events")
    tab.page.keyboard.press("?")
    expect(tab.page.get_by_role("heading", name="Keys")).to_be_visible()
    tab.page.keyboard.press("Escape")


def test_the_keyboard_stays_on_what_it_has_chosen(tab: Tab) -> None:
    tab.page.goto("/?since=29d")
    for name in ("7 days", "Tokens", "Provider"):
        chosen = tab.page.get_by_role("link", name=name, exact=True)
        chosen.focus()
        tab.page.keyboard.press("Enter")
        expect(chosen).to_have_attribute("aria-current", "true")
        expect(chosen).to_be_focused()
    zone = tab.page.get_by_label("Time zone")
    zone.fill("Asia/Kathmandu")
    tab.page.keyboard.press("Enter")
    expect(tab.page).to_have_url(re.compile("tz=Asia"))
    expect(zone).to_be_focused()


def test_another_time_zone_is_asked_for_in_the_address(tab: Tab) -> None:
    tab.page.goto("/?since=29d")
    zone = tab.page.get_by_label("Time zone")
    zone.fill("Asia/Kathmandu")
    zone.press("Enter")
    expect(tab.page.locator(".foot")).to_contain_text("Asia/Kathmandu")
    assert asked(tab)["tz"] == ["Asia/Kathmandu"]
    assert asked(tab)["since"] == ["29d"]


def test_a_question_is_put_together_in_explore(tab: Tab) -> None:
    tab.page.goto("/explore?since=29d")
    tab.page.locator("select[name=by]").first.select_option("week")
    expect(tab.page.locator("table thead th").first).to_have_text("Week")
    tab.page.locator("select[name=measure]").select_option("calls")
    expect(tab.page.locator("#drawn")).to_have_text("Calls")
    tab.page.locator("select[name=compare]").select_option("previous")
    expect(tab.page.locator("thead").last).to_contain_text("Before")
    assert asked(tab)["compare"] == ["previous"]


def test_a_question_is_put_together_with_the_keyboard_alone(tab: Tab) -> None:
    tab.page.goto("/explore?since=29d")
    tab.page.locator("select[name=measure]").focus()
    for title in ("Calls", "Tokens"):
        tab.page.keyboard.press("ArrowDown")
        expect(tab.page.locator("#drawn")).to_have_text(title)
        expect(tab.page.locator("select[name=measure]")).to_be_focused()


def test_what_a_question_left_out_can_be_asked_next_while_the_answer_is_away(browser: Browser, running: Served) -> None:
    with opened_tab(browser, running) as tab:
        tab.page.goto("/explore?since=29d")
        tab.page.route("**/explore?*", lambda route: route.abort())
        tab.page.locator("select[name=measure]").select_option("calls")
        expect(tab.page.get_by_role("status")).to_contain_text("can't be reached")
        assert tab.wrong.pop()  # the browser's own word for it
        tab.wrong.clear()
        tab.page.unroute("**/explore?*")
        tab.page.get_by_label("Only the top").fill("2")
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("#drawn")).to_have_text("Calls")
        assert asked(tab) == {"since": ["29d"], "measure": ["calls"], "by": ["day", "model"], "top": ["2"]}


def test_the_keyboard_stays_on_its_call_while_new_ones_come(tab: Tab) -> None:
    tab.page.goto("/events?live=1")
    link = tab.page.locator("#lines a").nth(3)
    link.focus()
    with tab.page.expect_response("**/events?live=1"):
        pass
    expect(tab.page.locator(".htmx-swapping, .htmx-settling, .htmx-request")).to_have_count(0)
    expect(link).to_be_focused()


def test_large_amounts_stay_in_their_place(browser: Browser, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    months = (now, now.replace(day=1) - timedelta(days=5))
    amounts = ("1234567.89", "1234.5")
    events = [made_event(at, cost=cost, project="one") for at, cost in zip(months, amounts, strict=True)]
    with dashboard(filled(tmp_path / "usage.db", events)) as running, opened_tab(browser, running) as tab:
        tab.page.goto("/")
        expect(tab.page.locator(".hero .change")).to_be_visible()
        for place in tab.page.locator(".figure .big").all():
            assert place.evaluate("place => place.scrollWidth < place.closest('.figure').clientWidth"), (
                place.inner_text()
            )
        tab.page.goto("/explore?by=project")
        amount = tab.page.locator("#chart svg text", has_text="$1,234,567.89").first
        expect(amount).to_be_attached()
        drawn, written = tab.page.locator("#chart svg").bounding_box(), amount.bounding_box()
        assert drawn is not None
        assert written is not None
        assert written["x"] + written["width"] <= drawn["x"] + drawn["width"]


def test_names_without_a_space_widen_no_page(browser: Browser, tmp_path: Path) -> None:
    arn = f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{'0af3' * 12}"
    calls = [
        made_event(NOW, model=arn, cost=None, flags=("unpriced",)),
        made_event(NOW, project=arn, status="error", error_type="ApplicationSpecific" * 3),
    ]
    width = 360
    with dashboard(filled(tmp_path / "usage.db", calls), edit=True) as running, running.client(ADMIN) as admin:
        budget = {"limit": "0.000001", "each": "project", "where": [f"project={arn}"]}
        assert admin.put("/api/v1/budgets/one", json=budget).status_code == 200
        with opened_tab(browser, running, width) as tab:
            tab.page.goto("/events?where=status%3Derror")
            one = tab.page.locator("#lines a").first.get_attribute("href")
            assert one is not None
            for path in ("/", "/explore?by=model", "/budgets", "/health", one):
                tab.page.goto(path)
                assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
            tab.page.goto("/budgets")
            for name in tab.page.locator(".standing tbody th").all():
                assert name.evaluate("name => name.clientWidth") <= width / 2


def test_what_a_day_cost_is_readable_beside_long_names_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    calls = [made_event(NOW, cost="12345.67", model=f"vendor/{'long-' * 12}{number}") for number in range(3)]
    with dashboard(filled(tmp_path / "usage.db", calls)) as running, opened_tab(browser, running, 360) as tab:
        tab.page.goto("/?since=6d")
        expect(tab.page.locator("#chart svg path").first).to_be_attached()
        box = tab.page.locator("#chart .plot").bounding_box()
        assert box is not None
        tab.page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.5)
        written = tab.page.locator(".tip em").first.bounding_box()
        assert written is not None
        assert written["x"] + written["width"] <= 360


def test_what_follows_a_name_that_is_read_from_the_right_stays_behind_it(browser: Browser, tmp_path: Path) -> None:
    calls = [made_event(NOW, project="נקודת-מפנה")]
    with dashboard(filled(tmp_path / "usage.db", calls), edit=True) as running, running.client(ADMIN) as admin:
        assert admin.put("/api/v1/budgets/one", json={"limit": "0.000001", "each": "project"}).status_code == 200
        with opened_tab(browser, running) as tab:
            tab.page.goto("/")
            warning = tab.page.locator(".warnings li").first
            expect(warning).to_contain_text("נקודת-מפנה: $0.01 of $0.000001")
            spent = "li => { const range = document.createRange(); range.selectNode(li.lastChild); return range"
            name, after = warning.locator("a").bounding_box(), warning.evaluate(spent + ".getBoundingClientRect(); }")
            assert name is not None
            assert after["x"] >= name["x"] + name["width"] - 1


def test_a_day_of_unknown_cost_is_not_told_to_be_of_none(browser: Browser, tmp_path: Path) -> None:
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    events = [
        made_event(at - timedelta(days=2), cost="0.5", model="known"),
        made_event(at, cost=None, flags=("unpriced",), model="nobody-knows"),
    ]
    with dashboard(filled(tmp_path / "usage.db", events)) as running, opened_tab(browser, running) as tab:
        tab.page.goto("/?since=6d")
        expect(tab.page.locator("#chart svg path").first).to_be_attached()
        box = tab.page.locator("#chart .plot").bounding_box()
        assert box is not None
        for day, said in ((0.985, "nobody-knows—"), (0.85, "nothing")):
            tab.page.mouse.move(box["x"] + box["width"] * day, box["y"] + box["height"] * 0.5)
            expect(tab.page.locator(".tip div").first).to_have_text(said)


def test_what_a_day_is_made_of_and_its_sum_are_told_alike(browser: Browser, tmp_path: Path) -> None:
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    events = [
        *(made_event(at - timedelta(days=1), cost=cost, model=f"m-{cost}") for cost in ("1234.5", "0.7564")),
        *(made_event(at - timedelta(days=5), cost="0.0001", model=f"m-{cost}") for cost in ("1234.5", "0.7564")),
        *(made_event(at, cost=None, flags=("unpriced",), model=model) for model in ("nobody-knows", "nobody-tells")),
    ]
    with dashboard(filled(tmp_path / "usage.db", events)) as running, opened_tab(browser, running) as tab:
        tab.page.goto("/?since=6d")
        expect(tab.page.locator("#chart svg path").first).to_be_attached()
        box = tab.page.locator("#chart .plot").bounding_box()
        assert box is not None
        for day, told in ((0.985, ["—", "—", "—"]), (0.85, ["$1,234.50", "$0.76", "$1,235.26"])):
            tab.page.mouse.move(box["x"] + box["width"] * day, box["y"] + box["height"] * 0.5)
            expect(tab.page.locator(".tip em")).to_have_text(told)


def test_amounts_beside_a_chart_have_their_cents(browser: Browser, tmp_path: Path) -> None:
    events = [made_event(datetime.now(UTC), cost="1.2")]
    with dashboard(filled(tmp_path / "usage.db", events)) as running, opened_tab(browser, running) as tab:
        tab.page.goto("/")
        expect(tab.page.locator("#chart svg path").first).to_be_attached()
        beside = [text for text in tab.page.locator("#chart svg text").all_text_contents() if text.startswith("$")]
        assert "$1.20" in beside
        assert all(re.fullmatch(r"\$\d+(\.\d\d)?", text) for text in beside), beside


def test_going_back_from_a_call_leads_to_its_place_in_the_list(tab: Tab) -> None:
    tab.page.goto("/events")
    tab.page.locator("#lines a").nth(80).scroll_into_view_if_needed()
    left = tab.page.evaluate("scrollY")
    assert left > 500
    tab.page.locator("#lines a").nth(80).click()
    expect(tab.page.get_by_role("heading", name="What it cost")).to_be_visible()
    assert tab.page.evaluate("scrollY") == 0
    tab.page.go_back()
    expect(tab.page.locator("#lines a").nth(80)).to_be_in_viewport()
    tab.page.go_forward()
    expect(tab.page.get_by_role("heading", name="What it cost")).to_be_visible()
    tab.page.go_back()
    expect(tab.page.locator("#lines a").nth(80)).to_be_in_viewport()
    tab.page.get_by_role("link", name="Older calls").click()
    expect(tab.page.get_by_role("link", name="Newest")).to_be_visible()
    assert tab.page.evaluate("scrollY") == 0


def test_going_back_to_what_can_not_be_shown_now_shows_that(tab: Tab) -> None:
    tab.page.goto("/?since=sometime")
    tab.page.get_by_role("link", name="Events").click()
    expect(tab.page.locator("#calls")).to_be_visible()
    tab.page.go_back()
    expect(tab.page.get_by_role("heading", name="This can't be shown")).to_be_visible()
    tab.wrong.clear()  # the browser's own word for an answer of 400


def test_going_back_once_the_session_has_ended_leads_to_the_login(tab: Tab) -> None:
    tab.page.goto("/explore")
    tab.page.get_by_role("link", name="Events").click()
    expect(tab.page.locator("#calls")).to_be_visible()
    tab.page.context.clear_cookies()
    tab.page.go_back()
    expect(tab.page.get_by_role("heading", name="Log in")).to_be_visible()
    assert asked(tab) == {"next": ["/explore"]}
    tab.wrong.clear()  # the browser's own word for an answer of 403


def test_of_two_pages_that_were_asked_for_the_later_one_stays(tab: Tab) -> None:
    held: list[Route] = []
    tab.page.goto("/health")
    tab.page.route("**/explore", lambda route: held.append(route))
    with tab.page.expect_request("**/explore"):
        tab.page.get_by_role("link", name="Explore").click()
    tab.page.get_by_role("link", name="Events").click()
    expect(tab.page.locator("#calls")).to_be_visible()
    let_go(held)
    tab.page.wait_for_timeout(500)
    assert urlsplit(tab.page.url).path == "/events"
    expect(tab.page.locator("#calls")).to_be_visible()
    tab.wrong.clear()  # htmx's word for the one that was given up


def test_who_goes_back_twice_is_shown_what_the_address_says(tab: Tab) -> None:
    held: list[Route] = []
    tab.page.goto("/health")
    for name, found in (("Explore", "#drawn"), ("Events", "#calls")):
        tab.page.get_by_role("link", name=name).click()
        expect(tab.page.locator(found)).to_be_visible()
    tab.page.route("**/explore", lambda route: held.append(route))
    with tab.page.expect_request("**/explore"):
        tab.page.evaluate("history.back()")
    with tab.page.expect_response("**/health"):
        tab.page.evaluate("history.back()")
    let_go(held)
    tab.page.wait_for_timeout(500)
    expect(tab.page.locator("#machine")).to_be_visible()
    assert urlsplit(tab.page.url).path == "/health"


def let_go(held: list[Route]) -> None:
    for route in held:
        with suppress(Error):  # nobody waits for it any more
            route.continue_()


def test_the_range_and_the_tab_that_are_chosen_are_in_sight_on_a_phone(browser: Browser, running: Served) -> None:
    with opened_tab(browser, running, 360) as tab:
        for asked in ("since=all&by=status", "since=2026-11-01&until=2026-11-02&by=tag"):
            tab.page.goto(f"/?{asked}")
            expect(tab.page.locator(".ranges [aria-current], .ranges [data-chosen]")).to_be_in_viewport(ratio=0.9)
            tab.page.locator("#ranking").evaluate("heading => heading.scrollIntoView()")
            expect(tab.page.locator("[aria-label='Group by'] [aria-current]")).to_be_in_viewport(ratio=0.9)


def test_fields_beside_each_other_are_of_one_height(tab: Tab) -> None:
    tab.page.goto("/explore")
    heights = "[...document.querySelectorAll('.explore-form label > *')].map((field) => field.offsetHeight)"
    assert len(set(tab.page.evaluate(heights))) == 1


def test_an_event_is_opened_and_leads_to_more_of_its_kind(tab: Tab) -> None:
    tab.page.goto("/events?where=project%3Dsearch")
    tab.page.locator("#lines a").first.click()
    expect(tab.page.get_by_role("heading", name="What it cost")).to_be_visible()
    tab.page.get_by_role("link", name="discovery").click()
    expect(tab.page.locator(".chip")).to_have_text(re.compile("team=discovery"))


def test_new_calls_appear_by_themselves(tab: Tab, running: Served) -> None:
    tab.page.goto("/events?where=project%3Dlive-now")
    tab.page.get_by_role("link", name="Go live").click()
    expect(tab.page.locator("[data-live]")).to_be_attached()
    event = {
        "event_id": "01a22000-0000-7000-8000-000000000001",
        "started_at": datetime.now(UTC).isoformat(),
        "duration_ms": 10,
        "operation": "chat",
        "model": "from-elsewhere",
        "project": "live-now",
    }
    with running.client(WRITER) as writer:
        assert writer.post("/api/v1/events", json=event).status_code == 200
    expect(tab.page.get_by_role("cell", name="from-elsewhere")).to_be_visible()
    assert asked(tab)["live"] == ["1"]


def test_a_page_on_a_wall_shows_new_figures_by_itself(browser: Browser, tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    with dashboard(dsn) as running, opened_tab(browser, running) as tab, running.client(WRITER) as writer:
        tab.page.clock.install()
        tab.page.goto("/?since=today")
        calls = tab.page.locator(".figure", has_text="Calls").first
        expect(calls.locator(".big")).to_have_attribute("title", "1")
        at = datetime.now(UTC).isoformat()
        event = {"event_id": str(uuid4()), "started_at": at, "duration_ms": 1, "operation": "chat"}
        assert writer.post("/api/v1/events", json=event).status_code == 200
        tab.page.wait_for_timeout((FRESH_SECONDS + STALE_SECONDS) * 1000)
        tab.page.clock.run_for(70_000)
        expect(calls.locator(".big")).to_have_attribute("title", "2")


def test_a_page_that_somebody_has_filtered_before_leaving_shows_new_figures_too(
    browser: Browser, tmp_path: Path
) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    with dashboard(dsn) as running, opened_tab(browser, running) as tab:
        tab.page.clock.install()
        tab.page.goto("/?since=today")
        tab.page.locator("#filter").fill("app=tests")
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator(".chip")).to_have_text(re.compile("app=tests"))
        expect(tab.page.locator("#filter")).to_be_focused()
        asked = len(tab.asked)
        tab.page.clock.run_for(200_000)
        assert len(tab.asked) == asked, "somebody may be about to type another one"
        with tab.page.expect_response(re.compile("app%3Dtests")):
            tab.page.clock.run_for(200_000)


def test_where_the_server_is_gone_the_page_says_so_and_keeps_its_figures(browser: Browser, tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    with dashboard(dsn) as running, opened_tab(browser, running) as tab:
        tab.page.goto("/?since=today")
        tab.page.route("**/*", lambda route: route.abort())
        tab.page.get_by_role("link", name="Project", exact=True).click()
        expect(tab.page.get_by_role("status")).to_contain_text("can't be reached")
        expect(tab.page.locator("#ranking")).to_have_text("By model")
        tab.page.unroute("**/*")
        tab.page.get_by_role("link", name="Project", exact=True).click()
        expect(tab.page.locator("#ranking")).to_have_text("By project")
        expect(tab.page.get_by_role("status")).to_be_hidden()
        tab.wrong = [text for text in tab.wrong if "ERR_FAILED" not in text and not text.startswith("htmx:")]


def test_hostile_names_are_shown_and_do_nothing(browser: Browser, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
    sql = "x'; DROP TABLE usage_event; --"
    events = [made_event(datetime.now(UTC), model=evil, project=sql, user_id=evil, tags=(evil,))]
    with dashboard(filled(tmp_path / "usage.db", events)) as running, opened_tab(browser, running) as tab:
        for path in ("/", "/?by=tag", "/explore?by=day,user", "/explore?by=model", "/events"):
            tab.page.goto(path)
            expect(tab.page.get_by_text(evil).first).to_be_attached()
        tab.page.goto("/?by=project")
        tab.page.get_by_role("link", name=sql).click()
        expect(tab.page.locator(".ranking tbody tr")).to_have_count(1)
        tab.page.goto("/")
        box = tab.page.locator("#chart .plot").bounding_box()
        assert box is not None
        tab.page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] * 0.8)
        expect(tab.page.locator(".tip span").first).to_have_text(evil)


def test_a_page_comes_back_by_itself_when_the_database_does(browser: Browser, own_postgres: PostgresServer) -> None:
    dsn = own_postgres.dsn(own_postgres.create(migrated=True))
    with dashboard(dsn) as running, opened_tab(browser, running) as tab:
        tab.page.goto("/")
        own_postgres.stop()
        tab.page.goto("/?since=3d")
        expect(tab.page.get_by_role("heading", name="The store is away")).to_be_visible()
        own_postgres.start()
        expect(tab.page.locator(".figures-row")).to_be_visible()
        tab.wrong = [text for text in tab.wrong if "503" not in text]


def test_a_page_on_a_wall_outlasts_a_proxy_whose_server_restarts(browser: Browser, tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
    with dashboard(dsn) as running, opened_tab(browser, running) as tab:
        tab.page.clock.install()
        tab.page.goto("/?since=today")
        tab.page.route("**/?since=today", lambda route: route.fulfill(status=502, body="<h1>502 Bad Gateway</h1>"))
        tab.page.clock.run_for(70_000)
        expect(tab.page.get_by_role("status")).to_contain_text("no answer just now")
        expect(tab.page.locator(".figures-row")).to_be_visible()
        tab.page.unroute("**/?since=today")
        tab.page.clock.run_for(70_000)
        expect(tab.page.locator("#said")).to_be_empty()
        expect(tab.page.locator(".figures-row")).to_be_visible()
        tab.wrong = [text for text in tab.wrong if "502" not in text]


def test_a_live_list_outlasts_a_database_that_is_away(browser: Browser, own_postgres: PostgresServer) -> None:
    dsn = own_postgres.dsn(own_postgres.create(migrated=True))
    with dashboard(dsn) as running, opened_tab(browser, running) as tab, running.client(WRITER) as writer:
        event = {"started_at": datetime.now(UTC).isoformat(), "duration_ms": 1, "operation": "chat"}
        assert writer.post("/api/v1/events", json={**event, "event_id": str(uuid4())}).status_code == 200
        tab.page.goto("/events?live=1")
        rows = tab.page.locator("#lines tr")
        expect(rows).to_have_count(1)
        own_postgres.stop()
        expect(tab.page.get_by_role("status")).to_contain_text("no answer just now")
        expect(rows).to_have_count(1)
        own_postgres.start()
        assert writer.post("/api/v1/events", json={**event, "event_id": str(uuid4())}).status_code == 200
        expect(rows).to_have_count(2)
        expect(tab.page.locator("#said")).to_be_empty()
        tab.wrong.clear()  # the browser's own words for answers that are errors


def test_a_budget_is_added_changed_and_removed(browser: Browser, small: Served) -> None:
    with opened_tab(browser, small, role="admin") as tab:
        page = tab.page
        page.goto("/budgets")
        page.get_by_role("link", name="New budget").click()
        page.get_by_label("Name", exact=True).fill("search")
        page.get_by_label("Limit", exact=True).fill("much")
        page.get_by_role("button", name="Add it").click()
        expect(page.get_by_role("alert")).to_contain_text("is no limit")
        page.get_by_label("Limit", exact=True).fill("25")
        page.get_by_label("Calls that count").fill("project=search")
        page.get_by_role("button", name="Add it").click()
        row = page.locator(".standing tbody tr", has_text="project=search")
        expect(row).to_contain_text("$25.00")
        page.get_by_role("link", name="search", exact=True).click()
        page.get_by_label("Limit", exact=True).fill("30")
        page.get_by_role("button", name="Save").click()
        expect(row).to_contain_text("$30.00")
        expect(page.locator(".changes tbody tr").first).to_contain_text("changed search: limit 25 → 30")
        page.get_by_role("link", name="search", exact=True).click()
        page.get_by_role("link", name="Remove").click()
        page.get_by_role("button", name="Remove it").click()
        expect(page.locator(".changes tbody tr").first).to_contain_text("removed search")
        expect(row).to_have_count(0)
        tab.wrong = [text for text in tab.wrong if "422" not in text]


def test_going_back_from_a_budget_that_was_corrected_sends_nothing_again(browser: Browser, tmp_path: Path) -> None:
    with (
        dashboard(filled(tmp_path / "usage.db", [made_event(NOW)]), edit=True) as running,
        opened_tab(browser, running, 390, role="admin") as tab,
    ):
        page = tab.page
        page.goto("/budgets?new=1")
        page.get_by_label("Name", exact=True).fill("search")
        page.get_by_label("Limit", exact=True).fill("much")
        page.get_by_role("button", name="Add it").click()
        expect(page.get_by_role("alert")).to_contain_text("is no limit")
        expect(page.get_by_role("alert")).to_be_in_viewport()
        page.get_by_label("Limit", exact=True).fill("25")
        page.get_by_role("button", name="Add it").click()
        expect(page.locator(".standing")).to_contain_text("$25.00")
        for _ in range(2):
            page.go_back()
            expect(page.get_by_role("heading", name="Within all budgets")).to_be_visible()
        expect(page.get_by_role("heading", name="New budget")).to_be_visible()
        tab.wrong = [text for text in tab.wrong if "422" not in text]


def test_without_scripts_a_page_says_the_same(browser: Browser, running: Served) -> None:
    context = browser.new_context(base_url=running.url, java_script_enabled=False)
    context.add_cookies([running.session()])
    page = context.new_page()
    page.goto("/?since=29d")
    page.get_by_text("Cost by day as a table").click()
    assert page.locator(".figures table tbody tr").count() == 30
    page.get_by_role("link", name="gpt-4o-2024-08-06").click()
    expect(page.locator(".ranking tbody tr")).to_have_count(1)
    context.close()


def test_a_page_that_looks_again_does_so_without_scripts_too(browser: Browser, tmp_path: Path) -> None:
    with dashboard(f"sqlite:///{tmp_path}/usage.db") as running:
        context = browser.new_context(base_url=running.url, java_script_enabled=False)
        context.add_cookies([running.session()])
        page = context.new_page()
        page.goto("/")
        expect(page.get_by_role("heading", name="No calls yet")).to_be_visible()
        filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])
        expect(page.locator(".figures-row")).to_be_visible()
        context.close()
