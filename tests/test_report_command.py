"""What `usage-tracker report` and its short forms make of their options."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated

from usage_tracker.stores import Store

AUGUST = ("--since", "2026-08", "--until", "2026-08")


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """Three models in August, of which one was called in July too."""
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")
    with migrated(os.environ["TRACKER_DSN"]) as found:
        calls = [("a", "5", NOON), ("b", "3", NOON), ("c", "1", NOON), ("a", "2", NOON - timedelta(days=31))]
        store_events(found, [made_event(at=at, model=model, cost=cost, project="alpha") for model, cost, at in calls])
        yield found


def report(*words: str) -> Any:
    result = invoke("report", *AUGUST, "-o", "json", *words)
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
    lines = invoke("report", *AUGUST, "--compare", "2026-07").stdout.splitlines()
    assert lines[0].endswith(" · compared with 2026-07-01 to 2026-07-31")
    assert lines[4].split()[-5:] == ["$5.0000", "$2.0000", "+$3.0000", "+150", "%"]
    assert lines[5].split()[-4:] == ["$3.0000", "$0.0000", "+$3.0000", "—"]


def test_counts_that_contradict_each_other_are_named_below_the_table(store: Store) -> None:
    assert report()["notes"] == []
    store_events(store, [made_event(flags=["sum_mismatch"])])
    [note] = report()["notes"]
    assert note.startswith(
        "1 call has counts of tokens that contradict each other: `usage-tracker events --where flag="
    )
    assert invoke("report", *AUGUST).stdout.endswith(f"\n{note}\n")


def test_a_time_without_any_records_is_no_time_without_costs() -> None:
    result = invoke("report", *AUGUST, "--compare", "2026-05")
    _, _, header, _, *rows, _, total, _, note = result.stdout.splitlines()
    assert header.split()[-4:] == ["Before", "Δ", "Δ", "%"]
    assert {tuple(row.split()[-3:]) for row in (*rows, total)} == {("—", "—", "—")}
    assert note == "No calls were recorded in the range that it is compared with."
    assert report("--compare", "2026-05")["total"]["before"]["calls"] == 0


def test_what_is_compared_is_left_out_last_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "68")
    shown = invoke("report", *AUGUST, "--compare", "2026-07").stdout
    [header] = re.findall("^Model.*", shown, re.MULTILINE)
    assert header.split() == ["Model", "Calls", "Input", "Output", "Cost", "Before", "Δ", "Δ", "%"]
    assert "No room for Mean time: use a wider terminal" in shown


def test_notes_below_a_chart_are_broken_between_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_events(store, [made_event(at=NOON, cost=None, flags=["unpriced"])])
    [note] = invoke("report", *AUGUST, "--chart").stdout.splitlines()[-1:]
    monkeypatch.setenv("COLUMNS", "60")
    lines = invoke("report", *AUGUST, "--chart").stdout.splitlines()
    assert max(map(len, lines[2:])) <= 60
    assert " ".join(lines).endswith(note)


@pytest.mark.parametrize(("words", "said"), [("all", "needs a --since"), ("mtd", "names no time")])
def test_a_comparison_with_nothing_is_refused(words: str, said: str) -> None:
    against = "previous" if words == "all" else "juli"
    result = invoke("report", "--since", words, "--compare", against)
    assert result.exit_code == 2
    assert said in result.stderr


def test_what_no_store_could_read_at_once_is_refused_in_a_sentence(store: Store) -> None:
    store_events(store, [made_event(at=NOON.replace(year=year)) for year in range(2027, 2300)])
    words = ("report", "--by", "day", "--since", "all", "--until", "9998-01-01", "--tz")
    assert invoke(*words, "UTC").exit_code == 0
    refused = invoke(*words, "Europe/Berlin")
    assert refused.exit_code == 2
    assert "Error: the clock of that time zone changes too often in that range" in refused.stderr


def test_fields_choose_the_figures_in_every_format() -> None:
    assert invoke("report", *AUGUST, "--fields", "cost,calls", "-o", "csv").stdout.splitlines()[:2] == [
        "model,cost,calls",
        "a,5,1",
    ]
    assert list(report("--fields", "mean_ttft_ms")["total"]) == ["mean_ttft_ms"]
    assert invoke("report", *AUGUST, "--fields", "calls,mean_ttft_ms").stdout.splitlines()[2].split() == [
        "Model", "Calls", "First", "chunk",
    ]  # fmt: skip


def test_a_misspelt_field_is_answered_with_the_nearest_one() -> None:
    result = invoke("report", "--fields", "costs")
    assert result.exit_code == 2
    assert "did you mean cost?" in result.stderr


def test_tsv_keeps_a_row_on_its_line(store: Store) -> None:
    store_events(store, [made_event(at=NOON, model="tab\there\nand\\there", cost="100")])
    lines = invoke("report", *AUGUST, "-o", "tsv", "--fields", "cost").stdout.splitlines()
    assert lines[:3] == ["model\tcost", "tab\\there\\nand\\\\there\t100", "a\t5"]


def test_jsonl_has_a_row_on_each_line() -> None:
    lines = invoke("report", *AUGUST, "-o", "jsonl", "--fields", "cost").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"model": "a", "cost": "5"},
        {"model": "b", "cost": "3"},
        {"model": "c", "cost": "1"},
    ]


def test_plain_has_columns_and_nothing_else() -> None:
    shown = invoke("report", *AUGUST, "-o", "plain", "--fields", "calls").stdout
    assert shown == "Model  Calls\na          1\nb          1\nc          1\n"


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "august.csv"
    result = invoke("report", *AUGUST, "-o", "csv", "--out", str(target))
    assert (result.exit_code, result.stdout) == (0, "")
    assert target.read_text(encoding="utf-8") == invoke("report", *AUGUST, "-o", "csv").stdout
    assert [path.name for path in tmp_path.glob("*august*")] == ["august.csv"]


@pytest.mark.parametrize("chart", [(), ("--chart",)])
def test_a_file_of_an_earlier_report_does_not_stay_where_there_are_no_calls(
    chart: tuple[str, ...], tmp_path: Path
) -> None:
    target = tmp_path / "usage.txt"
    invoke("report", *AUGUST, *chart, "--out", str(target))
    assert "$9.0000" in target.read_text() or "█" in target.read_text()
    result = invoke("report", "--during", "2025-08", *chart, "--out", str(target))
    assert "Written to" in result.stderr
    assert target.read_text().startswith("No calls · 2025-08-01 to 2025-08-31 · UTC.")


def test_a_file_that_cannot_be_written_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    result = invoke("report", *AUGUST, "--out", str(tmp_path / "nowhere" / "august.txt"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No such file or directory" in result.stderr


def test_names_of_wide_characters_keep_columns_below_each_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_events(store, [made_event(at=NOON, model="模型" * 3, cost="4")])
    shown = invoke("report", *AUGUST, "-o", "plain", "--fields", "calls").stdout.splitlines()
    assert shown[1:3] == ["a                 1", "模型模型模型      1"]
    monkeypatch.setenv("COLUMNS", "40")
    first, second = invoke("report", *AUGUST, "--chart").stdout.splitlines()[2:4]
    assert (first.index("█"), second.index("█")) == (14, 8)


def test_a_chart_has_bars_as_long_as_the_costs() -> None:
    lines = invoke("report", *AUGUST, "--chart").stdout.splitlines()[2:5]
    assert [line.split()[0] for line in lines] == ["a", "b", "c"]
    assert [line.split()[-1] for line in lines] == ["$5.0000", "$3.0000", "$1.0000"]
    first, second, third = (line.count("█") for line in lines)
    assert second == pytest.approx(first * 3 / 5, abs=1)
    assert third == pytest.approx(first / 5, abs=1)


def test_credits_have_no_bar(store: Store) -> None:
    store_events(
        store, [made_event(at=NOON, cost="-100", model="credit"), made_event(at=NOON, cost="-1", model="less")]
    )
    shown = invoke("report", *AUGUST, "--where", "model=credit", "--chart").stdout.splitlines()
    assert [line.split() for line in shown[2:]] == [["credit", "-$100.00"]]


def test_the_short_forms_are_reports_by_time(store: Store) -> None:
    now = datetime.now(UTC)
    store_events(store, [made_event(at=now, cost="1"), made_event(at=now - timedelta(days=400), cost="9")])
    for command, unit in (("daily", "day"), ("weekly", "week"), ("monthly", "month")):
        document = json.loads(invoke(command, "-o", "json", "--by", "project").stdout)
        assert document["by"] == [unit, "project"]
        assert document["rows"][-1]["calls"] >= 1
        assert document["total"]["cost"] != "19"
        since = datetime.fromisoformat(document["range"]["since"])
        assert unit != "month" or since.day == 1
        assert unit != "week" or since.weekday() == 0


def test_during_is_all_of_a_period_and_what_counts_back_goes_on_until_now() -> None:
    def range_of(*words: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(invoke("report", *words, "-o", "json").stdout)["range"]
        return found

    assert range_of("--during", "2026-08") == range_of(*AUGUST)
    assert range_of("--during", "last-month") == range_of("--since", "last-month", "--until", "last-month")
    assert range_of("--during", "7d") == range_of("--since", "7d")
    assert range_of("--during", "all")["since"] is None
    result = invoke("report", "--during", "2026-08", "--since", "7d")
    assert result.exit_code == 2
    assert "--during says both ends" in result.stderr


def test_the_values_of_one_kind_of_tag_are_grouped_and_chosen(store: Store) -> None:
    calls = [(("tier:pro", "eu"), "7"), (("tier:a,b",), "0.01")]
    store_events(store, [made_event(at=NOON, tags=tags, cost=cost) for tags, cost in calls])
    rows = report("--by", "tag:tier", "--fields", "calls")["rows"]
    assert [(row["tag:tier"], row["calls"]) for row in rows] == [(None, 3), ("pro", 1), ("a,b", 1)]
    assert report("--where", "tag:tier=pro", "--by", "tag:tier")["total"]["cost"] == "7"
    result = invoke("report", "--by", "tag:")
    assert result.exit_code == 2
    assert "lacks its KEY" in result.stderr


def test_percentiles_are_shown_where_they_are_asked_for_and_given_to_programs(store: Store) -> None:
    store_events(store, [made_event(at=NOON, model="slow", duration_ms=ms, ttft_ms=20.0) for ms in (100.0, 9000.0)])
    row = next(row for row in report()["rows"] if row["model"] == "slow")
    assert (row["p50_duration_ms"], row["p95_duration_ms"]) == (
        pytest.approx(100, rel=0.03),
        pytest.approx(9000, rel=0.03),
    )
    assert row["p95_ttft_ms"] == pytest.approx(20, rel=0.03)
    header = invoke("report", *AUGUST, "--fields", "calls,p50_duration_ms,p95_duration_ms").stdout.splitlines()[2]
    assert header.split() == ["Model", "Calls", "p50", "p95"]
    assert "p95" not in invoke("report", *AUGUST).stdout


def test_percentiles_that_would_take_too_many_events_are_left_out_and_the_reader_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("usage_tracker.report.latency.MOST_EVENTS", 2)
    assert report("--by", "project")["rows"][0]["p50_duration_ms"] is not None
    document = report("--by", "project,model")
    assert document["rows"][0]["p50_duration_ms"] is None
    assert document["rows"][0]["calls"] == 1
    assert document["notes"][0].startswith("p50 and p95 are left out")


def test_costs_may_be_what_providers_reported(store: Store) -> None:
    store_events(store, [made_event(at=NOON, model="a", reported_cost="6.5", cost="6"), made_event(at=NOON, model="b")])
    document = report("--cost", "reported")
    assert document["cost_basis"] == "reported"
    assert [(row["model"], row["cost"]) for row in document["rows"]] == [("a", "6.5"), ("b", None), ("c", None)]
    assert document["notes"][0].startswith("4 calls have no cost of their provider's")
    assert "costs as providers reported them" in invoke("report", *AUGUST, "--cost", "reported").stdout.splitlines()[0]


def test_a_day_on_which_nothing_but_a_recorded_cost_came_has_no_other_costs(store: Store) -> None:
    tomorrow = NOON + timedelta(days=1)
    video: dict[str, Any] = {"operation": "video", "model": "film", "input_tokens": None, "output_tokens": None}
    store_events(
        store,
        [
            made_event(NOON, **video, cost=None, flags=["awaited"], awaits="video-1"),
            made_event(tomorrow, **video, cost="2", completes="video-1", units={"seconds": 4}),
        ],
    )
    words = ("--by", "day", "--where", "model=film", "--cost")
    costs = [[(row["day"], row["cost"]) for row in report(*words, cost)["rows"]] for cost in ("recorded", "reported")]
    day, after = NOON.date().isoformat(), tomorrow.date().isoformat()
    assert costs == [[(day, None), (after, "2")], [(day, None)]]


def test_costs_may_be_those_of_today(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = tmp_path / "book.toml"
    book.write_text('[[price]]\nmatch = "a"\ninput = 1\noutput = 10\nuntil = 2026-08-20\n\n'
                    '[[price]]\nmatch = "a"\ninput = 3\noutput = 30\nfrom = 2026-08-20\n')  # fmt: skip
    monkeypatch.setenv("TRACKER_PRICES", str(book))
    document = report("--cost", "current", "--by", "day,model")
    costs = {row["model"]: (row["cost"], row["unpriced"]) for row in document["rows"]}
    assert costs == {"a": ("0.0006", 0), "b": (None, 1), "c": (None, 1)}
    assert document["total"]["cost"] == "0.0006"
    assert document["unpriced_models"] == ["b", "c"]
    assert document["notes"][0].startswith("2 calls have no price today (models: b, c)")


def test_the_price_book_may_be_in_the_home_as_programs_that_ship_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a config file no shell says where that is."""
    (Path.home() / "book.toml").write_text('[[price]]\nmatch = "a"\ninput = 3\noutput = 30\n')
    for named in ("~/book.toml", f"{Path.home()}/book.toml"):
        monkeypatch.setenv("TRACKER_PRICES", named)
        document = report("--cost", "current", "--by", "model")
        assert {row["model"]: row["cost"] for row in document["rows"]} == {"a": "0.0006", "b": None, "c": None}
        assert invoke("prices", "list", "-o", "csv").stdout.count("\n") == 2


def test_what_a_cache_answered_costs_nothing_today_either(store: Store) -> None:
    store_events(store, [made_event(model="kept", cost="0", flags=["cached"], at=NOON)])
    for basis in ("recorded", "current"):
        [row] = report("--cost", basis, "--where", "model=kept")["rows"]
        assert (row["cost"], row["unpriced"]) == ("0", 0), basis


def test_costs_of_today_are_looked_up_for_a_bounded_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.report.costs.MOST_PRICED", 2)
    result = invoke("report", *AUGUST, "--cost", "current")
    assert result.exit_code == 2
    assert "for at most 2 calls, each answer of a batch as one; these are 3: narrow them" in result.stderr


def test_each_answer_of_a_batch_is_one_of_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.report.costs.MOST_PRICED", 3)
    answers = [made_event(NOON, model="many", completes="batch-1", response_id=f"msg-{place}") for place in range(3)]
    store_events(store, [made_event(NOON, model="many", awaits="batch-1", input_tokens=None, output_tokens=None)])
    store_events(store, answers)
    assert report("--where", "model=many")["total"]["calls"] == 1
    assert "these are 4" in invoke("report", *AUGUST, "--where", "model=many", "--cost", "current").stderr


def test_only_calls_that_should_have_tokens_are_said_to_lack_them(store: Store) -> None:
    without: dict[str, Any] = {"input_tokens": None, "output_tokens": None, "at": NOON}
    store_events(
        store,
        [
            made_event(operation="moderation", **without),
            made_event(operation="speech", **without),
            made_event(status="error", **without),
        ],
    )
    assert report()["notes"] == []
    store_events(store, [made_event(**without), made_event(status="abandoned", **without)])
    assert report()["notes"] == ["2 calls have unknown tokens, which are not in the sums."]


def test_a_store_of_another_version_is_an_error_in_a_sentence(store: Store) -> None:
    store.change(lambda execute: execute("INSERT INTO schema_migration (number, name) VALUES (999, 'later')", []))
    result = invoke("report")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "newer (migration 999) than this version" in result.stderr
    store.change(lambda execute: execute("DELETE FROM schema_migration WHERE number > 4", []))
    assert "is older than this version; run `usage-tracker migrate`" in invoke("report").stderr


NASTY = 'a,"b"\n=1+1\t\x1b[31m\u202eevil\x00' + "x" * 200
SHOWN = r'a,"b"\n=1+1\t\x1b[31m\u202eevil' + "x" * 200


def test_any_name_comes_out_right_in_each_format(store: Store) -> None:
    store_events(store, [made_event(at=NOON, model=NASTY, cost="9"), made_event(at=NOON, model="=cmd()", cost="8")])
    name = NASTY.replace("\0", "")
    words = ("report", *AUGUST, "--top", "2", "--fields", "cost")

    def output(form: str) -> str:
        return invoke(*words, "-o", form).stdout

    assert json.loads(output("json"))["rows"][0]["model"] == name
    assert json.loads(output("jsonl").splitlines()[0])["model"] == name
    rows = list(csv.reader(io.StringIO(output("csv"), newline="")))
    assert [row[0] for row in rows[1:3]] == [name, "'=cmd()"]
    cells = [line.split("\t")[0] for line in output("tsv").split("\n")]
    assert cells[1].replace(r"\n", "\n").replace(r"\t", "\t") == name
    assert cells[2] == "'=cmd()"
    for form in ("table", "plain", "markdown"):
        assert "\x1b" not in output(form)
        assert "\u202e" not in output(form)
    assert SHOWN in output("plain")
    assert SHOWN in output("table")
    chart = invoke(*words, "--chart").stdout
    assert "\x1b" not in chart
    assert r'a,"b"\n=1+1\t\x1b' in chart
