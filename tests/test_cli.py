"""The command line as its users and their scripts meet it."""

import csv
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated

from usage_tracker.cli.commands import COMMANDS
from usage_tracker.event import COLUMNS
from usage_tracker.stores import Store

AUGUST = ("--since", "2026-08", "--until", "2026-08")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that isn't there yet."""
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")


@pytest.fixture
def store(environment: None) -> Iterator[Store]:
    """The store that the commands read."""
    with migrated(os.environ["TRACKER_DSN"]) as found:
        yield found


def report(*words: str) -> Any:
    """The JSON document of a report of August 2026."""
    result = invoke("report", *AUGUST, "-o", "json", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def process(*words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "usage_tracker", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **options,
    )


def test_help_teaches_what_to_type_first() -> None:
    shown = invoke("--help").stdout
    for taught in ("Type first:", "usage-tracker report", "Examples:", "TRACKER_DSN", "Exit codes", *COMMANDS):
        assert taught in shown
    assert invoke().stdout == shown
    assert invoke().exit_code == 0


@pytest.mark.parametrize("name", ["report", "events", "migrate"])
def test_every_command_has_help_with_its_options(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert "--dsn" in result.stdout
    assert "--debug" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_names_commands_that_exist(name: str) -> None:
    assert invoke(name, "--help").exit_code == 0


def test_too_many_conditions_are_a_wrong_command_line() -> None:
    result = invoke("report", *["--where=app=web"] * 1000)
    assert result.exit_code == 2
    assert "1,000 conditions are too many for one question, which takes 200" in " ".join(result.stderr.split())


@pytest.mark.parametrize("number", ["nan", "inf", "1e12"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("watch --once", "--every"),
        ("events --follow", "--every"),
        ("export --to lake", "--every"),
        ("export --to lake", "--settle"),
    ],
)
def test_what_is_no_time_to_wait_is_a_wrong_command_line(words: str, option: str, number: str) -> None:
    result = invoke(*words.split(), option, number)
    assert (result.exit_code, f"Invalid value for '{option}'" in result.stderr) == (2, True)


def test_a_misspelled_command_is_met_with_the_right_one() -> None:
    result = invoke("reprot")
    assert result.exit_code == 2
    assert "did you mean report?" in result.stderr
    assert "did you mean rm?" in invoke("budget", "remove", "tiny").stderr


def test_a_report_is_a_table_by_model_with_a_total(store: Store) -> None:
    store_events(store, [made_event(), made_event(), made_event(model="text-embedding", cost="0.000002")])
    result = invoke("report", *AUGUST)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "Usage by model · 2026-08-01 to 2026-08-31 · UTC",
        "",
        "Model           Calls  Input  Output  Mean time       Cost",
        "──────────────────────────────────────────────────────────",
        "gpt-4o              2    200      20     250 ms  $0.020000",
        "text-embedding      1    100      10     250 ms  $0.000002",
        "──────────────────────────────────────────────────────────",
        "Total               3    300      30     250 ms  $0.020002",
    ]


def test_the_table_tells_what_its_figures_leave_out(store: Store) -> None:
    store_events(store, [made_event(tags=("a", "b")), made_event(cost=None, flags=["unpriced"], model="new")])
    assert invoke("report", *AUGUST, "--by", "tag").stdout.splitlines()[-2:] == [
        "1 call is unpriced (model: new): its cost is not in the total. `usage-tracker prices unpriced` says why.",
        "A call with several tags counts under each of them, and once in the total.",
    ]


def test_dimensions_may_be_repeated_or_separated_by_commas(store: Store) -> None:
    store_events(store, [made_event(project="alpha", team="core")])
    expected = [("2026-08-15", "alpha", "core")]
    for words in (["--by", "day,project,team"], ["--by", "day", "-b", "project, team"]):
        assert [(row["day"], row["project"], row["team"]) for row in report(*words)["rows"]] == expected


def test_conditions_hold_together(store: Store) -> None:
    store_events(store, [made_event(app="web", team="core"), made_event(app="web"), made_event(app="jobs")])
    assert report("--where", "app=web", "-w", "team!=core")["total"]["calls"] == 1


def test_the_zone_decides_which_day_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_events(store, [made_event(NOON + timedelta(hours=11))])
    assert report("--by", "day")["rows"][0]["day"] == "2026-08-15"
    assert report("--by", "day", "-z", "Europe/Berlin")["rows"][0]["day"] == "2026-08-16"
    monkeypatch.setenv("TRACKER_TZ", "Asia/Tokyo")
    found = report("--by", "day")
    assert found["rows"][0]["day"] == "2026-08-16"
    assert found["range"] == {
        "since": "2026-08-01T00:00:00+09:00",
        "until": "2026-09-01T00:00:00+09:00",
        "tz": "Asia/Tokyo",
    }


def test_notes_do_not_get_into_csv_and_markdown(store: Store) -> None:
    store_events(store, [made_event(cost=None, flags=["unpriced"])])
    for output in ("csv", "markdown"):
        result = invoke("report", *AUGUST, "-o", output)
        assert "unpriced (model" in result.stderr
        assert "unpriced (model" not in result.stdout
    assert "unpriced (model" in report()["notes"][0]


@pytest.mark.parametrize("command", ["report", "events"])
def test_where_no_store_is_yet_reading_says_what_to_do_and_creates_nothing(command: str, tmp_path: Path) -> None:
    result = invoke(command)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"No events yet in sqlite:///{tmp_path}/usage.db" in result.stderr
    assert "usage-tracker run" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_database_without_a_schema_has_no_events_yet(tmp_path: Path, empty_postgres_dsn: str) -> None:
    (tmp_path / "usage.db").touch()
    for words in ([], ["--dsn", empty_postgres_dsn]):
        for command in ("report", "events"):
            result = invoke(command, *words)
            assert result.exit_code == 0
            assert "No events yet" in result.stderr


def test_without_events_programs_still_get_a_document() -> None:
    result = invoke("report", "-o", "json")
    assert json.loads(result.stdout)["rows"] == []
    assert json.loads(result.stdout)["total"]["calls"] == 0
    assert json.loads(invoke("events", "-o", "json").stdout)["events"] == []
    assert invoke("events", "-o", "jsonl").stdout == ""
    assert invoke("events", "-o", "csv").stdout == ",".join(COLUMNS) + "\n"
    assert invoke("report", "-o", "csv").stdout.startswith("model,calls,")


def test_a_range_without_calls_says_so(store: Store) -> None:
    store_events(store, [made_event()])
    result = invoke("report", "--since", "2026-07", "--until", "2026-07", "--where", "app=web")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No calls · app=web · 2026-07-01 to 2026-07-31 · UTC" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "--by", "modle"], "did you mean model?"),
        (["report", "--by", "a,b,c,d"], "at most 3"),
        (["report", "--by", ","], "--by"),
        (["report", "--since", "yesterdy"], "did you mean yesterday?"),
        (["report", "--since", "today", "--until", "yesterday"], "the range is empty"),
        (["report", "--where", "model"], "write dimension=value"),
        (["report", "-z", "Mars"], "not a time zone"),
        (["report", "-o", "pdf"], "'pdf' is not one of"),
        (["report", "--nonsense"], "--nonsense"),
        (["events", "--limit", "-1"], "--limit"),
        (["events", "--limit", f"{10**20}"], "--limit"),
        (["events", "--since", "soon"], "names no time"),
        (["report", "--since", "0001-01-01T00:00Z", "-z", "America/New_York"], "beyond the calendar"),
        (["prune", "--before", "all"], "only where a range starts"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_with_2_and_a_sentence(words: list[str], said: str) -> None:
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["report", "events", "migrate"])
def test_a_store_that_is_away_exits_with_4_and_a_sentence_without_secrets(command: str) -> None:
    result = invoke(command, "--dsn", "postgresql://me:hunter2@127.0.0.1:1/usage")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "can't be reached" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_a_bad_dsn_of_the_environment_exits_with_1_and_the_valid_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DSN", "mysql://me:hunter2@host/usage")
    result = invoke("report")
    assert result.exit_code == 1
    assert "TRACKER_DSN has the unknown scheme 'mysql'; valid forms are" in result.stderr
    assert "sqlite:///relative.db" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("command", ["report", "watch", "doctor", "ship", "init --no-input"])
def test_a_bad_dsn_that_is_typed_is_a_wrong_command_line(command: str) -> None:
    result = invoke(*command.split(), "--dsn", "mysql://me:hunter2@host/usage")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for '--dsn': it has the unknown scheme 'mysql'; valid forms are" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("words", ["events show", "budget rm", "import jsonl", "init --no-input --app"])
def test_a_word_in_another_encoding_is_an_error_in_a_sentence(
    words: str, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DSN", postgres_dsn)
    monkeypatch.chdir(tmp_path)
    latin = "caf\udce9"  # as Python reads a byte that is no UTF-8
    (tmp_path / latin).touch()
    result = invoke(*words.split(), latin)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "\\udce9" in result.stderr
    assert "is no UTF-8" in result.stderr


@pytest.mark.parametrize("words", ["migrate", "events", "query 'SELECT 1'", "init --no-input"])
@pytest.mark.parametrize(
    "dsn",
    ["postgresql://u@127.0.0.1:1/db?password=hunter2\udce9", "host=127.0.0.1 port=1 user=u password=hunter2\udce9"],
)
def test_a_password_in_another_encoding_is_not_repeated(words: str, dsn: str) -> None:
    result = invoke(*shlex.split(words), "--dsn", dsn)
    assert result.exit_code != 0
    assert "hunter2" not in result.output + result.stderr


@pytest.mark.parametrize("words", [["--debug", "report"], ["report", "--debug"]], ids=" ".join)
def test_debug_shows_the_traceback(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "usage.db").write_text("this is no database, but long enough to be taken for one" * 20)
    result = invoke(*words)
    assert result.exit_code == 4
    assert "Traceback" in result.stderr
    assert "is no SQLite database" in result.stderr


def test_migrate_lays_the_schema_and_names_what_it_applied(tmp_path: Path) -> None:
    first, second = invoke("migrate"), invoke("migrate")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.startswith("0001_")
    assert second.stdout == ""
    assert f"sqlite:///{tmp_path}/usage.db is up to date" in second.stderr
    assert "No calls" in invoke("report").stderr


def test_events_are_listed_newest_first_with_who_they_were_for(store: Store) -> None:
    failed = made_event(NOON, status="error", error_type="Busy", cost=None, project="alpha", duration_ms=1500.0)
    passed = made_event(NOON - timedelta(days=1))
    store_events(store, [passed, failed])
    result = invoke("events", *AUGUST)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line[:103].rstrip() for line in lines] == [
        "Calls · 2026-08-01 to 2026-08-31 · UTC",
        "",
        "Time                 Provider  Model   Operation  Project  Status      Input  Output    Took       Cost",
        "───────────────────────────────────────────────────────────────────────────────────────────────────────",
        "2026-08-15 12:00:00  openai    gpt-4o  chat       alpha    error Busy    100      10   1.5 s   —",
        "2026-08-14 12:00:00  openai    gpt-4o  chat       —        ok            100      10  250 ms  $0.010000",
    ]
    assert [line[103:].strip() for line in lines[2:]] == ["ID", "─" * 38, str(failed.event_id), str(passed.event_id)]


def test_events_are_limited_filtered_and_without_a_range_all_there_is(store: Store) -> None:
    store_events(store, [made_event(NOON - timedelta(days=300 * age), user_id=f"u-{age % 2}") for age in range(25)])
    for words, count in ([], 20), (["-n", "3"], 3), (["-n", "0"], 25), (["-n", "0", "--where", "user=u-1"], 12):
        lines = invoke("events", "-o", "jsonl", *words).stdout.splitlines()
        assert len(lines) == count
    assert json.loads(lines[0])["user_id"] == "u-1"


def test_events_in_json_and_csv_have_every_column_in_exact_figures(store: Store) -> None:
    store_events(store, [made_event(cost="0.000000000001", tags=("eu",), session_id="=1")])
    document = json.loads(invoke("events", "-o", "json").stdout)
    [event] = document["events"]
    assert document["schema_version"] == 1
    assert tuple(event) == COLUMNS
    assert (event["cost"], event["tags"], event["started_at"]) == ("0.000000000001", ["eu"], "2026-08-15T12:00:00Z")
    assert json.loads(invoke("events", "-o", "jsonl").stdout) == event
    [row] = csv.DictReader(io.StringIO(invoke("events", "-o", "csv").stdout))
    assert tuple(row) == COLUMNS
    assert (row["cost"], row["tags"], row["streamed"], row["session_id"]) == (
        "0.000000000001",
        '["eu"]',
        "false",
        "'=1",
    )


def test_the_command_runs_as_a_module_and_as_a_script(store: Store) -> None:
    store_events(store, [made_event()])
    script = "from usage_tracker.cli import main; main()"
    for words in (["-m", "usage_tracker"], ["-m", "usage_tracker.cli"], ["-c", script]):
        done = subprocess.run(
            [sys.executable, *words, "report", *AUGUST, "-o", "json"], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["total"]["calls"] == 1
        assert done.stderr == ""


def test_what_is_not_shown_in_a_table_does_not_import_rich(store: Store) -> None:
    script = (
        "import sys; from usage_tracker.cli import main; main({words!r}, standalone_mode=False); "
        "print(sorted({{'rich', 'psycopg2', 'openai', 'usage_tracker.report'}} & set(sys.modules)), file=sys.stderr)"
    )
    for words, imported in (
        (["report", "-o", "json"], ["usage_tracker.report"]),
        (["events", "-o", "json"], ["usage_tracker.report"]),
        (["--help"], []),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script.format(words=words)], capture_output=True, text=True, check=True
        )
        assert done.stderr.splitlines()[-1] == str(imported)


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(store: Store) -> None:
    store_events(store, [made_event() for _ in range(500)])
    with process("events", "-n", "0", "-o", "csv") as found:
        assert found.stdout is not None
        assert found.stderr is not None
        found.stdout.readline()
        found.stdout.close()
        assert found.stderr.read() == ""
        assert found.wait(30) == 0


def test_remarks_that_nobody_reads_any_more_end_nothing(store: Store) -> None:
    store_events(store, [made_event(cost=None, flags=("unpriced",))])
    with process("report", *AUGUST, "-o", "csv") as found:
        assert found.stdout is not None
        assert found.stderr is not None
        found.stderr.close()
        assert len(found.stdout.read().splitlines()) == 2
        assert found.wait(30) == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_not_missed(closed: str, store: Store) -> None:
    store_events(store, [made_event()])
    for words in ("report", "events -o csv", "watch", "--help", "nonsense"):
        script = f'"{sys.executable}" -m usage_tracker {words} {closed}'
        done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
        assert (done.returncode, "Traceback" in done.stderr) == (2 if words == "nonsense" else 0, False)


def test_ctrl_c_exits_with_130(store: Store) -> None:
    store_events(store, [made_event() for _ in range(500)])
    with process("events", "-n", "0", "-o", "jsonl") as found:
        assert found.stdout is not None
        found.stdout.readline()  # it writes, and waits as soon as the pipe is full
        found.send_signal(signal.SIGINT)
        _, errors = found.communicate(timeout=30)
        assert (found.returncode, errors.strip()) == (130, "")


def test_a_terminal_of_another_encoding_gets_what_it_can_show(store: Store) -> None:
    store_events(store, [made_event(model="größe-模", cost=None)])
    done = subprocess.run(
        [sys.executable, "-m", "usage_tracker", "report", *AUGUST],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert done.stderr == b""
    shown = done.stdout.decode("latin-1")
    assert r"größe-\u6a21" in shown
    assert "\n-----" in shown, "lines are of dashes, and as long as ever"


def test_the_version_is_told() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("usage-tracker ")


def test_a_store_of_a_newer_schema_is_left_alone_with_a_sentence(store: Store) -> None:
    store.change(
        lambda execute: execute("INSERT INTO schema_migration (number, name) VALUES (9999, '9999_future')", ())
    )
    for command in (["report"], ["events"], ["export"], ["watch", "--once"], []):
        result = invoke(*command)
        assert (result.exit_code, result.stdout) == (4, "")
        assert "upgrade usage_tracker" in result.stderr
        assert "Traceback" not in result.stderr


def on_terminal(*words: str, **environ: str) -> tuple[str, int]:
    """What the command writes to a terminal of 80 columns and 24 lines, and its exit code."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    running = subprocess.Popen(
        [sys.executable, "-m", "usage_tracker", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **size, **environ},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    with suppress(OSError):  # Linux tells of the end like this
        while read := os.read(ours, 1 << 16):
            seen += read
    os.close(ours)
    return seen.decode(), running.wait(60)


COLOR = re.compile(r"\x1b\[[\d;]*(3\d|38;5;\d+)m")


def test_colours_are_for_terminals_that_want_them(store: Store) -> None:
    store_events(store, [made_event()])
    words = ("report", *AUGUST)
    assert COLOR.search(on_terminal(*words)[0])
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown, code = on_terminal(*words, **environ)
        assert ("gpt-4o" in shown, code) == (True, 0)
        assert not COLOR.search(shown)
    assert "\x1b" not in invoke(*words).stdout
    forced = subprocess.run(
        [sys.executable, "-m", "usage_tracker", *words],
        capture_output=True, text=True, check=True, env={**os.environ, "FORCE_COLOR": "1"},
    )  # fmt: skip
    assert COLOR.search(forced.stdout)


def test_tables_are_as_wide_as_columns_says_also_where_no_terminal_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(store, [made_event(model="a-model-with-quite-a-long-name" * 3, user_id="u-1", project="alpha")])

    def widest(*words: str) -> int:
        return max(map(len, invoke(*words).stdout.splitlines()))

    wide = {words: widest(*words) for words in (("report", *AUGUST), ("events", *AUGUST))}
    monkeypatch.setenv("COLUMNS", "75")
    for words, unlimited in wide.items():
        assert widest(*words) <= 75 < unlimited
    assert len(invoke("report", *AUGUST, "--chart").stdout.splitlines()[2]) == 75
    for nonsense in ("0", "wide", ""):
        monkeypatch.setenv("COLUMNS", nonsense)
        assert widest("report", *AUGUST) == wide["report", *AUGUST]


def test_what_is_for_programs_has_no_width(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_events(store, [made_event(model="model-" * 40)])
    monkeypatch.setenv("COLUMNS", "20")
    for form in ("json", "jsonl", "csv", "tsv", "markdown", "plain"):
        assert "model-" * 40 in invoke("report", *AUGUST, "-o", form).stdout


def test_a_file_has_neither_the_colours_nor_the_width_of_the_terminal(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(model="model-" * 40)])
    shown, code = on_terminal("report", *AUGUST, "--out", str(tmp_path / "august.txt"), COLUMNS="")
    assert (code, "Written to" in shown) == (0, True)
    written = (tmp_path / "august.txt").read_text()
    assert "\x1b" not in written
    assert "model-" * 40 in written


@pytest.mark.parametrize("chart", [(), ("--chart",)])
def test_a_file_has_no_colours_where_they_are_forced_for_all_that_a_job_prints(
    chart: tuple[str, ...], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(store, [made_event()])
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in invoke("report", *AUGUST, *chart).stdout
    assert invoke("report", *AUGUST, *chart, "--out", str(tmp_path / "august.txt")).exit_code == 0
    assert "\x1b" not in (tmp_path / "august.txt").read_text()


def test_what_is_for_programs_does_not_act_on_a_terminal_either(store: Store) -> None:
    store_events(store, [made_event(model="\x1b[2Jgone\r\u202eleft", tags=("eu",))])
    for words in (
        ("report", *AUGUST, "-o", "csv"),
        ("report", *AUGUST, "-o", "tsv"),
        ("events", "-o", "csv"),
        ("export", "-o", "csv"),
        ("query", "SELECT model FROM events", "-o", "csv"),
    ):
        shown, code = on_terminal(*words)
        assert code == 0
        assert r"\x1b[2Jgone\r\u202eleft" in shown, words
        assert "\x1b" not in shown
    assert "\x1b[2Jgone\r\u202eleft" in invoke("report", *AUGUST, "-o", "csv").stdout


@pytest.mark.parametrize("words", [("report", "--by", ","), ("top", "")])
def test_a_report_by_nothing_is_asked_what_by(words: tuple[str, ...]) -> None:
    result = invoke(*words)
    assert (result.exit_code, "name at least one dimension" in result.stderr) == (2, True)


def test_what_is_longer_than_the_terminal_goes_through_the_pager(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event() for _ in range(40)])
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\ncat\n")
    pager.chmod(0o755)
    assert "PAGED" in on_terminal("events", "-n", "40", PAGER=str(pager))[0]
    assert "PAGED" not in on_terminal("events", "-n", "3", PAGER=str(pager))[0]
    assert "PAGED" not in on_terminal("events", "-n", "40", PAGER=str(pager), TERM="dumb")[0]


def test_a_pager_is_given_no_colours_that_it_does_not_show(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event() for _ in range(40)])
    for name in ("less", "pager"):
        (tmp_path / name).write_text('#!/bin/sh\necho "LESS=$LESS"\ncat\n')
        (tmp_path / name).chmod(0o755)
    of_less = on_terminal("events", "-n", "40", PAGER=str(tmp_path / "less"), LESS="")[0]
    assert ("LESS=-R" in of_less, "\x1b[1m" in of_less) == (True, True)
    for name, said in (("less", "-F"), ("pager", "")):
        shown = on_terminal("events", "-n", "40", PAGER=str(tmp_path / name), LESS=said)[0]
        assert (f"LESS={said}" in shown, "\x1b" in shown) == (True, False)


@pytest.mark.parametrize("words", [("report", *AUGUST), ("--help",), ("--version",), ("report", "--help")])
def test_a_full_disk_is_a_sentence(store: Store, words: tuple[str, ...]) -> None:
    store_events(store, [made_event()])
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "usage_tracker", *words],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: a file or stream can't be used: No space left on device\n"
