"""`usage-tracker reconcile`: a provider's own figures beside ours, by day, model and project."""

import csv
import io
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from admin_server import KEY, Admin, serving
from click.testing import Result
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated
from ports import free_port

from usage_tracker.event import PricedEvent
from usage_tracker.report.accounts import Account, BadPage, Figures, model_of
from usage_tracker.report.reconciling import Tolerance, own_name
from usage_tracker.stores import Store

DAYS = ("--since", "2026-08-14", "--until", "2026-08-16")
DAY = NOON.date()
APART = 6


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    found = f"sqlite:///{tmp_path}/usage.db"
    if request.param == "postgres":
        found = str(request.getfixturevalue("empty_postgres_dsn"))
    monkeypatch.setenv("TRACKER_DSN", found)
    return found


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with migrated(dsn) as found:
        yield found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that nothing was ever laid into."""
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/none.db")


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", KEY)
    with serving() as found:
        yield found


def command(*words: str, code: int = 0) -> Result:
    result = invoke("reconcile", *words)
    assert result.exit_code == code, result.output
    return result


def rows(*words: str, code: int = 0) -> Any:
    return json.loads(command(*words, "-o", "json", code=code).stdout)


def costs(admin: Admin, line_item: str, value: Any, day: date = DAY, project: str | None = "proj_a") -> None:
    amount = {"value": value, "currency": "usd"}
    admin.add("costs", day, object="organization.costs.result", amount=amount, line_item=line_item, project_id=project)


def completions(admin: Admin, model: str, tokens: tuple[int, int], day: date = DAY, calls: int = 1) -> None:
    admin.add(
        "usage/completions",
        day,
        object="organization.usage.completions.result",
        num_model_requests=calls,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        input_cached_tokens=0,
        model=model,
        project_id="proj_a",
    )


def workspace_costs(admin: Admin, cents: str, day: date = DAY, **fields: Any) -> None:
    admin.add("cost_report", day, amount=cents, currency="USD", workspace_id=None, **fields)


def claude(**fields: Any) -> PricedEvent:
    return made_event(**{"provider": "anthropic", "model": "claude-sonnet-4-5-20250929", **fields})


def test_what_agrees_with_openai_to_the_cent_agrees(store: Store, admin: Admin) -> None:
    made = [made_event(cost=cost, cache_read_tokens=0) for cost in ("0.30", "0.20")]
    store_events(store, [*made, made_event(status="error", cost=None)])
    costs(admin, "gpt-4o, input", 0.1)
    costs(admin, "gpt-4o, output", "0.4")
    completions(admin, "gpt-4o", (300, 30), calls=2)
    found = rows("openai", *DAYS, "--base-url", admin.address)
    assert found["apart"] is False
    [row] = found["rows"]
    assert (row["day"], row["model"], row["difference"], row["unpriced"]) == ("2026-08-15", "gpt-4o", "0", 0)
    same = {"calls": 2, "input_tokens": 300, "cache_read_tokens": 0, "output_tokens": 30, "cost": "0.5"}
    assert row["ours"] == row["theirs"] == same
    assert "The only row agrees with openai." in command("openai", *DAYS, "--base-url", admin.address).stderr


def test_every_page_of_every_address_is_read(here: None, admin: Admin) -> None:
    for count in range(3):
        costs(admin, "gpt-4o, input", 1, date(2026, 8, 14) + timedelta(days=count))
    found = rows("openai", *DAYS, "--base-url", admin.address, code=APART)
    assert [row["day"] for row in found["rows"]] == ["2026-08-14", "2026-08-15", "2026-08-16"]
    assert found["total"]["theirs"]["cost"] == "3"
    paths = [path for path, _ in admin.asked]
    assert paths.count("/v1/organization/costs") == 2, "two days on a page"
    assert {path.rpartition("/")[2] for path in paths} == {
        "costs", "completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions"
    }  # fmt: skip
    [first, second] = [words for path, words in admin.asked if path.endswith("/costs")]
    assert first["group_by[]"] == ["project_id", "line_item"]
    assert datetime.fromtimestamp(int(first["start_time"][0]), UTC) == datetime(2026, 8, 14, tzinfo=UTC)
    assert datetime.fromtimestamp(int(first["end_time"][0]), UTC) == datetime(2026, 8, 17, tzinfo=UTC)
    assert second["page"] == ["page_2"]


def test_anthropics_amounts_are_cents_and_its_tokens_are_apart(store: Store, admin: Admin) -> None:
    store_events(store, [claude(cost="1.2378912", input_tokens=4000, output_tokens=100, cache_read_tokens=500)])
    model = "claude-sonnet-4-5-20250929"
    workspace_costs(admin, "100.5", model=model, description="Claude Sonnet 4.5 Usage - Input Tokens")
    workspace_costs(admin, "23.28912", model=model, description="Claude Sonnet 4.5 Usage - Output Tokens")
    admin.add(
        "usage_report/messages",
        DAY,
        uncached_input_tokens=2500,
        cache_creation={"ephemeral_1h_input_tokens": 700, "ephemeral_5m_input_tokens": 300},
        cache_read_input_tokens=500,
        output_tokens=100,
        model=model,
        workspace_id=None,
        server_tool_use={"web_search_requests": 0},
    )
    [row] = rows("anthropic", *DAYS, "--base-url", admin.address)["rows"]
    assert (row["theirs"]["cost"], row["difference"]) == ("1.2378912", "0")
    assert (row["theirs"]["input_tokens"], row["theirs"]["cache_read_tokens"]) == (4000, 500)
    assert row["theirs"]["calls"] is None, "Anthropic doesn't count them"
    words = next(words for path, words in admin.asked if path == "/v1/organizations/cost_report")
    assert words["starting_at"] == ["2026-08-14T00:00:00Z"]
    assert words["group_by[]"] == ["workspace_id", "description"]


def test_what_is_no_models_is_a_row_of_its_own_and_fits_by_day(store: Store, admin: Admin) -> None:
    store_events(store, [claude(cost="1.01", input_tokens=None, output_tokens=None)])
    workspace_costs(admin, "100", model="claude-sonnet-4-5-20250929", description="Input Tokens")
    workspace_costs(admin, "1", model=None, description="Web Search Usage", cost_type="web_search")
    by_model = rows("anthropic", *DAYS, "--base-url", admin.address, "--by", "model", "--ignore", "0.005", code=APART)[
        "rows"
    ]
    assert [row["model"] for row in by_model] == ["Web Search Usage", "claude-sonnet-4-5-20250929"]
    [day] = rows("anthropic", *DAYS, "--base-url", admin.address, "--by", "day", "--ignore", "0")["rows"]
    assert day["difference"] == "0"


def test_what_is_apart_ends_with_an_exit_code_and_is_marked(store: Store, admin: Admin) -> None:
    store_events(store, [made_event(cost="0.90"), made_event(model="gpt-5", cost="2")])
    store_events(store, [made_event(model="gpt-5", cost=None, flags=["unpriced"])])
    costs(admin, "gpt-4o, input", 0.9)
    costs(admin, "gpt-5, output", 2.5)
    result = command("openai", *DAYS, "--base-url", admin.address, code=APART)
    assert "1 of 2 rows is apart from openai's figures" in result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if line.startswith("2026-08-15")]
    assert [line[1] for line in lines] == ["gpt-5", "gpt-4o"]
    assert lines[0][-6:] == ["$2.0000", "$2.5000", "-$0.5000", "-20", "%", "≠"]
    assert lines[1][-4:] == ["$0.9000", "$0.0000", "+0.0", "%"]
    text = command("openai", *DAYS, "--base-url", admin.address, "-o", "csv", code=APART).stdout
    listed = [
        (each["model"], each["difference"], each["unpriced"], each["apart"])
        for each in csv.DictReader(io.StringIO(text))
    ]
    assert listed == [("gpt-5", "-0.5", "1", "true"), ("gpt-4o", "0", "0", "false")]


@pytest.mark.parametrize(
    ("words", "code"),
    [((), APART), (("--tolerance", "19%"), APART), (("--tolerance", "20%"), 0), (("--ignore", "0.5"), 0)],
)
def test_how_far_apart_is_too_far_is_the_users_choice(
    store: Store, admin: Admin, words: tuple[str, ...], code: int
) -> None:
    store_events(store, [made_event(cost="2")])
    costs(admin, "gpt-4o, input", 2.5)
    command("openai", *DAYS, "--base-url", admin.address, *words, code=code)


def test_tokens_that_are_apart_count_too(store: Store, admin: Admin) -> None:
    store_events(store, [made_event(cost="1")])
    costs(admin, "gpt-4o, input", 1)
    completions(admin, "gpt-4o", (5000, 10))
    command("openai", *DAYS, "--base-url", admin.address, code=APART)


def test_projects_are_compared_by_our_names(store: Store, admin: Admin) -> None:
    store_events(store, [made_event(cost="1", project="web"), made_event(cost="2", project="jobs")])
    costs(admin, "gpt-4o, input", 1, project="proj_a")
    costs(admin, "gpt-4o, input", 2, project="proj_b")
    costs(admin, "gpt-4o, input", 9, project="proj_others")
    words = ("openai", *DAYS, "--base-url", admin.address, "--by", "project")
    named = ("--project", "proj_a=web", "--project", "proj_b=jobs")
    assert [(row["project"], row["difference"]) for row in rows(*words, *named, code=APART)["rows"]] == [
        ("proj_others", "-9"), ("jobs", "0"), ("web", "0")
    ]  # fmt: skip
    assert rows(*words, *named, "--only", "proj_a", "--only", "proj_b")["apart"] is False
    [row] = rows(*words, *named, "--only", "proj_a", "--where", "project=web")["rows"]
    assert row["ours"]["cost"] == row["theirs"]["cost"] == "1"


def test_saved_answers_are_compared_without_a_key(
    store: Store, admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(store, [made_event(cost="0.1"), made_event(NOON - timedelta(days=40), cost="7")])
    costs(admin, "gpt-4o, input", 0.1)
    completions(admin, "gpt-4o", (100, 10))
    saved = tmp_path / "pages.json"
    asked = rows("openai", *DAYS, "--base-url", admin.address, "--save", str(saved))
    assert KEY not in saved.read_text()
    monkeypatch.delenv("OPENAI_ADMIN_KEY")
    assert rows("openai", "--from", str(saved)) == asked, "the days that the file is about"
    [row] = rows("openai", "--from", str(saved), "--since", "2026-08-15")["rows"]
    assert row["difference"] == "0"


@pytest.mark.parametrize("option", ["--save", "--base-url"])
def test_what_is_for_asking_is_refused_beside_files(here: None, tmp_path: Path, option: str) -> None:
    (tmp_path / "pages.json").write_text("[]")
    words = ["reconcile", "openai", "--from", str(tmp_path / "pages.json"), option, "https://localhost/saved.json"]
    result = invoke(*words)
    assert (result.exit_code, f"{option} goes without --from" in result.stderr) == (2, True)


@pytest.mark.parametrize("form", ["{0}\n{1}", "[{0}, {1}]", "\ufeff{0}{1}\n"])
def test_files_hold_pages_in_any_way_that_people_save_them(here: None, tmp_path: Path, form: str) -> None:
    found = tmp_path / "pages.json"
    found.write_text(form.replace("{0}", page("0.5", more=True)).replace("{1}", page("0.25", DAY + timedelta(days=1))))
    assert rows("openai", "--from", str(found), code=APART)["total"]["theirs"]["cost"] == "0.75"


def test_of_files_too_only_days_that_are_over_are_compared(here: None, tmp_path: Path) -> None:
    found, today = tmp_path / "pages.json", datetime.now(UTC).date()
    found.write_text(page("0.5", today - timedelta(days=1)) + page("0.25", today))
    assert rows("openai", "--from", str(found), code=APART)["total"]["theirs"]["cost"] == "0.5"
    found.write_text(page("0.25", today))
    assert "is over yet" in command("openai", "--from", str(found), code=2).stderr


def page(value: str, day: date = DAY, *, more: bool = False, **changes: Any) -> str:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    result = {
        "object": "organization.costs.result",
        "amount": {"value": value, "currency": "usd"},
        "line_item": "gpt-4o, input",
        "project_id": None,
    }
    bucket = {"start_time": start, "end_time": start + 86_400, "results": [{**result, **changes}]}
    return json.dumps({"data": [bucket], "has_more": more, "next_page": "page_2" if more else None})


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (page("1", more=True), (), "its last page says that another one follows"),
        ("<html>", (), "holds no JSON"),
        ('{"data": []}', (), "says with has_more whether"),
        ('{"data": 1, "has_more": false}', (), "no list of data"),
        ('{"data": [], "has_more": false}', (), "hold no costs and no usage"),
        (page("1", amount={"value": 1, "currency": "eur"}), (), "in eur, not in US dollars"),
        (page("1", amount="1"), (), "an amount has no value"),
        (page("much"), (), "an amount is no number"),
        (page("NaN"), (), "an amount is no number"),
        (page("1e999999"), (), "an amount is beyond any measure"),
        ("[" * 100_000, (), "holds no JSON"),
        (page("1", object=None), (), "doesn't say what it is"),
        (page("1", line_item=["x"]), (), "line_item is no text"),
        (page("1", line_item=None), (), "aren't grouped by line_item"),
        (page("1"), ("--only", "proj_a"), "aren't grouped by project"),
        (page("1"), ("--since", "2026-01-01", "--until", "2026-01-02"), "the files are about 2026-08-15 to 2026-08-15"),
    ],
)
def test_answers_that_cant_be_compared_are_refused(
    here: None, tmp_path: Path, text: str, words: tuple[str, ...], said: str
) -> None:
    found = tmp_path / "pages.json"
    found.write_text(text)
    result = invoke("reconcile", "openai", "--from", str(found), *words)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("provider", "result", "said"),
    [
        ("openai", {"object": "organization.usage.completions.result", "num_model_requests": True}, "no whole number"),
        ("openai", {"object": "organization.usage.completions.result", "num_model_requests": 1.5}, "no whole number"),
        ("anthropic", {"uncached_input_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": "5"}}, "no whole"),
        ("anthropic", {"uncached_input_tokens": 5, "cache_creation": 5}, "cache_creation is no object"),
        ("anthropic", {"output_tokens": 5}, "neither an amount nor tokens"),
    ],
)
def test_a_figure_that_is_none_is_never_taken_for_one(provider: str, result: dict[str, Any], said: str) -> None:
    times: dict[str, Any] = {"start_time": 1_800_057_600, "end_time": 1_800_144_000}
    if provider == "anthropic":
        times = {"starting_at": "2027-01-16T00:00:00Z", "ending_at": "2027-01-17T00:00:00Z"}
    with pytest.raises(BadPage, match=said):
        Account(provider).add([{"data": [{**times, "results": [result]}]}])


@pytest.mark.parametrize("start", [86_400 * 10**9, -86_400 * 10**6])
def test_a_day_of_no_calendar_is_none(start: int) -> None:
    bucket = {"start_time": start, "end_time": start + 86_400, "results": []}
    with pytest.raises(BadPage, match="no whole days of UTC"):
        Account("openai").add([{"data": [bucket]}])


def test_hours_are_no_days() -> None:
    account = Account("openai")
    bucket = {"start_time": 1_800_000_000, "end_time": 1_800_003_600, "results": []}
    with pytest.raises(BadPage, match="no whole days of UTC"):
        account.add([{"data": [bucket]}])
    with pytest.raises(BadPage, match="no starting_at"):
        Account("anthropic").add([{"data": [bucket]}])


def test_the_key_is_never_shown_and_never_sent_elsewhere(
    here: None, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-wrong-and-secret")
    refused = command("openai", *DAYS, "--base-url", admin.address, code=1)
    assert "refused the key (HTTP 401)" in refused.stderr
    assert "OPENAI_ADMIN_KEY" in refused.stderr
    assert "secret" not in refused.output
    admin.failures = [(302, {"Location": f"{admin.address}/organization/costs"}, "")]
    before = len(admin.asked)
    assert "HTTP 302" in command("openai", *DAYS, "--base-url", admin.address, code=1).stderr
    assert len(admin.asked) == before + 1, "a redirection isn't followed"
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-\x7f\nsecret")
    assert "secret" not in command("openai", *DAYS, "--base-url", admin.address, code=1).output
    for address in ("http://127.0.0.2:1/v1", "http://ip6-localhost:1/v1"):
        assert "encrypted" not in command("openai", *DAYS, "--base-url", address, code=1).stderr, "it is this machine"
    unsafe = command("openai", *DAYS, "--base-url", "http://gateway.example/v1", code=2)
    assert "isn't encrypted" in unsafe.stderr
    for address in ("https://me:secret@127.0.0.1:1/v1", "http://secret@gateway.example/v1", "ftp://me:secret@there"):
        named = command("openai", *DAYS, "--base-url", address, code=2)
        assert "a user in front of the host" in named.stderr
        assert "secret" not in named.output


def test_a_key_for_this_machine_goes_through_no_proxy(
    here: None, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    command("openai", *DAYS, "--base-url", admin.address)
    assert admin.asked


def test_a_busy_server_is_asked_again_and_a_refusal_is_told(here: None, admin: Admin) -> None:
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    admin.failures = [(429, {"Retry-After": "0"}, ""), (503, {"Retry-After": past}, "")]
    command("openai", *DAYS, "--base-url", admin.address)
    admin.failures = [(400, {}, json.dumps({"error": {"message": "'limit' is too large\x1b[2J"}}))]
    refused = command("openai", *DAYS, "--base-url", admin.address, code=1)
    assert "HTTP 400 for /v1/organization/costs: 'limit' is too large\\x1b[2J" in refused.stderr
    admin.failures = [(500, {"Retry-After": "0"}, "oops")] * 4
    assert "HTTP 500" in command("openai", *DAYS, "--base-url", admin.address, code=1).stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"hello\r\n\r\n", "no HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "no HTTP (IncompleteRead)"),
        (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "answered HTTP 400"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"[" * 100_000, "no JSON"),
    ],
)
def test_what_isnt_such_a_server_is_said_to_be_none(
    here: None, monkeypatch: pytest.MonkeyPatch, answer: bytes, said: str
) -> None:
    def reply() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        replying = threading.Thread(target=reply)
        replying.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert said in command("openai", *DAYS, "--base-url", address, code=1).stderr
        replying.join()


def test_pages_without_an_end_are_refused(here: None, admin: Admin) -> None:
    body = json.dumps({"data": [], "has_more": True, "next_page": "page_1"})
    admin.failures = [(200, {}, body)] * 2
    assert "another page, and not which" in command("openai", *DAYS, "--base-url", admin.address, code=1).stderr


def test_without_a_key_or_a_server_the_way_out_is_told(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    assert "OPENAI_ADMIN_KEY isn't set" in command("openai", code=2).stderr
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    closed = command("openai", *DAYS, "--base-url", "http://127.0.0.1:9/v1", code=1)
    assert "can't be reached" in closed.stderr
    assert "--from" in closed.stderr


def test_only_days_that_are_over_are_compared(here: None, admin: Admin) -> None:
    today = datetime.now(UTC).date()
    found = rows("openai", "--base-url", admin.address)
    assert found["range"]["since"] == f"{today - timedelta(days=7)}T00:00:00Z"
    assert found["range"]["until"] == f"{today}T00:00:00Z"
    assert rows("openai", "--since", "3d", "--until", "today", "--base-url", admin.address)["range"] == {
        "since": f"{today - timedelta(days=3)}T00:00:00Z", "until": f"{today}T00:00:00Z", "tz": "UTC"
    }  # fmt: skip
    assert "is over yet" in command("openai", "--since", "today", "--until", "today", code=2).stderr
    assert "whole days" in command("openai", "--since", "2026-08-01T10:00", code=2).stderr
    assert "from which day" in command("openai", "--since", "all", code=2).stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [("--by", "day,day"), ("--by", "team"), ("--tolerance", "much"), ("--tolerance", "-1%"), ("--ignore", "NaN"),
     ("--project", "web"), ("--base-url", "ftp://x")],
)  # fmt: skip
def test_an_option_that_means_nothing_is_refused(here: None, option: str, value: str) -> None:
    assert option in command("openai", option, value, code=2).stderr


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("gpt-5.2-2025-12-11, input", "gpt-5.2-2025-12-11"),
        ("gpt-4o-mini, cached input", "gpt-4o-mini"),
        ("gpt-6-astra, input_tokens", "gpt-6-astra"),
        ("gpt-image-1, image output", "gpt-image-1"),
        ("web search tool calls", "web search tool calls"),
        ("code interpreter sessions, 1 GB", "code interpreter sessions, 1 GB"),
        (None, None),
    ],
)
def test_a_line_of_the_bill_names_a_model(line: str | None, model: str | None) -> None:
    assert model_of(line) == model


def test_a_name_with_and_one_without_its_date_are_one_model() -> None:
    assert own_name("claude-opus-4-5", {"claude-opus-4-5-20251101"}) == "claude-opus-4-5-20251101"
    assert own_name("gpt-4o-2024-08-06", {"gpt-4o", None}) == "gpt-4o"
    assert own_name("gpt-4o-2024-08-06", {"gpt-4o-2024-05-13"}) == "gpt-4o-2024-08-06", "two versions are two models"
    assert own_name("gpt-4o", {"gpt-4o-2024-05-13", "gpt-4o-2024-08-06"}) == "gpt-4o", "which one isn't known"


def test_what_a_provider_doesnt_say_is_no_difference() -> None:
    tolerance = Tolerance(Decimal("0.01"), Decimal("0.01"))
    assert tolerance.holds(Figures(cost=Decimal(5)), Figures())
    assert not tolerance.holds(Figures(), Figures(cost=Decimal(5)))
