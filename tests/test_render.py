"""Reports as text, of made-up figures."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from usage_tracker.cli.columns import heading, report_columns
from usage_tracker.cli.notes import explain
from usage_tracker.cli.render import as_csv, as_json, as_markdown, as_table, nothing_found
from usage_tracker.cli.table import render_table
from usage_tracker.cli.widths import cut_middle, room_of
from usage_tracker.report import Query, Report, Row, parse_condition

SINCE, UNTIL = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 8, 16, tzinfo=UTC)


def row(*group: Any, **figures: Any) -> Row:
    known: dict[str, Any] = {
        "calls": 10,
        "errors": 0,
        "counted": 10,
        "estimated": 0,
        "unpriced": 0,
        "input_tokens": 12345,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 678,
        "reasoning_tokens": 0,
        "cost": Decimal("0.0425"),
        "reported_cost": None,
        "mean_duration_ms": 1234.0,
        "mean_ttft_ms": None,
        "p50_duration_ms": None,
        "p95_duration_ms": None,
        "p50_ttft_ms": None,
        "p95_ttft_ms": None,
        "awaited": 0,
        "timed": 10,
    }
    return Row(group=group, **{**known, **figures})


def report(*rows: Row, by: tuple[str, ...] = ("model",), models: tuple[str | None, ...] = (), **total: Any) -> Report:
    return Report(Query(SINCE, UNTIL, by), rows, row(**total), models)


UNKNOWN: dict[str, Any] = {
    "counted": 0,
    "input_tokens": None,
    "output_tokens": None,
    "cache_read_tokens": None,
    "cache_write_tokens": None,
    "reasoning_tokens": None,
    "cost": None,
}


def table(found: Report, room: int | None = None) -> list[str]:
    title, blank, *rest = render_table("title", report_columns(found), [], room).splitlines()
    assert (title, blank) == ("title", "")
    return rest


def test_a_table_is_titled_by_dimension_range_and_zone() -> None:
    query = Query(SINCE, UNTIL, ("day", "model"), (parse_condition("app=web"),))
    found = replace(report(row(date(2026, 8, 1), "a"), by=("day", "model")), query=query)
    assert as_table(found, []).splitlines()[0] == "Usage by day, model · app=web · 2026-08-01 to 2026-08-15 · UTC"


def test_where_nothing_is_found_only_what_was_narrowed_is_to_be_widened() -> None:
    everything, month = Query(None, UNTIL, ("model",)), Query(SINCE, UNTIL, ("model",))
    assert nothing_found(everything).endswith(" UTC.")
    assert nothing_found(month).endswith(" Try --since all.")
    failed = (parse_condition("status=error"),)
    assert nothing_found(replace(everything, where=failed)).endswith(" Try fewer conditions.")
    assert nothing_found(replace(month, where=failed)).endswith(" Try --since all, or fewer conditions.")


def test_a_table_has_aligned_figures_and_a_total() -> None:
    found = report(row("gpt-4o"), row("small", calls=2, cost=Decimal("0.00007")), calls=12, input_tokens=1234567)
    assert table(found) == [
        "Model   Calls      Input  Output  Mean time       Cost",
        "──────────────────────────────────────────────────────",
        "gpt-4o     10     12,345     678      1.2 s  $0.042500",
        "small       2     12,345     678      1.2 s  $0.000070",
        "──────────────────────────────────────────────────────",
        "Total      12  1,234,567     678      1.2 s  $0.042500",
    ]


def test_headers_are_written_as_people_write_them() -> None:
    assert [heading(name) for name in ("sdk", "api_key", "service_tier", "tag:Cost_center")] == [
        "SDK", "API key", "Service tier", "Tag:Cost_center"
    ]  # fmt: skip


def test_what_is_unknown_is_a_dash() -> None:
    assert table(report(row(None, **UNKNOWN)))[2] == "(none)     10       —       —      1.2 s   —"


def test_columns_that_would_say_nothing_are_left_out() -> None:
    full = report(row("m"), errors=1, unpriced=1, cache_read_tokens=1, cache_write_tokens=1, reasoning_tokens=1)
    assert [column.header for column in report_columns(report(row("m")))] == [
        "Model", "Calls", "Input", "Output", "Mean time", "Cost",
    ]  # fmt: skip
    assert [column.header for column in report_columns(full)] == [
        "Model", "Calls", "Errors", "Unpriced", "Input", "Cached", "Cache write", "Output", "Reasoning", "Mean time",
        "Cost",
    ]  # fmt: skip


LONG = "accounts/fireworks/models/llama-v3p1-70b-instruct"


def test_in_a_narrow_terminal_names_are_cut_in_their_middle_and_numbers_stay_whole() -> None:
    lines = table(report(row(LONG), row("gpt-4o")), room=68)
    assert max(map(len, lines)) == 68
    assert lines[2].split() == ["accounts/fi…0b-instruct", "10", "12,345", "678", "1.2", "s", "$0.042500"]
    assert lines[3].split()[:2] == ["gpt-4o", "10"]
    assert lines[-1] == "No room for whole names: use a wider terminal or -o json."


def test_amounts_take_the_room_that_their_points_below_each_other_need() -> None:
    found = report(row(LONG, cost=Decimal("0.0000012")), row("gpt-4o", cost=Decimal("12345.67")))
    lines = table(found, room=60)
    assert max(map(len, lines)) == 60
    assert lines[2].split() == ["accounts/f…-instruct", "10", "12,345", "678", "$0.0000012"]
    assert lines[3].split()[0] == "gpt-4o"


def test_names_that_would_look_the_same_are_folded() -> None:
    names = [f"user-with-a-long-name-{number}@example.com" for number in range(3)]
    lines = table(report(*map(row, names)), room=60)
    assert max(map(len, lines)) <= 60
    assert [lines[2].split()[0] + lines[3], lines[4].split()[0] + lines[5]] == names[:2]


def test_short_names_stay_whole_beside_long_ones() -> None:
    lines = table(report(row("search", LONG), row("billing", LONG), by=("project", "model")), room=80)
    assert lines[2].split()[:2] == ["search", "accounts/f…b-instruct"]


def test_figures_that_can_be_spared_go_before_names_get_unreadable() -> None:
    found = report(row(LONG, LONG), by=("project", "model"), errors=3)
    lines = table(found, room=80)
    assert lines[0].split() == ["Project", "Model", "Calls", "Errors", "Input", "Output", "Cost"]
    assert lines[-1] == "No room for Mean time, whole names: use a wider terminal or -o json."


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o…-07-18"),
        ("日本語のモデルの名前", "日本語…の名前"),
        ("gpt-4o-mini", "gpt-4o-mini"),
    ],
)
def test_a_cut_name_is_as_wide_as_there_is_room(name: str, shown: str) -> None:
    assert cut_middle(name, 13) == shown
    assert room_of(shown) <= 13


def test_in_a_very_narrow_terminal_columns_are_left_out_and_named() -> None:
    found = report(row("a-model-with-quite-a-long-name"), errors=3)
    shown = render_table("title", report_columns(found), [], 40)
    assert "No room for Mean time, Errors, whole names: use a wider terminal or -o json." in shown.replace("\n", " ")
    assert "12,345" in shown
    assert "$0.042500" in shown


def test_where_no_terminal_is_nothing_is_folded_or_left_out() -> None:
    name = "model-" * 100
    assert name in table(report(row(name), errors=1))[2]


def test_names_can_not_act_on_the_terminal_or_as_markup() -> None:
    shown = "\n".join(table(report(row("\x1b[2Jgone\n[red]not markup[/red] :smile:"))))
    assert r"\x1b[2Jgone\n[red]not markup[/red] :smile:" in shown


def test_json_is_a_contract() -> None:
    found = report(row("gpt-4o", cost=Decimal("0.010000000000"), reported_cost=Decimal("0.5")), **UNKNOWN)
    assert json.loads(as_json(found, ["a note"])) == {
        "schema_version": 1,
        "range": {"since": "2026-08-01T00:00:00Z", "until": "2026-08-16T00:00:00Z", "tz": "UTC"},
        "where": [],
        "by": ["model"],
        "cost_basis": "recorded",
        "currency": "USD",
        "rows": [
            {
                "model": "gpt-4o",
                "calls": 10,
                "errors": 0,
                "counted": 10,
                "estimated": 0,
                "unpriced": 0,
                "input_tokens": 12345,
                "cache_read_tokens": 0,
                "cache_write_tokens": 0,
                "output_tokens": 678,
                "reasoning_tokens": 0,
                "cost": "0.01",
                "reported_cost": "0.5",
                "mean_duration_ms": 1234.0,
                "mean_ttft_ms": None,
                "p50_duration_ms": None,
                "p95_duration_ms": None,
                "p50_ttft_ms": None,
                "p95_ttft_ms": None,
                "awaited": 0,
            }
        ],
        "total": {
            "calls": 10,
            "errors": 0,
            "counted": 0,
            "estimated": 0,
            "unpriced": 0,
            "input_tokens": None,
            "cache_read_tokens": None,
            "cache_write_tokens": None,
            "output_tokens": None,
            "reasoning_tokens": None,
            "cost": None,
            "reported_cost": None,
            "mean_duration_ms": 1234.0,
            "mean_ttft_ms": None,
            "p50_duration_ms": None,
            "p95_duration_ms": None,
            "p50_ttft_ms": None,
            "p95_ttft_ms": None,
            "awaited": 0,
        },
        "unpriced_models": [],
        "notes": ["a note"],
    }


@pytest.mark.parametrize(
    ("unit", "value", "written"),
    [
        ("month", date(2026, 8, 1), "2026-08"),
        ("week", date(2026, 8, 10), "2026-08-10"),
        ("day", date(2026, 8, 1), "2026-08-01"),
        ("hour", datetime(2026, 8, 1, 5, tzinfo=UTC), "2026-08-01T05:00:00Z"),
    ],
)
def test_time_in_json_and_csv_is_iso_8601(unit: str, value: date, written: str) -> None:
    found = report(row(value), by=(unit,))
    assert json.loads(as_json(found, []))["rows"][0][unit] == written
    assert as_csv(found, []).splitlines()[1].startswith(f"{written},")


def test_csv_has_names_exact_figures_and_no_total() -> None:
    found = report(row("gpt-4o", cost=Decimal("0.000000000001")), row(None, **UNKNOWN))
    assert as_csv(found, []) == (
        "model,calls,errors,counted,estimated,unpriced,input_tokens,cache_read_tokens,cache_write_tokens,output_tokens,"
        "reasoning_tokens,cost,reported_cost,mean_duration_ms,mean_ttft_ms,p50_duration_ms,p95_duration_ms,p50_ttft_ms,"
        "p95_ttft_ms,awaited\n"
        "gpt-4o,10,0,10,0,0,12345,0,0,678,0,0.000000000001,,1234.0,,,,,,0\n"
        ",10,0,0,0,0,,,,,,,,1234.0,,,,,,0\n"
    )


@pytest.mark.parametrize("name", ['a,"b"', "line\nend", "模型", "'", "ok=1"])
def test_csv_keeps_any_name(name: str) -> None:
    assert list(csv.reader(io.StringIO(as_csv(report(row(name)), []), newline="")))[1][0] == name


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_csv_holds_no_formula_for_a_spreadsheet(name: str) -> None:
    assert list(csv.reader(io.StringIO(as_csv(report(row(name)), []), newline="")))[1][0] == f"'{name}"


def test_csv_leaves_negative_figures_alone() -> None:
    assert ",-0.5," in as_csv(report(row("m", cost=Decimal("-0.5"))), [])


def test_markdown_is_a_table_with_a_total() -> None:
    found = report(row("a|b_c"), calls=1234)
    assert as_markdown(found, []) == (
        "| Model | Calls | Input | Output | Mean time | Cost |\n"
        "| :--- | ---: | ---: | ---: | ---: | ---: |\n"
        "| a\\|b\\_c | 10 | 12,345 | 678 | 1.2 s | $0.042500 |\n"
        "| Total | 1,234 | 12,345 | 678 | 1.2 s | $0.042500 |\n"
    )


def test_markdown_has_names_as_they_are_whatever_they_hold() -> None:
    name = "<b>*a*</b> &amp; ~b~ $c$ [d](e) `f` \\|"
    shown = as_markdown(report(row(name)), []).splitlines()[2]
    assert shown.startswith(r"| \<b>\*a\*\</b> \&amp; \~b\~ \$c\$ \[d\](e) \`f\` \\\| | 10 |")


def test_no_spreadsheet_finds_a_formula_in_a_cell_however_it_separates_cells() -> None:
    for start in ("=", "+", "-", "@", "\t", "\r", "\n", "＝"):
        [[cell, *_]] = list(csv.reader(io.StringIO(as_csv(report(row(f"{start}1+1")), []), newline="")))[1:]
        assert cell == f"'{start}1+1"
    for separator in ";\t":
        line = as_csv(report(row(f"a{separator}=1+1")), []).split("\n")[1]
        assert next(csv.reader([line], delimiter=separator))[0].startswith(f"a{separator}=1+1")


def test_notes_say_what_the_figures_do_not() -> None:
    assert explain(report(row("m"))) == []
    found = replace(report(calls=12, estimated=1, unpriced=1200, models=("x", None, "a\x1b")), unknown=2)
    assert explain(found) == [
        (
            r"1,200 calls are unpriced (models: x, unknown, a\x1b): their cost is not in the total. "
            "`usage-tracker prices unpriced` says why."
        ),
        "1 call has estimated tokens: the provider sent no counts.",
        "2 calls have unknown tokens, which are not in the sums.",
    ]
    assert (
        explain(report(unpriced=1, models=("x",)))[0]
        == "1 call is unpriced (model: x): its cost is not in the total. `usage-tracker prices unpriced` says why."
    )


def test_calls_whose_usage_comes_later_are_not_unknown() -> None:
    assert explain(report(calls=3, counted=1, awaited=2)) == []
    started = replace(report(calls=3, counted=1, awaited=2), untold=2)
    assert explain(started) == [
        "2 calls have not said yet what they used: what they started is still at work, or nobody has asked for it."
    ]


def test_many_unpriced_models_are_named_in_part() -> None:
    found = report(unpriced=9, models=tuple("abcdefg"))
    assert "(models: a, b, c, d, e, 2 more)" in explain(found)[0]


def test_a_note_on_tags_is_made_only_where_calls_count_twice() -> None:
    once, twice = report(row("eu"), by=("tag",)), report(row("eu"), row("pro"), by=("tag",))
    assert explain(once) == []
    assert explain(twice) == ["A call with several tags counts under each of them, and once in the total."]
    of_tier = report(row("pro"), row("free"), by=("tag:tier",))
    assert explain(of_tier) == ["A call with several tags of tier counts under each of them, and once in the total."]


def test_notes_say_why_percentiles_are_left_out() -> None:
    [note] = explain(replace(report(row("m")), without_percentiles=True))
    assert note.startswith("p50 and p95 are left out: there is no sketch of them by these dimensions")


def test_the_range_in_json_is_in_the_zone_that_was_asked() -> None:
    query = Query(SINCE, SINCE + timedelta(days=1), tz=ZoneInfo("Asia/Kolkata"))
    found = replace(report(), query=query)
    assert json.loads(as_json(found, []))["range"] == {
        "since": "2026-08-01T05:30:00+05:30",
        "until": "2026-08-02T05:30:00+05:30",
        "tz": "Asia/Kolkata",
    }
