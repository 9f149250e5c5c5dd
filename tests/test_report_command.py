"""What `usage-tracker report` and its short forms make of their options."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from made_events import NOON, made_event, store_events

from usage_tracker.cli import main
from usage_tracker.config import parse_dsn
from usage_tracker.stores import Store, open_store

AUGUST = ("--since", "2026-08", "--until", "2026-08")


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """Three models in August, of which one was called in July too."""
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")
    found = open_store(parse_dsn(os.environ["TRACKER_DSN"]))
    found.migrate()
    calls = [("a", "5", NOON), ("b", "3", NOON), ("c", "1", NOON), ("a", "2", NOON - timedelta(days=31))]
    store_events(found, [made_event(at=at, model=model, cost=cost, project="alpha") for model, cost, at in calls])
    yield found
    found.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), prog_name="usage-tracker")


def report(*words: str) -> Any:
    result = run("report", *AUGUST, "-o", "json", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_the_top_is_followed_by_others() -> None:
    rows = report("--top", "1")["rows"]
    assert [(row["model"], row["cost"], row.get("others", False)) for row in rows] == [
        ("a", "5", False),
        ("Others", "4", True),
    ]


def test_a_comparison_says_what_was_before_and_how_it_changed() -> None:
    document = report("--compare", "previous")
    assert document["compared_with"] == {"since": "2026-07-01T00:00:00Z", "until": "2026-08-01T00:00:00Z", "tz": "UTC"}
    row = document["rows"][0]
    assert (row["model"], row["cost"], row["before"]["cost"], row["cost_change"]) == ("a", "5", "2", "3")
    assert (document["total"]["before"]["calls"], document["total"]["cost_change"]) == (1, "7")


def test_a_comparison_is_read_by_people_in_columns_of_one_precision() -> None:
    lines = run("report", *AUGUST, "--compare", "2026-07").stdout.splitlines()
    assert lines[0].endswith(" · compared with 2026-07-01 to 2026-07-31")
    assert lines[4].split()[-5:] == ["$5.0000", "$2.0000", "+$3.0000", "+150", "%"]
    assert lines[5].split()[-4:] == ["$3.0000", "$0.0000", "+$3.0000", "—"]


@pytest.mark.parametrize(("words", "said"), [("all", "needs a --since"), ("mtd", "names no time")])
def test_a_comparison_with_nothing_is_refused(words: str, said: str) -> None:
    against = "previous" if words == "all" else "juli"
    result = run("report", "--since", words, "--compare", against)
    assert result.exit_code == 2
    assert said in result.stderr


def test_fields_choose_the_figures_in_every_format() -> None:
    assert run("report", *AUGUST, "--fields", "cost,calls", "-o", "csv").stdout.splitlines()[:2] == [
        "model,cost,calls",
        "a,5,1",
    ]
    assert list(report("--fields", "mean_ttft_ms")["total"]) == ["mean_ttft_ms"]
    assert run("report", *AUGUST, "--fields", "calls,mean_ttft_ms").stdout.splitlines()[2].split() == [
        "Model", "Calls", "First", "chunk",
    ]  # fmt: skip


def test_a_misspelt_field_is_answered_with_the_nearest_one() -> None:
    result = run("report", "--fields", "costs")
    assert result.exit_code == 2
    assert "did you mean cost?" in result.stderr


def test_tsv_keeps_a_row_on_its_line(store: Store) -> None:
    store_events(store, [made_event(at=NOON, model="tab\there\nand\\there", cost="100")])
    lines = run("report", *AUGUST, "-o", "tsv", "--fields", "cost").stdout.splitlines()
    assert lines[:3] == ["model\tcost", "tab\\there\\nand\\\\there\t100", "a\t5"]


def test_jsonl_has_a_row_on_each_line() -> None:
    lines = run("report", *AUGUST, "-o", "jsonl", "--fields", "cost").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"model": "a", "cost": "5"},
        {"model": "b", "cost": "3"},
        {"model": "c", "cost": "1"},
    ]


def test_plain_has_columns_and_nothing_else() -> None:
    shown = run("report", *AUGUST, "-o", "plain", "--fields", "calls").stdout
    assert shown == "Model  Calls\na          1\nb          1\nc          1\n"


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "august.csv"
    result = run("report", *AUGUST, "-o", "csv", "--out", str(target))
    assert (result.exit_code, result.stdout) == (0, "")
    assert target.read_text(encoding="utf-8") == run("report", *AUGUST, "-o", "csv").stdout
    assert [path.name for path in tmp_path.glob("*august*")] == ["august.csv"]


def test_a_file_that_cannot_be_written_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    result = run("report", *AUGUST, "--out", str(tmp_path / "nowhere" / "august.txt"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No such file or directory" in result.stderr


def test_a_chart_has_bars_as_long_as_the_costs() -> None:
    lines = run("report", *AUGUST, "--chart").stdout.splitlines()[2:5]
    assert [line.split()[0] for line in lines] == ["a", "b", "c"]
    assert [line.split()[-1] for line in lines] == ["$5.0000", "$3.0000", "$1.0000"]
    first, second, third = (line.count("█") for line in lines)
    assert second == pytest.approx(first * 3 / 5, abs=1)
    assert third == pytest.approx(first / 5, abs=1)


def test_the_short_forms_are_reports_by_time(store: Store) -> None:
    now = datetime.now(UTC)
    store_events(store, [made_event(at=now, cost="1"), made_event(at=now - timedelta(days=400), cost="9")])
    for command, unit in (("daily", "day"), ("weekly", "week"), ("monthly", "month")):
        document = json.loads(run(command, "-o", "json", "--by", "project").stdout)
        assert document["by"] == [unit, "project"]
        assert document["rows"][-1]["calls"] >= 1
        assert document["total"]["cost"] != "19"
        since = datetime.fromisoformat(document["range"]["since"])
        assert unit != "month" or since.day == 1
        assert unit != "week" or since.weekday() == 0
