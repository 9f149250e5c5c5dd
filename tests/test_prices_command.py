"""`usage-tracker prices` and `usage-tracker events show`, as their users and their scripts meet them."""

import csv
import io
import json
import os
import re
import shlex
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from certificates import certificate
from click.testing import Result
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated
from msgspec.structs import replace

from usage_tracker import lazy_pricer
from usage_tracker.cli.prices import COMMANDS
from usage_tracker.config import load_settings
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import Cost, CostLine, Origin, Usage, UsageEvent
from usage_tracker.journal import Journal
from usage_tracker.pipeline import make_shipper, open_spool
from usage_tracker.pricing.newer import data_file
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.prices import add_version, newest_version, read_entries, read_versions

AUGUST = ("--since", "2026-08", "--until", "2026-08")
BOOK = """
[[price]]
match = "acme-*"
provider = "acme"
input = 2.5
output = 10
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that isn't there yet."""
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")


@pytest.fixture
def store(environment: None) -> Iterator[Store]:
    with migrated(os.environ["TRACKER_DSN"]) as found:
        yield found


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.toml"
    path.write_text(BOOK)
    return path


def prices(*words: str, **options: Any) -> Result:
    return invoke("prices", *words, **options)


def document(*words: str) -> Any:
    result = prices(*words, "-o", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["schema_version"] == 1
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_examples(name: str) -> None:
    shown = prices(name, "--help")
    assert shown.exit_code == 0
    assert f"usage-tracker prices {name}" in shown.stdout
    assert name in prices("--help").stdout


def test_a_misspelled_command_is_met_with_the_right_one() -> None:
    result = prices("unprised")
    assert (result.exit_code, "did you mean unpriced?" in result.stderr) == (2, True)


# what there is


def test_an_empty_book_says_how_to_fill_it_and_reading_creates_nothing(tmp_path: Path) -> None:
    result = prices("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "usage-tracker prices set" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert document("list")["entries"] == []


def test_the_book_is_listed_in_the_order_that_counts(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices("set", "house-*", "--input", "1", "--output", "2")
    monkeypatch.setenv("TRACKER_PRICES", str(book))
    lines = prices("list").stdout.splitlines()
    assert [line.split()[0] for line in lines[4:6]] == ["file", "1"]
    assert "acme-*, provider acme" in lines[4]
    assert "input 1, output 2" in lines[5]
    entries = document("list")["entries"]
    assert [entry["input"] for entry in entries] == ["2.5", "1"]
    assert [entry["version"] for entry in entries][1] == "1"
    [first, _] = csv.DictReader(io.StringIO(prices("list", "-o", "csv").stdout))
    assert first["entry"] == "acme-*, provider acme"


def test_known_models_are_listed_with_their_prices_as_the_book_has_them() -> None:
    lines = prices("list", "gpt-4o*", "--provider", "openai").stdout.splitlines()
    [plain] = [line.split() for line in lines if line.startswith("openai") and line.split()[1] == "gpt-4o"]
    assert plain[2:6] == ["$2.5", "$1.25", "—", "$10"]
    prices("set", "*", "--provider", "openai", "--multiplier", "0.5")
    models = {
        row["model"]: row["prices"] for row in document("list", "gpt-4o*")["models"] if row["provider"] == "openai"
    }
    assert models["gpt-4o"]["input_tokens"] == [{"above_input_tokens": None, "price": "0.00000125"}]
    [row] = [
        row
        for row in csv.DictReader(io.StringIO(prices("list", "gpt-4o", "-o", "csv").stdout))
        if row["provider"] == "openai"
    ]
    assert row["input_tokens"] == "0.00000125"


def test_a_list_of_models_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, _, header, *lines = prices("list", "google/gemini-*", "--provider", "openrouter").stdout.splitlines()
    assert "Model" in header
    assert len(lines) > 5
    assert max(map(len, [header, *lines])) <= 80
    assert not any(re.search(r"\d\.\d{9}", line) for line in lines), "figures as floats print them"


def test_a_provider_without_a_pattern_is_not_passed_over() -> None:
    result = prices("list", "--provider", "openai")
    assert (result.exit_code, "prices list '*' --provider openai" in result.stderr) == (2, True)


def test_a_pattern_that_nothing_matches_says_so() -> None:
    result = prices("list", "acme-*")
    assert (result.exit_code, "No known model matches 'acme-*'" in result.stderr) == (0, True)


def test_the_price_of_a_model_is_shown_unit_by_unit_with_its_steps_and_its_source() -> None:
    shown = prices("show", "gpt-5.6-luna").stdout
    assert shown.splitlines()[0].startswith("gpt-5.6-luna · openai · standard · ")
    assert [line.split() for line in shown.splitlines()[4:6]] == [
        ["input_tokens", "$0.2", "/", "1M"],
        ["input_tokens", "272,000", "$0.4", "/", "1M"],
    ]
    assert "Priced by genai-prices" in shown
    before = document("show", "gpt-5.6-luna", "--at", "2026-07-29")["lists"][0]["prices"]
    assert before["input_tokens"][0]["price"] == "0.000001"
    flex = document("show", "gpt-5", "--tier", "flex")["lists"][0]["prices"]
    assert flex["output_tokens"] == [{"above_input_tokens": None, "price": "0.000005"}]


def test_a_model_of_several_providers_is_shown_for_each() -> None:
    found = {each["provider"] for each in document("show", "openai/gpt-oss-120b")["lists"]}
    assert {"groq", "openrouter"} <= found


def test_a_model_without_a_price_exits_with_1_and_what_to_do() -> None:
    result = prices("show", "acme-chat-1", "--tier", "flex")
    assert result.exit_code == 1
    assert "no flex price of 'acme-chat-1' is known" in result.stderr
    assert "usage-tracker prices set" in result.stderr


# new versions


def test_a_price_is_set_in_a_new_version_and_set_again_in_the_next() -> None:
    first = prices("set", "acme-*", "--provider", "acme", "--input", "2.5", "--cache-read", "0.25", "--output", "10")
    assert first.exit_code == 0
    assert first.stdout == "+ acme-*, provider acme: input 2.5, cache_read 0.25, output 10\n"
    assert "Version 1 of the price book" in first.stderr
    second = prices("set", "acme-*", "--provider", "acme", "--input", "3", "--output", "10")
    assert second.stdout == "~ acme-*, provider acme: input 2.5 → 3, cache_read 0.25 → —\n"
    assert "Version 2 of the price book" in second.stderr
    assert len(document("list")["entries"]) == 1
    same = prices("set", "acme-*", "--provider", "acme", "--input", "3.0", "--output", "10")
    assert (same.stdout, "no new version" in same.stderr) == ("", True)


def test_a_new_entry_goes_to_the_top() -> None:
    prices("set", "*", "--provider", "openai", "--multiplier", "0.9")
    prices("set", "gpt-4o", "--provider", "openai", "--input", "1", "--output", "1", "--from", "2026-01-01")
    assert [entry["match"] for entry in document("list")["entries"]] == ["gpt-4o", "*"]
    shown = document("show", "gpt-4o")["lists"][0]
    assert (shown["source"], shown["version"]) == ("book", "2")


def test_a_deployment_is_given_the_price_of_its_model() -> None:
    prices("set", "prod-chat", "--provider", "azure", "--model", "gpt-4o-2024-11-20")
    shown = document("show", "prod-chat", "--provider", "azure")["lists"][0]
    assert shown["prices"]["input_tokens"][0]["price"] == "0.0000025"
    assert shown["version"].endswith("as gpt-4o-2024-11-20 (book 1)")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["acme-*"], "give it a price"),
        (["acme-*", "--input", "much"], "is no number"),
        (["acme-*", "--input", "nan"], "is no number"),
        (["acme-*", "--input", "1e999999"], "is no number"),
        (["acme-*", "--input", "1e-999999"], "is no number"),
        (["acme-*", "--input", "-1"], "not below zero"),
        (["acme-*", "--model", "gpt-4o", "--input", "1"], "no prices of its own"),
        (["acme-*", "--input", "1", "--from", "soon"], "--from"),
        (["acme-*", "--input", "1", "--from", "2026-02-01", "--until", "2026-01-01"], "is after"),
    ],
    ids=" ".join,
)
def test_a_price_that_makes_no_sense_is_refused_and_nothing_changes(
    words: list[str], said: str, tmp_path: Path
) -> None:
    result = prices("set", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_would_change_and_changes_nothing(book: Path, store: Store) -> None:
    assert prices("set", "acme-*", "--input", "1", "--dry-run").stdout == "+ acme-*: input 1\n"
    assert prices("import", str(book), "--dry-run").stdout.startswith("+ acme-*, provider acme: input 2.5")
    assert newest_version(store) is None


def test_a_file_takes_the_place_of_the_book(book: Path) -> None:
    prices("set", "house-*", "--input", "1", "--output", "1")
    result = prices("import", str(book), "--note", "contract of August")
    assert result.stdout.splitlines() == [
        "- house-*: input 1, output 1",
        "+ acme-*, provider acme: input 2.5, output 10",
    ]
    store = open_store(parse_dsn(os.environ["TRACKER_DSN"]))
    assert [(version.number, version.note) for version in read_versions(store)] == [
        (1, "set house-*"),
        (2, "contract of August"),
    ]
    store.close()


def test_a_book_on_stdin_is_read_as_a_file_is() -> None:
    marked = invoke("prices", "import", "-", input=BOOK.encode("utf-8-sig"))
    assert (marked.exit_code, marked.stdout) == (0, "+ acme-*, provider acme: input 2.5, output 10\n")
    latin = invoke("prices", "import", "-", input=BOOK.replace("acme", "gr\xfcn").encode("latin-1"))
    assert (latin.exit_code, "stdin is no UTF-8 text (byte " in latin.stderr) == (1, True)


def test_a_file_with_a_mistake_is_refused_as_a_whole_with_its_line(book: Path, store: Store) -> None:
    book.write_text(BOOK + "[[price]]\nmatch = 'b'\nouptut = 1\n")
    for words in (["import", str(book)], ["list", "--prices", str(book)]):
        result = prices(*words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"{book}, line 9: 'ouptut' is unknown; did you mean 'output'?" in result.stderr
    assert newest_version(store) is None


def test_a_book_comes_back_as_it_went_out(book: Path) -> None:
    book.write_text(
        BOOK
        + """
        above = [{ input_tokens = 200_000, input = 5 }]
        tier.flex.multiplier = 0.5
        tier.priority = { input = 0.00000001 }
        when = { host = "eu.\\"quoted\\".*" }
        from = 2026-01-01
        note = "größe"
        [[price]]
        regex = '^b\\d$'
        add = { search = 0.01 }
        """
    )
    prices("import", str(book))
    written = prices("list", "-o", "toml").stdout
    assert prices("diff", str(book)).stderr.endswith("say the same.\n")
    result = prices("import", "-", input=written)
    assert "no new version" in result.stderr


def test_versions_are_compared(book: Path) -> None:
    assert "There is no version" in prices("diff").stderr
    assert document("diff") == {"schema_version": 1, "old": None, "new": None, "differences": []}
    prices("set", "a", "--input", "1", "--output", "1")
    assert "There is one version" in prices("diff").stderr
    assert document("diff") == {"schema_version": 1, "old": None, "new": "1", "differences": []}
    prices("set", "b", "--input", "1", "--output", "1")
    prices("set", "a", "--input", "2", "--output", "1")
    assert [line.split()[:3] for line in prices("diff").stdout.splitlines()[4:]] == [["a", "changed", "input"]]
    differences = {each["entry"]: (each["change"], each["what"]) for each in document("diff", "1", "3")["differences"]}
    assert differences == {"b": ("added", "input 1, output 1"), "a": ("changed", "input 1 → 2")}
    [removed, *_] = csv.DictReader(io.StringIO(prices("diff", "3", str(book), "-o", "csv").stdout))
    assert removed["change"] == "removed"
    missing = prices("diff", "1", "9")
    assert (missing.exit_code, "there is: 1, 2, 3" in missing.stderr) == (1, True)


@pytest.fixture(params=["sqlite", "postgres"])
def any_dsn(request: pytest.FixtureRequest, environment: None) -> str:
    sqlite = os.environ["TRACKER_DSN"]
    return sqlite if request.param == "sqlite" else str(request.getfixturevalue("empty_postgres_dsn"))


@pytest.fixture
def any_store(any_dsn: str) -> Iterator[Store]:
    with migrated(any_dsn) as found:
        yield found


def test_a_version_is_kept_to_the_digit_and_none_is_ever_changed(any_store: Store) -> None:
    entries: list[dict[str, Any]] = [
        {"match": "a%", "input": Decimal("0.1234567890123456789"), "output": 1, "from": "2026-01-01"}
    ]
    assert newest_version(any_store) is None
    assert add_version(any_store, None, "first", entries) == 1
    assert add_version(any_store, None, "late", []) is None, "somebody else was first"
    assert add_version(any_store, 1, "second", []) == 2
    assert read_entries(any_store, 1) == entries
    assert read_entries(any_store, 2) == []
    assert [(version.number, version.note, version.entries) for version in read_versions(any_store)] == [
        (1, "first", 1),
        (2, "second", 0),
    ]


def ship(events: int, path: Path | None = None, at: datetime = NOON) -> None:
    """Calls of a model that only the book knows, priced and stored as by a program that runs."""
    settings = load_settings(prices=path)
    assert settings.dsn is not None
    journal = Journal(open_spool(settings))
    for _ in range(events):
        usage = Usage(input_tokens=1000, output_tokens=100)
        started = int(at.timestamp()) * 1_000_000_000
        event = UsageEvent(started_at=started, duration_ms=1, operation="chat", model="acme-1", usage=usage)
        journal.append(Origin(provider="acme", sdk="openai"), event)
    journal.close()
    shipper = make_shipper(settings, settings.dsn)
    while shipper.step():
        continue
    shipper.close()


def stored_costs() -> list[tuple[str | None, str | None, str | None]]:
    lines = invoke("events", "-n", "0", "-o", "jsonl").stdout.splitlines()
    events = [json.loads(line) for line in reversed(lines)]
    return [(event["cost"], event["price_source"], event["price_version"]) for event in events]


def test_a_call_keeps_the_version_that_priced_it() -> None:
    ship(1)
    prices("set", "acme-*", "--input", "1", "--output", "1")
    ship(1)
    prices("set", "acme-*", "--input", "2", "--output", "2")
    ship(1)
    assert sorted(stored_costs(), key=str) == [
        ("0.0011", "book", "1"),
        ("0.0022", "book", "2"),
        (None, None, None),
    ]


def test_a_program_that_runs_takes_a_new_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_pricer, "LOOK_SECONDS", 0.0)
    settings = load_settings()
    assert settings.dsn is not None
    shipper = make_shipper(settings, settings.dsn)
    for price in (None, "1", "2"):
        if price:
            prices("set", "acme-*", "--input", price, "--output", "0")
        journal = Journal(open_spool(settings))
        usage = Usage(input_tokens=1_000_000, output_tokens=1)
        event = UsageEvent(started_at=1, duration_ms=1, operation="chat", model="acme-1", usage=usage)
        journal.append(Origin(provider="acme", sdk="openai"), event)
        journal.close()
        while shipper.step():
            continue
    shipper.close()
    assert sorted(stored_costs(), key=str) == [("1", "book", "1"), ("2", "book", "2"), (None, None, None)]


def test_a_bad_file_leaves_calls_without_a_cost_and_says_so(book: Path, caplog: pytest.LogCaptureFixture) -> None:
    book.write_text(BOOK + "ouptut = 1\n")
    ship(2, book)
    assert stored_costs() == [(None, None, None)] * 2
    assert "line 7" in caplog.text
    assert "2 calls are unpriced" in invoke("report", *AUGUST).stdout


def test_doctor_names_the_books_and_the_line_of_a_mistake(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def doctor() -> tuple[int, str]:
        result = invoke("doctor")
        return result.exit_code, result.stdout

    monkeypatch.setenv("TRACKER_SDKS", "openai")  # it imports them
    prices("set", "house-*", "--input", "1", "--output", "1")
    monkeypatch.setenv("TRACKER_PRICES", str(book))
    _, said = doctor()
    assert f"1 of your own in {book}" in said
    assert "1 of your own in sqlite:///" in said
    book.write_text(BOOK + "ouptut = 1\n")
    code, said = doctor()
    assert (code, "line 7" in said) == (5, True)


# what has no price


def test_calls_without_a_cost_are_listed_with_the_command_that_prices_them(store: Store) -> None:
    unknown: dict[str, Any] = {"cost": None, "flags": ["unpriced"], "provider": "acme", "model": "acme-1"}
    tier: dict[str, Any] = {"cost": None, "flags": ["unpriced", "tier_unpriced"], "service_tier": "scale"}
    store_events(store, [made_event(**unknown), made_event(**unknown), made_event(**tier), made_event()])
    result = prices("unpriced", *AUGUST)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[4][:4] == ["acme", "acme-1", "(none)", "2"]
    assert lines[5][:4] == ["openai", "gpt-4o", "scale", "1"]
    assert "usage-tracker prices set 'acme-1' --provider acme --input USD --output USD" in result.stdout
    models = document("unpriced", *AUGUST)["models"]
    assert [(row["model"], row["unpriced"], row["input_tokens"]) for row in models] == [
        ("acme-1", 2, 200),
        ("gpt-4o", 1, 100),
    ]
    assert len(prices("unpriced", *AUGUST, "-o", "csv").stdout.splitlines()) == 3
    assert len(document("unpriced", *AUGUST, "--where", "provider=acme")["models"]) == 1


def test_a_command_to_copy_runs_nothing_that_a_model_is_called(store: Store) -> None:
    model, provider = "acme-'; touch mine; '", "acme; touch mine"
    store_events(store, [made_event(cost=None, flags=["unpriced"], provider=provider, model=model)])
    [(_, remedy)] = reasons().values()
    assert shlex.split(remedy)[3:6] == [model, "--provider", provider]
    prices("set", "acme-*", "--input", "1", "--output", "1")
    [(_, remedy)] = reasons().values()
    assert shlex.split(remedy)[-1] == f"model={model}"


def reasons(*words: str) -> dict[str, tuple[str, str]]:
    """By model: why its newest call has no cost, and what is said to help."""
    return {row["model"]: (row["why"], row["remedy"]) for row in document("unpriced", *AUGUST, *words)["models"]}


def test_it_says_why_a_call_has_no_cost_and_what_helps(any_dsn: str, any_store: Store, book: Path) -> None:
    def gap(model: str | None, *flags: str, **fields: Any) -> Any:
        return made_event(cost=None, flags=["unpriced", *flags], model=model, **fields)

    nothing: dict[str, Any] = {"input_tokens": None, "output_tokens": None}
    store_events(
        any_store,
        [
            gap("acme-2", provider="acme"),
            gap("gpt-5", "tier_unpriced", service_tier="scale"),
            gap("claude-haiku-4-5", "tier_unpriced", provider="anthropic", raw={"speed": "fast"}),
            gap("claude-sonnet-4-5", "tier_unpriced", provider="anthropic", operation="batch", input_tokens=10**6),
            gap("mistral-large-2512", "tool_unpriced", provider="mistral", units={"searches": 2.0}),
            gap("gpt-4.1", status="abandoned", **nothing),
            gap("gpt-4o-realtime", streamed=True, **nothing),
            gap("gpt-4o-audio-preview-2024-10-01", input_audio_tokens=90),
            gap("acme-paint-1*", provider="acme", operation="image", units={"images": 1.0}, **nothing),
            gap("gpt-4o", cache_read_tokens=200),
            gap(None, provider=None),
            gap("acme-3", provider="acme"),
            made_event(model="acme-3", provider="acme"),
        ],
    )
    found = reasons("--dsn", any_dsn)
    assert found["acme-2"] == (
        "no price is known",
        "usage-tracker prices set 'acme-2' --provider acme --input USD --output USD    for a million tokens",
    )
    assert found["gpt-5"][0] == "no price for the tier scale"
    assert "tier.scale.multiplier" in found["gpt-5"][1]
    assert found["claude-haiku-4-5"][0] == "no price for fast answers"
    assert found["claude-sonnet-4-5"][0] == "its list has steps by the length of a prompt"
    assert found["mistral-large-2512"] == (
        "no price for searches",
        "usage-tracker prices set 'mistral-large-2512' --provider mistral --search USD    for one",
    )
    assert found["gpt-4.1"][0] == found["gpt-4o-realtime"][0] == "no usage is known"
    assert "left" in found["gpt-4.1"][1]
    assert "TRACKER_STREAM_USAGE" in found["gpt-4o-realtime"][1]
    assert found["gpt-4o-audio-preview-2024-10-01"][0] == "its list lacks a price for some of it"
    assert found["acme-paint-1*"][1].endswith("--image USD    for one")
    assert found["gpt-4o"][0] == "its counts contradict each other"
    assert found[None][0] == "no model is named"  # type: ignore[index]
    assert found["acme-3"][0] == "no price is known"
    assert "usage-tracker reprice" in reasons("--dsn", any_dsn, "--prices", str(book))["acme-2"][1]
    shown = prices("unpriced", *AUGUST, "--dsn", any_dsn).stdout
    assert "no price for the tier scale" in shown


def test_a_call_that_the_app_left_does_not_speak_for_those_that_it_read_to_the_end(store: Store) -> None:
    unknown: dict[str, Any] = {"cost": None, "flags": ["unpriced"], "input_tokens": None, "output_tokens": None}
    minutes = [NOON + timedelta(minutes=place) for place in range(3)]
    read, left, left_too = (
        made_event(at, streamed=True, status=status, **unknown)
        for at, status in zip(minutes, ("ok", "cancelled", "abandoned"), strict=True)
    )
    store_events(store, [read, left, left_too])
    [row] = document("unpriced", *AUGUST)["models"]
    assert "TRACKER_STREAM_USAGE=always" in row["remedy"]
    assert row["newest"] == str(read.event_id)


def test_the_fee_of_a_tool_leaves_tokens_at_their_price() -> None:
    prices("set", "mistral-*", "--multiplier", "0.5")
    prices("set", "mistral-*", "--search", "0.03")
    rates = document("show", "mistral-large-latest", "--provider", "mistral")["lists"][0]["prices"]
    assert rates["web_searches"][0]["price"] == "0.03"
    assert "input_tokens" in rates
    assert len(document("list")["entries"]) == 2


def test_where_every_call_has_a_cost_that_is_said(store: Store) -> None:
    store_events(store, [made_event()])
    assert "Every call that should have a cost has one" in prices("unpriced", *AUGUST).stderr
    assert document("unpriced", *AUGUST)["models"] == []


# newer data

DATA = [
    {
        "id": "acme",
        "name": "Acme",
        "api_pattern": "acme",
        "models": [{"id": "acme-1", "match": {"equals": "acme-1"}, "prices": {"input_mtok": 1, "output_mtok": 2}}],
    }
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(DATA))
    return path


def test_newer_data_is_taken_from_a_file_and_given_up_again(data: Path) -> None:
    dry = prices("update", "--from", str(data), "--dry-run")
    assert (dry.exit_code, "would change" in dry.stderr) == (0, True)
    assert prices("show", "acme-1", "--provider", "acme").exit_code == 1
    done = prices("update", "--from", str(data))
    assert done.exit_code == 0
    shown = document("show", "acme-1", "--provider", "acme")["lists"][0]
    assert shown["prices"]["output_tokens"][0]["price"] == "0.000002"
    assert shown["version"].startswith("data ")
    ship(1)
    assert stored_costs() == [("0.0012", "genai-prices", shown["version"])]
    prices("update", "--bundled")
    assert prices("show", "acme-1", "--provider", "acme").exit_code == 1
    assert prices("show", "gpt-4o").exit_code == 0


def test_newer_data_that_is_damaged_is_said_once_and_the_bundled_is_used(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prices("update", "--from", str(data))
    data_file().write_text("{")
    shown = document("show", "gpt-4o")["lists"][0]
    assert not shown["version"].startswith("data ")
    assert "prices are those that are bundled" in caplog.text


def test_what_changes_is_said_model_by_model(data: Path) -> None:
    prices("update", "--from", str(data))
    changed = [{**DATA[0], "models": [{**DATA[0]["models"][0], "prices": {"input_mtok": 3}}]}]  # type: ignore[dict-item]
    data.write_text(json.dumps(changed))
    assert document("update", "--from", str(data), "--dry-run")["changes"] == [
        {
            "provider": "acme",
            "model": "acme-1",
            "change": "price",
            "before": "$1/input MTok, $2/output MTok",
            "after": "$3/input MTok",
        }
    ]
    renamed = [{**DATA[0], "models": [{**DATA[0]["models"][0], "id": "acme-2"}]}]  # type: ignore[dict-item]
    data.write_text(json.dumps(renamed))
    found = document("update", "--from", str(data), "--dry-run")["changes"]
    assert [(change["model"], change["change"]) for change in found] == [("acme-1", "gone"), ("acme-2", "new")]


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "no JSON"), ("{}", "no list of providers"), ('[{"id": "acme"}]', "no price data")],
    ids=["no JSON", "no list", "no data"],
)
def test_what_is_no_price_data_is_refused(data: Path, content: str, said: str) -> None:
    data.write_text(content)
    result = prices("update", "--from", str(data))
    assert (result.exit_code, said in result.stderr) == (1, True)
    assert prices("show", "gpt-4o").exit_code == 0


def test_newer_data_is_downloaded_where_it_can_be(data: Path) -> None:
    class Publisher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data.read_bytes())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Publisher) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert prices("update", "--from", f"http://127.0.0.1:{server.server_port}/data.json").exit_code == 0
        thread.join()
    assert prices("show", "acme-1", "--provider", "acme").exit_code == 0
    away = prices("update", "--from", f"http://127.0.0.1:{server.server_port}/data.json")
    assert away.exit_code == 1
    assert "--from" in away.stderr
    assert prices("update", "--from", str(data.parent / "missing.json")).exit_code == 1


@pytest.mark.parametrize(
    "answer", [b"none of HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc"]
)
def test_data_that_does_not_arrive_whole_is_a_sentence(data: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def publish() -> None:
            taken, _ = server.accept()
            with taken:
                taken.recv(1 << 16)
                taken.sendall(answer)

        thread = Thread(target=publish)
        thread.start()
        place = f"http://127.0.0.1:{server.getsockname()[1]}/data.json"
        result = prices("update", "--from", place)
        thread.join()
    assert (result.exit_code, "can't be fetched" in result.stderr) == (1, True)


def test_what_is_no_address_of_data_is_a_sentence() -> None:
    result = prices("update", "--from", "http://[::1/data.json")
    assert (result.exit_code, "can't be fetched" in result.stderr) == (1, True)


def test_data_that_is_asked_for_over_tls_is_not_taken_without_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is between could say what everything costs."""
    asked = []

    class Publisher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            elsewhere = self.server is encrypted
            self.send_response(302 if elsewhere else 200)
            if elsewhere:
                self.send_header("Location", f"http://127.0.0.1:{plain.server_port}/data.json")
            self.end_headers()
            self.wfile.write(b"" if elsewhere else data.read_bytes())

        def log_message(self, *_: object) -> None: ...

    chain, key = certificate(tmp_path / "tls", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    with HTTPServer(("127.0.0.1", 0), Publisher) as plain, HTTPServer(("127.0.0.1", 0), Publisher) as encrypted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
        for server in (plain, encrypted):
            Thread(target=server.handle_request, daemon=True).start()
        result = prices("update", "--from", f"https://localhost:{encrypted.server_port}/old.json")
    assert (result.exit_code, asked) == (1, ["/old.json"])
    assert "HTTP 302" in result.stderr


@pytest.mark.parametrize(
    "place",
    [
        "https://user:not-to-be-shown@127.0.0.1/data.json",
        "https://not-to-be-shown@127.0.0.1:1/data.json",
        "https://[not-to-be-shown/data.json",
        "http://127.0.0.1:{port}/data.json?token=not-to-be-shown",
    ],
    ids=["a user with a password", "a user", "no address", "what is no HTTP"],
)
def test_what_an_address_has_of_secrets_is_not_said_where_nothing_comes_from_it(place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = Thread(target=answer_nonsense, args=(server,), daemon=True)
        answering.start()
        result = prices("update", "--from", place.format(port=server.getsockname()[1]))
    assert result.exit_code == 1
    assert "--from" in result.stderr
    assert isinstance(result.exception, SystemExit), "a sentence, and no traceback"
    assert "not-to-be-shown" not in result.output


def answer_nonsense(server: socket.socket) -> None:
    with suppress(OSError), server.accept()[0] as wire:
        wire.recv(4096)
        wire.sendall(b"nonsense\r\n\r\n")


# one call


def bill(store: Store, **fields: Any) -> str:
    lines = (
        CostLine("input_tokens", Decimal(600), Decimal("0.0000025")),
        CostLine("cache_read_tokens", Decimal(400), Decimal("0.00000125")),
        CostLine("web_searches", Decimal(2), Decimal("0.01")),
        CostLine("audio_seconds", Decimal("7.5"), Decimal(1) / 3600),
    )
    cost = Cost(Decimal("0.024083333333"), lines, "genai-prices", "0.2.3")
    priced = replace(made_event(**fields), cost=cost)
    store_events(store, [priced, made_event()])
    return str(priced.event_id)


def test_a_call_shows_units_times_price_line_by_line(store: Store) -> None:
    event_id = bill(store, project="alpha", reported_cost="0.0241")
    shown = invoke("events", "show", event_id)
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["Project", "alpha"] in lines
    assert ["input_tokens", "600", "×", "$2.5", "/", "1M", "=", "$0.0015"] in lines
    assert ["web_searches", "2", "×", "$0.01", "=", "$0.02"] in lines
    assert ["audio_seconds", "7.5", "×", "$0.000277777778", "=", "$0.002083333333"] in lines
    assert ["Total", "$0.024083333333"] in lines
    assert "Priced by genai-prices 0.2.3." in shown.stdout
    assert "The provider stated $0.0241." in shown.stdout


def test_the_lines_of_a_call_add_up_in_json_too(any_dsn: str, any_store: Store) -> None:
    event_id = bill(any_store)
    found = json.loads(invoke("events", "show", event_id, "-o", "json", "--dsn", any_dsn).stdout)
    assert sum(Decimal(line["cost"]) for line in found["lines"]) == Decimal(found["event"]["cost"])
    assert found["event"]["event_id"] == event_id


def test_a_call_is_found_near_the_time_that_its_id_tells(any_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DSN", any_dsn)
    ship(3, at=datetime.now(UTC))
    events = [json.loads(line) for line in invoke("events", "-o", "jsonl").stdout.splitlines()]
    assert len(events) == 3
    for event in events:
        assert json.loads(invoke("events", "show", event["event_id"], "-o", "json").stdout)["event"] == event


def test_a_call_is_found_by_the_providers_own_id(store: Store) -> None:
    bill(store, response_id="chatcmpl-1")
    assert (
        json.loads(invoke("events", "show", "chatcmpl-1", "-o", "json").stdout)["event"]["response_id"] == "chatcmpl-1"
    )


def test_the_newest_call_is_found_without_an_id(store: Store) -> None:
    assert invoke("events", "show", "last").exit_code == 1
    calls = [made_event(at=NOON + timedelta(minutes=minute)) for minute in (1, 2, 0)]
    store_events(store, calls)
    assert f"Call {calls[1].event_id}" in invoke("events", "show", "last").stdout


def test_the_list_has_the_ids_that_show_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    event = made_event()
    store_events(store, [event])
    assert str(event.event_id) in invoke("events").stdout
    monkeypatch.setenv("COLUMNS", "80")
    assert "No room for ID, " in invoke("events").stdout


def test_a_call_without_a_cost_says_why(store: Store) -> None:
    priced = made_event(cost=None, flags=["unpriced", "tier_unpriced", "sum_mismatch"])
    store_events(store, [priced])
    shown = invoke("events", "show", str(priced.event_id)).stdout
    assert "no price is known for its service tier" in shown
    assert "contradict each other" in shown
    assert "input 100, output 10" in shown


def test_a_call_whose_usage_nobody_knows_says_that(store: Store) -> None:
    left = made_event(cost=None, flags=["unpriced"], input_tokens=None, output_tokens=None, status="abandoned")
    store_events(store, [left])
    assert "what it used is not known" in invoke("events", "show", str(left.event_id)).stdout


def test_a_call_without_lines_of_a_bill_has_no_table_of_them(store: Store) -> None:
    failed = made_event(cost=None, input_tokens=None, output_tokens=None, status="error", error_type="RateLimitError")
    stated = made_event(cost="0.25", flags=["estimated_tokens"])
    store_events(store, [failed, stated])
    shown = invoke("events", "show", str(failed.event_id)).stdout
    assert shown.endswith(f"Cost       —\n\nCall {failed.event_id}\n")
    shown = invoke("events", "show", str(stated.event_id)).stdout
    assert "Cost       $0.25\n" in shown
    assert "estimated_tokens: its tokens are an estimate" in shown
    assert "Unit" not in shown


def test_what_a_price_depends_on_beside_the_tier_is_shown(store: Store) -> None:
    fast = made_event(raw={"speed": "fast"}, units={"searches": 2.0})
    store_events(store, [fast])
    lines = [line.split() for line in invoke("events", "show", str(fast.event_id)).stdout.splitlines()]
    assert ["Speed", "fast"] in lines
    assert ["Units", "searches", "2"] in lines


def test_units_are_shown_in_all_their_digits(store: Store) -> None:
    spoken = made_event(units={"characters": 1_234_567, "seconds": 10_800.125})
    store_events(store, [spoken])
    shown = invoke("events", "show", str(spoken.event_id)).stdout
    assert "characters 1,234,567, seconds 10,800.125\n" in shown


def test_a_call_that_is_not_there_exits_with_1(store: Store) -> None:
    for words in (["chatcmpl-none"], ["0199f0c2-7a3e-7c55-8d2e-5a1b2c3d4e5f"]):
        result = invoke("events", "show", *words)
        assert (result.exit_code, "there is no call" in result.stderr) == (1, True)


def test_events_without_show_are_listed_as_ever(store: Store) -> None:
    store_events(store, [made_event(NOON - timedelta(days=age)) for age in range(3)])
    assert len(invoke("events", "-n", "2", "-o", "jsonl").stdout.splitlines()) == 2
