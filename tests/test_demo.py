"""`usage-tracker demo`: every call of the story is in the report, and nothing of the user's is touched."""

import os
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import Result
from commanding import invoke

from usage_tracker import tracker
from usage_tracker.demo.story import CHAPTERS
from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store

CALLS = sum(chapter.calls for chapter in CHAPTERS)


def run_demo(folder: Path) -> Result:
    result = invoke("demo", "--folder", str(folder))
    assert result.exit_code == 0, result.output
    return result


def events(folder: Path, columns: str) -> list[tuple[object, ...]]:
    store = open_store(parse_dsn(f"sqlite:///{folder}/usage.db"))
    rows = list(store.select(f"SELECT {columns} FROM events"))
    store.close()
    return rows


def test_every_call_of_the_story_is_an_event_and_in_the_report(tmp_path: Path) -> None:
    result = run_demo(tmp_path)
    assert len(events(tmp_path, "event_id")) == CALLS
    assert f"{CALLS} calls captured, {CALLS} stored" in result.stdout
    assert "gpt-5-2025-08-07" in result.stdout
    assert "support-bot" in result.stdout
    assert "acme-llm-7b" in result.stdout.split("unpriced (")[1]


def test_what_it_names_to_go_on_with_can_be_typed_whatever_the_folders_name(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "100% mine?")
    [line] = [line for line in result.stdout.splitlines() if " events --dsn " in line]
    words = shlex.split(line)
    words = words[words.index("events") :]
    assert len(invoke(*words, "-o", "jsonl").stdout.splitlines()) == 5
    [why] = {line.split("`")[1] for line in result.stdout.splitlines() if line.endswith("` says why.")}
    assert "acme-llm-7b" in invoke(*shlex.split(why)[1:]).stdout


def test_the_story_is_told_in_one_place_to_its_end(tmp_path: Path) -> None:
    result = run_demo(tmp_path)
    assert result.stderr == ""
    assert result.stdout.startswith("A stand-in for")
    assert result.stdout.endswith(f"To take it away:\n    rm -r {tmp_path}\n")
    assert f"prices unpriced --dsn sqlite:///{tmp_path}/usage.db\n" in result.stdout
    prose = [line for line in result.stdout.partition("\n$ ")[0].splitlines() if str(tmp_path) not in line]
    assert max(map(len, prose)) <= 80


def test_the_calls_are_of_many_kinds_and_all_are_for_somebody(tmp_path: Path) -> None:
    run_demo(tmp_path)
    rows = events(tmp_path, "operation, status, streamed, provider, attempts, project, team")
    operations = Counter(row[0] for row in rows)
    assert operations.keys() == {
        "chat", "embeddings", "image", "moderation", "responses", "speech", "transcription"
    }  # fmt: skip
    assert Counter(row[1] for row in rows) == {"ok": CALLS - 3, "error": 2, "abandoned": 1}
    assert sum(bool(row[2]) for row in rows) == 6
    assert Counter(row[3] for row in rows) == {"openai": CALLS - 5, "azure": 2, None: 3}
    assert max(int(str(row[4])) for row in rows) == 3
    assert all(row[5] and row[6] for row in rows)


def test_what_has_a_price_has_a_cost(tmp_path: Path) -> None:
    run_demo(tmp_path)
    unpriced = Counter(row[0] for row in events(tmp_path, "status, cost, model") if row[1] is None)
    assert unpriced == {"ok": 3, "error": 2, "abandoned": 1}


def test_the_settings_of_the_user_have_no_say(
    tmp_path: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/mine.db")
    monkeypatch.setenv("TRACKER_SHIP", "off")
    monkeypatch.setenv("TRACKER_PROJECT", "mine")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")  # what it takes is not installed
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    before = dict(os.environ)
    run_demo(tmp_path / "demo")
    assert not (tmp_path / "mine.db").exists()
    assert list(own_environment.iterdir()) == []
    assert "mine" not in {row[0] for row in events(tmp_path / "demo", "project")}
    assert dict(os.environ) == before


def test_it_does_not_say_to_take_away_what_was_in_the_folder_before(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    *_, said, last = run_demo(tmp_path).stdout.splitlines()
    assert said == "The demo's events stay in that folder. To take them away:"
    command, option, *paths = shlex.split(last)
    assert (command, option) == ("rm", "-r")
    assert (
        {tmp_path / "spool", tmp_path / "usage.db"}
        <= set(map(Path, paths))
        <= {*tmp_path.iterdir()} - {tmp_path / "thesis.tex"}
    )


def test_an_sdk_that_is_too_old_for_the_story_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai.resources.responses", None)
    result = invoke("demo", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "pip install --upgrade openai" in result.stderr
    assert tracker.installed is None


def test_of_a_story_that_can_not_be_told_no_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai.resources.responses", None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert invoke("demo").exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    result = invoke("demo")
    assert result.exit_code == 1
    assert "pip install openai" in result.stderr
