"""`usage-tracker budget`: set, list, show, status, check, rm, alerts, as one types them."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from commanding import invoke
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store

Type = Callable[..., Result]


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("empty_postgres_dsn"))
    return f"sqlite:///{tmp_path}/usage.db"


@pytest.fixture
def budget(dsn: str, tmp_path: Path) -> Type:
    def run(*words: str) -> Result:
        environment = {"TRACKER_DSN": dsn, "TRACKER_SPOOL_DIR": str(tmp_path / "spool"), "COLUMNS": "200"}
        return invoke("budget", *words, env=environment)

    return run


def spend(dsn: str, *costs: str, **said: str) -> None:
    with migrated(dsn) as store:
        store_events(store, [made_event(datetime.now(UTC), cost=cost, **said) for cost in costs])


def test_a_budget_is_set_listed_changed_and_removed(budget: Type, tmp_path: Path) -> None:
    assert "No budgets yet" in budget("list").stderr
    said = budget("set", "frontend", "--where", "team=frontend", "--limit", "100", "--soft", "80%")
    assert said.exit_code == 0, said.output
    assert "Added: frontend: $100.00 a month for team=frontend; only alerts; alerts at 80 %, 100 %" in said.stderr
    assert "Changed: frontend: $150.00 a month for team=frontend" in budget("set", "frontend", "--limit", "150").stderr
    assert "team=frontend" in budget("list").stdout
    assert json.loads(budget("list", "-o", "json").stdout)["budgets"][0]["limit"] == "150"
    assert json.loads((tmp_path / "spool" / "budgets.json").read_text())["budgets"][0]["name"] == "frontend"
    assert budget("rm", "frontend").exit_code == 0
    assert json.loads((tmp_path / "spool" / "budgets.json").read_text())["budgets"] == []
    gone = budget("rm", "frontend")
    assert (gone.exit_code, "there is no budget 'frontend'" in gone.output) == (2, True)


def test_a_budget_without_a_name_takes_no_other_ones_place(budget: Type) -> None:
    first = ("--where", "model=gpt-4*", "--limit", "100", "--on-limit", "block")
    assert "Added: some-cost-month" in budget("set", *first).stderr
    said = budget("set", "--where", "model=claude*", "--limit", "5")
    assert said.exit_code == 2
    assert "the budget some-cost-month is for model=gpt-4*; give this one a NAME of its own" in said.output
    said = budget("set", "--where", "model=gpt-4*", "--limit", "150")
    assert "Changed: some-cost-month: $150.00 a month for model=gpt-4*; refuses calls" in said.stderr, "keeps the rest"


def test_a_budget_that_a_newer_version_wrote_is_removed_but_not_changed(budget: Type, dsn: str) -> None:
    budget("set", "frontend", "--limit", "100")
    with closing(open_store(parse_dsn(dsn))) as store:
        newer = '{"name":"frontend","limit":"100","on_limit":"ask"}'
        sql = f"UPDATE {store.dialect.prefix}budget SET definition = {store.dialect.placeholder}"
        store.change(lambda execute: execute(sql, [newer]))
    refused = budget("set", "frontend", "--limit", "150")
    assert refused.exit_code == 4
    assert "Error: the budget frontend is of a newer version; upgrade usage_tracker to change it" in refused.stderr
    with closing(open_store(parse_dsn(dsn))) as store:
        assert list(store.select(f"SELECT definition FROM {store.dialect.prefix}budget")) == [(newer,)]
    assert budget("rm", "frontend").exit_code == 0


def test_of_a_limit_per_minute_it_is_said_that_nothing_is_known_here(budget: Type) -> None:
    budget("set", "keys", "--limit", "60 calls", "--per", "minute", "--on-limit", "throttle")
    for words in (("status",), ("status", "keys"), ("check",), ("check", "keys")):
        said = budget(*words)
        assert (said.exit_code, said.stdout) == (0, "")
        assert said.stderr == (
            "keys: limits per minute count within the programs that make the calls, so nothing is known of them here.\n"
        )
    budget("set", "all", "--limit", "100")
    said = budget("status")
    assert "all" in said.stdout
    assert said.stderr.startswith("keys: limits per minute")
    assert budget("check").stderr.startswith("1 budget has room.\nkeys: limits per minute")
    assert [each["name"] for each in json.loads(budget("status", "-o", "json").stdout)["budgets"]] == ["all"]


def test_status_says_what_is_spent_and_left_by_part(budget: Type, dsn: str) -> None:
    budget("set", "users", "--each", "user", "--limit", "1", "--per", "day", "--on-limit", "block")
    spend(dsn, "0.75", "0.5", user_id="u-1")
    spend(dsn, "0.25", user_id="u-2")
    spend(dsn, "0.1")
    parts = {part["part"]: part for part in json.loads(budget("status", "-o", "json").stdout)["budgets"]}
    assert {name: part["spent"] for name, part in parts.items()} == {"u-1": "1.25", "u-2": "0.25", "(none)": "0.1"}
    assert (parts["u-1"]["state"], parts["u-1"]["left"]) == ("refused", "-0.25")
    assert (parts["u-2"]["state"], parts["u-2"]["over"]) == ("ok", False)
    table = budget("status").stdout
    assert "u-1" in table
    assert "$1.25" in table
    assert "refuses calls" in budget("show", "users").stderr


def test_times_of_budgets_say_their_zone(budget: Type, dsn: str) -> None:
    budget("set", "here", "--limit", "1", "--per", "day")
    budget("set", "there", "--limit", "1", "--per", "day", "--tz", "Asia/Kathmandu")
    assert re.findall(r" 00:00 \S+", budget("status").stdout) == [" 00:00 UTC", " 00:00 +0545"]


def test_check_exits_with_3_where_one_is_used_up(budget: Type, dsn: str) -> None:
    budget("set", "tokens", "--limit", "200 tokens", "--per", "24h")
    budget("set", "calls", "--limit", "2 calls", "--per", "week", "--tz", "Europe/Berlin")
    spend(dsn, "0.01")
    assert budget("check").exit_code == 0
    spend(dsn, "0.01")
    over = budget("check")
    assert over.exit_code == 3
    assert "tokens: 220 tokens of 200 tokens per 24h" in over.stderr
    assert "calls: 2 calls of 2 calls per week" in over.stderr
    assert budget("check", "nonesuch").exit_code == 2


def test_a_model_is_the_one_that_was_asked_for(budget: Type, dsn: str) -> None:
    budget("set", "big", "--where", "model=gpt-4o", "--limit", "1")
    spend(dsn, "2", request_model="gpt-4o", model="gpt-4o-2024-11-20")
    assert budget("check", "big").exit_code == 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["x"], "needs a --limit"),
        (["x", "--limit", "-5"], "more than 0"),
        (["x", "--limit", "lots"], "is no limit"),
        (["x", "--limit", "1e999999999"], "is no limit"),
        (["x", "--limit", "1e9999"], "a limit of more than 1,000,000,000 dollars would never"),
        (["x", "--limit", "5", "--where", "team=a*", "--where", "team=b*"], "never match"),
        (["x", "--limit", "5", "--where", "tem=a"], "did you mean team?"),
        (["x", "--limit", "5", "--where", "status=ok"], "can't be the scope"),
        (["x", "--limit", "5", "--where", "team=a", "--where", "team=b"], "never match"),
        (["x", "--limit", "5", "--each", "moon"], "can't be the scope"),
        (["x", "--limit", "5", "--per", "blue moon"], "no window"),
        (["x", "--limit", "5", "--tz", "Mars"], "time zone"),
        (["x", "--limit", "5", "--soft", "0"], "80%"),
        (["x", "--limit", "5", "--per", "minute"], "per minute"),
        (["x y", "--limit", "5"], "no name"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(tmp_path: Path, words: list[str], why: str) -> None:
    environment = {"TRACKER_DSN": f"sqlite:///{tmp_path}/usage.db", "TRACKER_SPOOL_DIR": str(tmp_path / "spool")}
    said = invoke("budget", "set", *words, env=environment)
    assert said.exit_code == 2
    assert why in said.output
    assert "Traceback" not in said.output


def test_a_scope_that_no_call_was_in_lately_is_said(budget: Type, dsn: str) -> None:
    assert "None of the calls" not in budget("set", "x", "--limit", "5", "--where", "team=frontned").output
    spend(dsn, "0.75", request_model="gpt-4o")
    said = budget("set", "x", "--limit", "5", "--where", "team=frontned").output
    assert "None of the calls of the last 30 days counts in it: team=frontned." in said
    assert "None of the calls" not in budget("set", "y", "--limit", "5", "--where", "model=gpt-*").output


def test_who_changes_a_budget_leaves_alerts_to_who_ships(
    budget: Type, dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {"TRACKER_DSN": dsn, "TRACKER_SPOOL_DIR": str(tmp_path / "spool")}
    spend(dsn, "6")
    for words in (("set", "full", "--limit", "5"), ("set", "other", "--limit", "100"), ("rm", "other")):
        assert budget(*words).exit_code == 0
    assert caplog.messages == []
    for _ in range(2):
        assert invoke("ship", "--once", env=environment).exit_code == 0
    assert caplog.messages == ["Budget full: $6.00 of $5.00 per month used (120%), all calls."]
    listed = budget("alerts").stdout
    assert caplog.messages[0] in listed
    assert " log " in listed


def test_alerts_are_listed_and_a_test_says_who_did_not_take_it(budget: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No alerts yet." in budget("alerts").stderr
    assert "no receiver is named" in budget("alerts", "--test").output
    monkeypatch.setenv("TRACKER_ALERT_WEBHOOK", "http://127.0.0.1:1/secret-path")
    failed = budget("alerts", "--test")
    assert failed.exit_code == 1
    assert "can't be reached" in failed.output
    assert "secret-path" not in failed.output
    monkeypatch.setenv("TRACKER_ALERT_WEBHOOK", "http://169.254.169.254/x")
    assert "link-local" in budget("alerts", "--test").output


def test_budgets_stand_below_a_report_and_on_the_overview(budget: Type, dsn: str) -> None:
    spend(dsn, "0.75")
    for words in (["report"], []):
        assert "Budgets" not in invoke(*words, env={"TRACKER_DSN": dsn}).stdout
    budget("set", "all", "--limit", "1", "--per", "day")
    for words in (["report"], []):
        shown = invoke(*words, env={"TRACKER_DSN": dsn}).stdout
        assert "Budgets" in shown
        assert "75 %" in shown
    assert "Budgets" not in invoke("report", "-o", "csv", env={"TRACKER_DSN": dsn}).stdout
