"""`usage-tracker prices`, as its users and their scripts meet it."""

import csv
import io
import os
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated
from price_commands import document, prices, ship, stored_costs

from usage_tracker import lazy_pricer
from usage_tracker.cli.prices import COMMANDS
from usage_tracker.config import load_settings
from usage_tracker.dsn import parse_dsn
from usage_tracker.event import Origin, Usage, UsageEvent
from usage_tracker.journal import Journal
from usage_tracker.pipeline import make_shipper, open_spool
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
