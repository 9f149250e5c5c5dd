"""Reports in Python: `usage_tracker.report(…)`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, localcontext
from inspect import signature
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from IPython.core.interactiveshell import InteractiveShell
from made_events import NOON, made_event, store_events
from migrated import migrated

import usage_tracker
from usage_tracker import notebook
from usage_tracker.stores import Store


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")
    with migrated(os.environ["TRACKER_DSN"]) as found:
        store_events(
            found, [made_event(model=model, cost=cost) for model, cost in (("a", "2"), ("b", "0.5"), ("b", "1"))]
        )
        yield found


def report(by: Any = "model", **options: Any) -> Any:
    return usage_tracker.report(by, **{"during": "2026-08", **options})


def test_rows_are_dicts_of_values_and_exact_figures() -> None:
    rows = report(by=("day", "model"))
    assert [(row["day"], row["model"], row["calls"], row["cost"]) for row in rows] == [
        (date(2026, 8, 15), "a", 1, Decimal(2)),
        (date(2026, 8, 15), "b", 2, Decimal("1.5")),
    ]
    assert rows[0]["p95_duration_ms"] == pytest.approx(250, rel=0.025)
    assert rows.report.total.cost == Decimal("3.5")


def test_what_this_process_has_captured_until_then_is_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(notebook, "FLUSH_SECONDS", 60.0)
    usage_tracker.install(spool_dir=tmp_path / "spool", batch_seconds=600)
    try:
        usage_tracker.record(provider="acme", model="acme-7b", input_tokens=7)
        assert [row["input_tokens"] for row in usage_tracker.report(where="model=acme-7b")] == [7]
    finally:
        usage_tracker.uninstall()


def test_sums_do_not_depend_on_the_decimals_of_the_application(store: Store) -> None:
    store_events(store, [made_event(model="c", cost="1234.56"), made_event(model="d", cost="0.12345678")])
    exactly, shown = report(), report()._repr_html_()
    assert exactly.report.total.cost == Decimal("1238.18345678")
    with localcontext(prec=3):
        assert report() == exactly
        assert report().report.total == exactly.report.total
        assert report()._repr_html_() == shown


def test_it_understands_the_words_of_the_command() -> None:
    assert [row["model"] for row in report("model", where="model!=a", fields=["cost"])] == ["b"]
    assert report(by="model, project", top=1, fields="calls, cost")[0] == {
        "model": "a", "project": None, "calls": 1, "cost": 2,
    }  # fmt: skip
    assert report(since=NOON, until="2026-08-16", during=None)[0]["calls"] == 1
    [day] = report("day")
    assert report(since=day["day"], until=day["day"], during=None).report.total.calls == day["calls"]
    assert report(compare="previous", fields=["cost"])[0] == {"model": "a", "cost": 2, "cost_before": None}


def test_costs_of_today_are_by_the_price_book_of_the_store_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, price in (("installed", 3), ("named", 5)):
        (Path.home() / f"{name}.toml").write_text(f'[[price]]\nmatch = "*"\ninput = {price}\noutput = 0\n')
    monkeypatch.setenv("TRACKER_PRICES", "~/named.toml")
    assert [row["cost"] for row in report(cost="current")] == [Decimal("0.001"), Decimal("0.0005")]
    usage_tracker.install(prices="~/installed.toml")
    try:
        assert [row["cost"] for row in report(cost="current")] == [Decimal("0.0006"), Decimal("0.0003")]
    finally:
        usage_tracker.uninstall()


def test_a_notebook_shows_a_table_in_which_names_are_only_text(store: Store) -> None:
    store_events(store, [made_event(model="<script>alert(1)</script>\x1b", cost="9", flags=["unpriced"])])
    shown = report()._repr_html_()
    assert "<caption>Usage by model · 2026-08-01 to 2026-08-31 · UTC</caption>" in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b" in shown
    assert "<script>" not in shown
    assert "$9.00" in shown
    assert "<p>1 call is unpriced" in shown
    shell: Any = InteractiveShell.instance(history_manager=None)
    assert shell.display_formatter.format(report())[0]["text/html"] == shown
    InteractiveShell.clear_instance()


def test_amounts_are_no_formulas_to_a_notebook() -> None:
    shown = report()._repr_html_()
    assert shown.startswith('<div class="tex2jax_ignore mathjax_ignore"><table>')
    assert shown.endswith("</div>")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "modle"}, "did you mean model?"),
        ({"during": "yesterdy"}, "did you mean yesterday?"),
        ({"since": "today"}, "leave out since"),
        ({"fields": ["costs"]}, "is not a figure"),
        ({"where": "model"}, "write dimension=value"),
        ({"where": ["app=web"] * 1000}, "1,000 conditions are too many"),
        ({"tz": "Mars"}, "not a time zone"),
        ({"cost": "listed"}, "is no cost to count"),
        ({"during": None, "since": "all", "compare": "previous"}, "needs a since"),
        ({"during": None, "since": "all", "compare": "last-month"}, "needs a since"),
        ({"during": None, "since": "2026-08-02", "until": "2026-08-01"}, "give a since before until"),
        ({"where": "day=2026-08-01"}, "use since and until"),
        ({"by": "flag"}, "such as where flag="),
    ],
)
def test_what_makes_no_sense_is_an_error_in_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        report(**options)


def test_a_store_that_is_not_there_yet_has_no_rows(tmp_path: Path) -> None:
    assert report(dsn=f"sqlite:///{tmp_path}/other.db") == []
    assert "Total" in report(dsn=f"sqlite:///{tmp_path}/other.db")._repr_html_()
    assert not (tmp_path / "other.db").exists()


def test_the_store_may_stand_in_the_config_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'dsn = "{os.environ["TRACKER_DSN"]}"\ntz = "Asia/Kathmandu"\n')
    monkeypatch.setenv("TRACKER_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("TRACKER_DSN")
    rows = report("model", fields=["calls"])
    assert [row["calls"] for row in rows] == [1, 2]
    assert str(rows.report.query.tz) == "Asia/Kathmandu"


def test_data_frames_have_a_column_for_each_figure() -> None:
    for frame in (report(fields=["calls", "cost"]).to_pandas(), report(fields=["calls", "cost"]).to_polars()):
        assert list(frame.columns) == ["model", "calls", "cost"]
        assert frame["cost"].sum() == 3.5
    for frame in (pd.DataFrame(report()), pl.DataFrame(report())):
        assert frame["calls"].sum() == 3
    nothing = report(where="model=none", fields=["cost"])
    assert list(nothing.to_pandas().columns) == list(nothing.to_polars().columns) == ["model", "cost"]


def test_a_notebook_that_is_asked_what_it_takes_shows_that(capsys: pytest.CaptureFixture[str]) -> None:
    shell: Any = InteractiveShell.instance(history_manager=None, colors="nocolor")
    shell.push({"usage_tracker": usage_tracker})
    shell.run_line_magic("pinfo", "usage_tracker.report")
    InteractiveShell.clear_instance()
    shown = capsys.readouterr().out
    assert "during: str | None = None" in shown
    assert "Who used what, and what it cost" in shown
    assert "**options" not in shown
    assert "Questions answered from a store" not in shown
    assert signature(usage_tracker.report) == signature(notebook.report)


def test_the_name_answers_whoever_imports_the_package_first() -> None:
    program = (
        "import sys, usage_tracker\n"
        "assert not any(name.startswith(('usage_tracker.report', 'usage_tracker.cli')) for name in sys.modules)\n"
        "{first}\n"
        "print(len(usage_tracker.report(during='2026-08')))\n"
        "from usage_tracker.report import Query\n"
        "print(len(usage_tracker.report(during='2026-08', fields=[Query().by[0] and 'cost'])))\n"
    )
    for first in ("", "import usage_tracker.report", "from usage_tracker import report"):
        done = subprocess.run(
            [sys.executable, "-c", program.format(first=first)], capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == ("2\n2\n", "")
