"""What others have recorded comes into the store once, and sums up to what they say."""

import csv
import json
import math
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from base64 import b64encode
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated
from msgspec.structs import replace
from postgres_server import PostgresServer
from psycopg2.extensions import parse_dsn as parse_keywords
from spend_logs import KEYS, make_table, run, totals

from usage_tracker.dsn import parse_dsn
from usage_tracker.event import CostLine
from usage_tracker.history.openai_usage import UsageExport
from usage_tracker.report import Query
from usage_tracker.report import run as ask
from usage_tracker.stores import open_store

ROWS = 4000


@pytest.fixture
def source(empty_postgres_dsn: str) -> str:
    """The database of a proxy, as its DSN."""
    make_table(empty_postgres_dsn, ROWS)
    return empty_postgres_dsn


@pytest.fixture(params=["postgres", "sqlite"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store's."""
    chosen: str = f"sqlite:///{tmp_path}/usage.db"
    if request.param == "postgres":
        chosen = request.getfixturevalue("postgres_dsn")
    monkeypatch.setenv("TRACKER_DSN", chosen)
    return chosen


def bring(*words: str) -> str:
    """What the command says."""
    found = invoke("import", *words)
    assert found.exit_code == 0, found.output
    return found.stderr


def url_of(dsn: str) -> str:
    """Libpq's keywords as a URL."""
    said = parse_keywords(dsn)
    return f"postgresql://{said['user']}@{said['host']}:{said['port']}/{said['dbname']}"


def ours(dsn: str, key: str) -> list[tuple[Any, ...]]:
    """What a report says: calls, tokens and reported cost by key."""
    with closing(open_store(parse_dsn(dsn))) as store:
        rows = ask(store, Query(by=(key,))).rows
    found = [
        (str(row.group[0]), row.calls, row.input_tokens or 0, row.output_tokens or 0, round(row.reported_cost or 0, 12))
        for row in rows
        if row.group[0] is not None
    ]
    return sorted(found)


def sums_of(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    return {key: ours(dsn, key) for key in KEYS}


@pytest.mark.parametrize("dsn", ["postgres"], indirect=True)
def test_spend_logs_sum_up_to_what_sql_says_of_them_however_often_they_are_brought(dsn: str, source: str) -> None:
    said = bring("litellm", "--from", source)
    assert f"{ROWS:,} calls brought" in said
    for key, rows in sums_of(dsn).items():
        assert rows == totals(source, key), key
    assert f"0 calls brought to {parse_dsn(dsn).shown}" in bring("litellm", "--from", source)
    assert f"{ROWS:,} were there already" in bring("litellm", "--from", source, "--since", "all")
    assert ours(dsn, "day") == totals(source, "day")


def test_a_call_keeps_what_its_row_says(dsn: str, source: str) -> None:
    bring("litellm", "--from", source)
    answered = event(dsn, "chatcmpl-6")
    assert (answered["model"], answered["provider"], answered["operation"]) == ("gpt-4o-mini", "openai", "chat")
    assert (answered["input_tokens"], answered["cache_read_tokens"]) == (16, 4)
    assert (answered["output_tokens"], answered["reasoning_tokens"]) == (11, 3)
    assert (answered["user_id"], answered["team"], answered["session_id"]) == ("end-user-6", "team-0", None)
    assert answered["tags"] == ["tier:free", "job:6"]
    assert answered["reported_cost"] == Decimal("0.000009")
    assert answered["cost"] == Decimal("0.0000087")  # cached tokens are cheaper
    assert answered["ttft_ms"] == pytest.approx(100)
    cached = event(dsn, "chatcmpl-17")
    assert (cached["input_tokens"], cached["cost_flags"]) == (0, ["cached"])
    failed = [call for call in events(dsn) if call["status"] == "error"]
    assert len(failed) == ROWS // 13
    assert {(call["error_type"], call["http_status"], call["input_tokens"]) for call in failed} == {
        ("RateLimitError", 429, None)
    }
    assert "what was asked" not in json.dumps(events(dsn), default=str)


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_zeros_that_the_proxy_writes_where_nobody_told_it_are_unknown(dsn: str, source: str) -> None:
    details = {"reasoning_tokens": 0, "text_tokens": 0}
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    usages = {"chat": {**zeros, "completion_tokens_details": details}, "image": {**zeros, "output_image_count": 1}}
    for place, (operation, usage) in enumerate(usages.items(), 1):
        run(
            source,
            'UPDATE "LiteLLM_SpendLogs" SET call_type = %s, metadata = %s, prompt_tokens = 0, completion_tokens = 0, '
            "spend = 0 WHERE request_id = %s",
            ["acompletion" if operation == "chat" else "aimage_generation", json.dumps({"usage_object": usage}),
             f"chatcmpl-{place}"],
        )  # fmt: skip
    bring("litellm", "--from", source)
    for place, operation in enumerate(usages, 1):
        call = event(dsn, f"chatcmpl-{place}")
        assert (call["operation"], call["input_tokens"], call["output_tokens"], call["reasoning_tokens"]) == (
            operation, None, None, None,
        )  # fmt: skip
        assert (call["cost"], call["cost_flags"]) == (None, ["unpriced"])


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_a_key_that_an_older_proxy_wrote_as_it_was_is_kept_as_a_fingerprint(dsn: str, source: str) -> None:
    keys = {"chatcmpl-1": "Bearer team-secret-1234", "chatcmpl-2": "litellm_proxy_master_key", "chatcmpl-3": "a" * 64}
    for request, key in keys.items():
        run(source, 'UPDATE "LiteLLM_SpendLogs" SET api_key = %s WHERE request_id = %s', [key, request])
    bring("litellm", "--from", source)
    kept = [event(dsn, request)["api_key"] for request in keys]
    assert kept[1:] == ["litellm_proxy_master_key", "a" * 64]
    assert kept[0].endswith("…1234")
    assert "team-secret" not in kept[0]


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_a_tier_that_a_usage_object_tells_is_kept(dsn: str, source: str) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "service_tier": "priority"}
    run(
        source,
        """UPDATE "LiteLLM_SpendLogs" SET model = 'claude-sonnet-4-5', custom_llm_provider = 'anthropic', metadata = %s
        WHERE request_id = 'chatcmpl-1'""",
        [json.dumps({"usage_object": usage})],
    )
    bring("litellm", "--from", source)
    assert event(dsn, "chatcmpl-1")["service_tier"] == "priority"
    assert event(dsn, "chatcmpl-2")["service_tier"] is None


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_a_response_keeps_the_id_that_its_provider_gave_it(dsn: str, source: str) -> None:
    packed = b64encode(b"litellm:custom_llm_provider:openai;model_id:None;response_id:resp_0123").decode()
    run(
        source,
        """UPDATE "LiteLLM_SpendLogs" SET call_type = 'aresponses', request_id = %s WHERE request_id = 'chatcmpl-1'""",
        [f"resp_{packed}"],
    )
    bring("litellm", "--from", source)
    assert event(dsn, "resp_0123")["operation"] == "responses"


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_what_came_over_a_socket_or_of_a_batch_is_priced_as_that(dsn: str, source: str) -> None:
    usage = {
        "prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"audio_tokens": 80},
        "completion_tokens_details": {"audio_tokens": 40},
    }  # fmt: skip
    types = {"_arealtime": "realtime", "_aresponses_websocket": "responses", "aretrieve_batch": "batch"}
    for place, call_type in enumerate(types, 1):
        run(
            source,
            'UPDATE "LiteLLM_SpendLogs" SET call_type = %s, metadata = %s, cache_hit = NULL, status = NULL, '
            "prompt_tokens = 100, completion_tokens = 50, model = 'gpt-realtime' WHERE request_id = %s",
            [call_type, json.dumps({"usage_object": usage}), f"chatcmpl-{place}"],
        )
    bring("litellm", "--from", source)
    assert [event(dsn, f"chatcmpl-{place}")["operation"] for place in (1, 2, 3)] == list(types.values())
    assert event(dsn, "chatcmpl-3")["service_tier"] == "batch"
    spoken = event(dsn, "chatcmpl-1")
    assert (spoken["input_audio_tokens"], spoken["output_audio_tokens"]) == (80, 40)
    assert spoken["cost"] > 100 * Decimal("0.000004") + 50 * Decimal("0.000016")


def test_a_call_that_comes_into_the_table_late_is_brought_by_the_next_import(dsn: str, source: str) -> None:
    bring("litellm", "--from", source)
    columns = 'request_id, call_type, model, "startTime", "endTime", prompt_tokens'
    late = """SELECT 'late', 'acompletion', 'gpt-4o', max("startTime") - interval '1 hour', max("endTime"), 5"""
    run(source, f'INSERT INTO "LiteLLM_SpendLogs" ({columns}) {late} FROM "LiteLLM_SpendLogs"')
    assert "1 call brought" in bring("litellm", "--from", source)
    assert event(dsn, "late")["input_tokens"] == 5


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_an_encoding_that_a_text_lacks_keeps_no_call_out(
    dsn: str, empty_postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PGCLIENTENCODING names one where other programs want it."""
    make_table(empty_postgres_dsn, 1)
    run(empty_postgres_dsn, """UPDATE "LiteLLM_SpendLogs" SET request_id = 'one', end_user = '日本'""")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert "1 call brought" in bring("litellm", "--from", empty_postgres_dsn)
    assert event(dsn, "one")["user_id"] == "日本"


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_a_source_is_named_as_the_proxy_itself_has_it(dsn: str, source: str) -> None:
    """Its client takes options that libpq doesn't, among them the schema of its tables."""
    run(source, 'CREATE SCHEMA "of proxies"')
    run(source, 'CREATE TABLE "of proxies"."LiteLLM_SpendLogs" AS SELECT * FROM "LiteLLM_SpendLogs" LIMIT 7')
    options = "connection_limit=10&pool_timeout=60&connect_timeout=5&pgbouncer=true"
    address = f"{url_of(source)}?{options}&schema="
    assert "7 calls brought" in bring("litellm", "--from", f"{address}of%20proxies")
    assert f"{ROWS - 7:,} calls brought" in bring("litellm", "--from", f"{address}public")
    assert "0 calls brought" in bring("litellm", "--from", f"{url_of(source)}?connection_limit=1", "--since", "all")
    found = invoke("import", "litellm", "--from", f"{address}none")
    assert 'has no table "LiteLLM_SpendLogs"' in found.output


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_rows_of_what_uses_no_model_are_no_calls(dsn: str, source: str) -> None:
    """The proxy writes one for each upload of a file and each look at a vector store, and the callback records none."""
    run(source, 'TRUNCATE "LiteLLM_SpendLogs"')
    rows = (
        ("file", "acreate_file", 0, "success"), ("store", "avector_store_file_list", 0, "success"),
        ("searched", "avector_store_search", 0.0025, "success"), ("failed", "a_new_kind_of_call", 0, "failure"),
        ("polled", "aretrieve_batch", 0, "success"), ("silent", "acompletion", 0, "success"),
        ("early", "litellm.completion", 0, "success"), ("listed", "pass_through_endpoint", 0, "success"),
        ("missed", "pass_through_endpoint", 0, "failure"), ("handed on", "pass_through_endpoint", 0.01, "success"),
    )  # fmt: skip
    for row in rows:
        run(
            source,
            'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, spend, status, "startTime", "endTime") '
            "VALUES (%s, %s, %s, %s, '2026-06-02', '2026-06-02')",
            row,
        )
    assert "5 calls brought" in bring("litellm", "--from", source)
    operations = sorted(call["operation"] for call in events(dsn))
    assert operations == ["a_new_kind_of_call", "avector_store_search", "chat", "chat", "chat"]


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_a_call_of_a_wrong_clock_keeps_no_later_one_out(dsn: str, source: str) -> None:
    run(source, 'TRUNCATE "LiteLLM_SpendLogs"')
    for moment in ("now() - interval '9 days'", "now() + interval '9 years'", "now() - interval '8 days'"):
        run(
            source,
            f'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime") '
            f"SELECT gen_random_uuid()::text, 'acompletion', {moment}, {moment}",
        )
        assert "1 call brought" in bring("litellm", "--from", source)


@pytest.mark.parametrize("dsn", ["postgres"], indirect=True)
def test_an_import_that_is_killed_goes_on_where_it_was(dsn: str, source: str) -> None:
    command = [sys.executable, "-m", "usage_tracker", "import", "litellm", "--from", source]
    kills = 0
    while kills < 3:
        with subprocess.Popen(command, env={**os.environ, "TRACKER_BATCH_SIZE": "100"}) as process:
            before = stored(dsn)
            while process.poll() is None and stored(dsn) < min(ROWS, before + 300):
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        kills += 1
    assert 0 < stored(dsn) < ROWS
    bring("litellm", "--from", source)
    for key, rows in sums_of(dsn).items():
        assert rows == totals(source, key), key


def test_two_imports_at_a_time_bring_each_call_once(dsn: str, source: str) -> None:
    command = [sys.executable, "-m", "usage_tracker", "import", "litellm", "--from", source]
    environment = {**os.environ, "TRACKER_BATCH_SIZE": "200"}
    processes = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(100) for process in processes] == [0, 0]
    assert stored(dsn) == ROWS


def test_a_source_that_is_not_there_or_not_a_proxys_is_named_without_its_password(
    dsn: str, empty_postgres_dsn: str
) -> None:
    for address, said in (
        (empty_postgres_dsn, "is it the proxy's database?"),
        ("postgresql://me:hidden@127.0.0.1:1/litellm", "can't be reached"),
        ("sqlite:///some.db", "takes postgresql://"),
    ):
        found = invoke("import", "litellm", "--from", address)
        assert found.exit_code in (1, 4)
        assert said in found.stderr
        assert "hidden" not in found.stderr


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_spend_logs_that_cant_be_read_are_said_to_be(dsn: str, own_postgres_server: PostgresServer) -> None:
    database = own_postgres_server.create(migrated=False)
    make_table(own_postgres_server.dsn(database), 1)
    own_postgres_server.run("CREATE ROLE onlooker LOGIN")
    command = ["import", "litellm", "--from", own_postgres_server.dsn(database, user="onlooker")]
    found = invoke(*command)
    assert found.exit_code == 1
    assert "can't be read: permission denied for table" in found.stderr


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_texts_in_a_row_of_spend_logs_are_read_where_they_are_json_and_stop_nothing_where_they_are_not(
    dsn: str, source: str
) -> None:
    texts = [
        (json.dumps({"user_api_key_team_alias": "written", "attempted_retries": 2}), '["a", "b"]', 3),
        ("no JSON", "tier:pro", 1),
        ("[" * 100_000, "", 1),
        ('{"user_api_key_team_alias": "a\\u0000b"}', "{}", 1),
        ("5", "null", 1),
    ]
    for place, (metadata, tags, _) in enumerate(texts, 1):
        run(
            source,
            'UPDATE "LiteLLM_SpendLogs" SET metadata = to_jsonb(%s::text), request_tags = to_jsonb(%s::text), '
            "team_id = NULL, status = NULL WHERE request_id = %s",
            [metadata, tags, f"chatcmpl-{place}"],
        )
    assert f"{ROWS:,} calls brought" in bring("litellm", "--from", source)
    found = {call["response_id"]: call for call in events(dsn)}
    read = [found[f"chatcmpl-{place}"] for place in range(1, 6)]
    assert [call["team"] for call in read] == ["written", None, None, "ab", None]
    assert [call["tags"] for call in read] == [["a", "b"], ["tier:pro"], [], [], []]
    assert [call["attempts"] for call in read] == [attempts for *_, attempts in texts]
    assert all(call["input_tokens"] for call in read)


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("ended", "seconds"), [("last week", 1), (5, 1), ("2026-08-15", "long"), ("2026-08-15", 1e300)]
)
def test_an_entry_of_llm_accounting_that_cant_be_read_is_named(
    dsn: str, tmp_path: Path, ended: object, seconds: object
) -> None:
    with closing(sqlite3.connect(tmp_path / "accounting.sqlite")) as connection, connection:
        connection.execute(
            "CREATE TABLE accounting_entries (id, timestamp, model, prompt_tokens, completion_tokens, cost,"
            " execution_time, project, caller_name, username, session)"
        )
        values = (7, ended, "gpt-4o", 1, 1, 0.1, seconds, "web", "app", "ann", "s")
        connection.execute(f"INSERT INTO accounting_entries VALUES ({', '.join('?' * len(values))})", values)
    command = ["import", "llm-accounting", "--from", f"sqlite:///{tmp_path}/accounting.sqlite"]
    found = invoke(*command)
    assert found.exit_code == 1
    assert "the entry 7 of " in found.stderr


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_a_file_of_llm_accounting_stays_as_it_was_and_is_not_made(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "100% theirs?.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE accounting_entries (id, timestamp, model, prompt_tokens, completion_tokens, cost,"
            " execution_time, project, caller_name, username, session)"
        )
    before = path.read_bytes()
    assert "0 calls brought" in bring("llm-accounting", "--from", f"sqlite:///{quote(str(path))}")
    assert path.read_bytes() == before
    command = ["import", "llm-accounting", "--from", f"sqlite:///{tmp_path}/of/nobody.sqlite"]
    found = invoke(*command)
    assert (found.exit_code, "unable to open database file" in found.stderr) == (1, True)
    assert not (tmp_path / "of").exists()


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_what_is_no_number_of_tokens_in_a_table_of_sqlite_says_nothing(dsn: str, tmp_path: Path) -> None:
    said = ["x", -5, 1.5, b"7", None, 7]
    with closing(sqlite3.connect(tmp_path / "accounting.sqlite")) as connection, connection:
        connection.execute(
            "CREATE TABLE accounting_entries (id, timestamp, model, prompt_tokens, completion_tokens, cost,"
            " execution_time, project, caller_name, username, session)"
        )
        connection.executemany(
            "INSERT INTO accounting_entries VALUES (?, '2026-08-15', 'gpt-4o', ?, 1, 0.1, -2, 'web', 'app', 'ann', '')",
            list(enumerate(said)),
        )
    assert "6 calls brought" in bring("llm-accounting", "--from", f"sqlite:///{tmp_path}/accounting.sqlite")
    assert sorted(call["input_tokens"] or 0 for call in events(dsn)) == [0, 0, 0, 0, 0, 7]
    assert {(call["duration_ms"], f"{call['started_at']:%F %T}") for call in events(dsn)} == {
        (0.0, "2026-08-15 00:00:00")
    }


def test_entries_of_llm_accounting(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "accounting.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            """CREATE TABLE accounting_entries (id INTEGER NOT NULL PRIMARY KEY, timestamp DATETIME NOT NULL,
            model VARCHAR NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER,
            local_prompt_tokens INTEGER, local_completion_tokens INTEGER, local_total_tokens INTEGER, project VARCHAR,
            cost FLOAT NOT NULL, execution_time FLOAT NOT NULL, caller_name VARCHAR, username VARCHAR,
            session VARCHAR, cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL)"""
        )
        connection.executemany(
            "INSERT INTO accounting_entries VALUES (?, ?, 'gpt-4o', 100, ?, 0, 0, 0, 0, 'web', 0.005, 1.5, 'app.py',"
            " 'ann', 's-1', 0, 0)",
            [(number, f"2026-08-15 12:00:{number:02}.000000", number) for number in range(1, 31)],
        )
    for brought in ("30 calls brought", "0 calls brought"):
        assert brought in bring("llm-accounting", "--from", f"sqlite:///{path}", "--since", "all")
    found = events(dsn)
    assert len(found) == 30
    assert sum(call["output_tokens"] for call in found) == sum(range(1, 31))
    assert (found[0]["app"], found[0]["project"], found[0]["user_id"]) == ("app.py", "web", "ann")
    assert found[0]["started_at"].astimezone(UTC) == datetime(2026, 8, 15, 11, 59, 59, 500000, tzinfo=UTC)
    assert {call["reported_cost"] for call in found} == {Decimal("0.005")}


def test_entries_in_postgres_are_the_same_whoever_connects_and_however(dsn: str, empty_postgres_dsn: str) -> None:
    run(
        empty_postgres_dsn,
        """CREATE TABLE accounting_entries (id integer, timestamp timestamp, model text, prompt_tokens integer,
        completion_tokens integer, cost float, execution_time float, project text, caller_name text, username text);
        INSERT INTO accounting_entries SELECT number, '2026-08-15 12:00', 'gpt-4o', 1, 1, 0, 1, 'web', 'app.py', 'ann'
        FROM generate_series(1, 5) number""",
    )
    said = parse_keywords(empty_postgres_dsn)
    other = f"accountant_{uuid4().hex[:8]}"
    run(empty_postgres_dsn, f"CREATE ROLE {other} LOGIN SUPERUSER")
    address = f"{said['host']}:{said['port']}/{said['dbname']}"
    for source, brought in (
        (empty_postgres_dsn, "5 calls brought"),
        (f"postgresql://{said['user']}@{address}", "0 calls brought"),
        (f"postgresql://{other}:secret@{address}?connect_timeout=9", "0 calls brought"),
    ):
        assert brought in bring("llm-accounting", "--from", source, "--since", "all")
    run(empty_postgres_dsn, f"DROP ROLE {other}")


def test_openais_usage_export(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "completions_usage.csv"
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["start_time", "end_time", "project_id", "num_model_requests", "model", "batch", "input_tokens",
                        "output_tokens", "input_cached_tokens"])  # fmt: skip
        for day in range(3):
            for model in ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"):
                start = 1785542400 + day * 86400
                lines.writerow([start, start + 86400, "proj_1", 40, model, "False", 1000, 200, 100])
    for brought in ("6 calls brought", "6 were there already"):
        assert brought in bring("openai", str(path))
    found = events(dsn)
    assert [sum(call[name] for call in found) for name in ("input_tokens", "output_tokens", "cache_read_tokens")] == [
        6000, 1200, 600,
    ]  # fmt: skip
    assert {call["duration_ms"] for call in found} == {None}, "nobody knows how long they took"
    assert all(call["cost"] is not None and call["usage"] == {"num_model_requests": 40} for call in found)


def test_a_sum_of_requests_is_billed_as_what_it_sums(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "completions_usage.csv"
    path.write_text(
        "start_time,end_time,num_model_requests,model,input_tokens,output_tokens\n"
        "1785542400,1785546000,500,gpt-5.4-2026-03-05,5000000,0\n"  # of which nobody knows whether any was long
        "1785546000,1785549600,500,gpt-5.4-2026-03-05,200000,0\n"
        "1785549600,1785553200,1,gpt-5.4-2026-03-05,300000,0\n"
        "1785542400,1785546000,400,gpt-4o-search-preview-2025-03-11,0,0\n"
    )
    bring("openai", str(path))
    costs = {(call["model"][:7], call["input_tokens"]): (call["cost"], call["cost_flags"]) for call in events(dsn)}
    assert costs == {
        ("gpt-5.4", 5_000_000): (None, ["unpriced", "tier_unpriced"]),
        ("gpt-5.4", 200_000): (Decimal("0.5"), []),
        ("gpt-5.4", 300_000): (Decimal("1.5"), []),
        ("gpt-4o-", 0): (Decimal(10), []),
    }


def test_a_day_that_isnt_over_is_brought_in_when_it_is_and_sums_that_have_grown_are_told(
    dsn: str, tmp_path: Path
) -> None:
    path = tmp_path / "usage.csv"
    today = int(time.time()) // 86400 * 86400
    head = "start_time,end_time,model,input_tokens,output_tokens\n"
    path.write_text(f"{head}{today - 86400},{today},gpt-4o,100,10\n{today},{today + 86400},gpt-4o,50,5\n")
    said = bring("openai", str(path))
    assert "1 call brought" in said
    assert "Left out, as the day or hour isn't over: 1 line." in said
    assert [call["input_tokens"] for call in events(dsn)] == [100]
    path.write_text(f"{head}{today - 86400},{today},gpt-4o,120,10\n")
    assert "1 was there already, 1 with other tokens, which stay as they are." in bring("openai", str(path))


def test_what_was_pruned_is_not_counted_again(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text("start_time,model,input_tokens,output_tokens\n1785542400,gpt-4o,5,1\n1785628800,gpt-4o,7,1\n")
    bring("openai", str(path))
    found = invoke("prune", "--before", "2026-08-02", "--yes")
    assert "1 event was deleted" in found.stderr
    path.write_text(f"{path.read_text()}1785715200,gpt-4o,9,1\n")
    for brought in ("1 call brought", "0 calls brought"):
        said = bring("openai", str(path))
        assert brought in said
        assert "Left out: 1 of the time up to 2026-08-01 01:00 UTC" in said
    assert ours(dsn, "model") == [("gpt-4o", 3, 21, 3, 0)]
    assert "1 call brought" in bring("openai", str(path), "--pruned")


def test_what_was_pruned_is_not_counted_again_after_a_call_of_long_before(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text("start_time,model,input_tokens,output_tokens\n1785542400,gpt-4o,5,1\n1785628800,gpt-4o,7,1\n")
    bring("openai", str(path))
    invoke("prune", "--before", "2026-08-02", "--yes")
    path.write_text(f"{path.read_text()}1000000000,gpt-4o,9,1\n")
    for brought in ("1 call brought", "0 calls brought"):
        said = bring("openai", str(path))
        assert brought in said
        assert "Left out: 1 of the time up to 2026-08-01 01:00 UTC" in said
    assert ours(dsn, "model") == [("gpt-4o", 3, 21, 3, 0)]


def test_a_long_usage_export_is_read_in_little_memory(tmp_path: Path) -> None:
    """Also with users and keys by the hour, which are a million lines a year of a few hundred."""
    path, lines = tmp_path / "usage.csv", 10_000
    with path.open("w") as file:
        file.write(f"start_time,user_id,input_tokens,{','.join(f'more_{number}' for number in range(20))}\n")
        file.writelines(f"{1785542400 + number},user-{number},5{',more' * 20}\n" for number in range(lines))
    tracemalloc.start()
    read = sum(1 for _ in UsageExport(path, None, None).read(None))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == lines
    assert most < lines * 500


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_projects_without_an_id_are_told_apart_by_their_names(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text("start_time,project_name,input_tokens\n1785542400,alpha,5\n1785542400,beta,7\n")
    assert "2 calls brought" in bring("openai", str(path))
    assert sorted((call["project"], call["input_tokens"]) for call in events(dsn)) == [("alpha", 5), ("beta", 7)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,input_tokens\ngpt-4o,5\n", "it has no column start_time"),
        ("", "it has no column start_time"),
        ('start_time,amount_value,line_item\n1785542400,0.5,"gpt-4o, input"\n', "export the usage, not the cost"),
        ("start_time,input_tokens\n1785542400,5\nlast week,5\n", "line 3 of "),
        ("start_time,input_tokens\n1785542400,many\n", "line 2 of "),
        ("input_tokens,start_time\n5\n", "line 2 of "),
        ("start_time,input_tokens\n99999999999999999999,5\n", "line 2 of "),
        ("start_time,input_tokens\n99999999999999999,5\n", "line 2 of "),
        ("start_time,input_tokens\n1785542400,-5\n", "input_tokens is below zero"),
        ("start_time,images\n1785542400,nan\n", "'nan' is no count"),
        (f"start_time,input_tokens,model\n1785542400,5,{'m' * 200_000}\n", "is no CSV file in UTF-8: field larger"),
        ("start_time,input_tokens,model\n1785542400,5,\udcff\n", "is no CSV file in UTF-8: 'utf-8' codec"),
        ("start_time,model,input_tokens\n1,m,5\n2,m,5\n1,m,5\n1,m,6\n", "line 5 of "),
    ],
)
@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_what_is_no_usage_export_is_refused_by_its_line(dsn: str, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = invoke("import", "openai", str(path))
    assert found.exit_code == 1
    assert said in found.stderr


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_a_call_that_no_store_can_hold_keeps_no_other_out(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    counts = [10, 11, 10**19, 13, 14]
    lines = [f"{1785542400 + number},{count}\n" for number, count in enumerate(counts)]
    path.write_text("".join(["start_time,input_tokens\n", *lines]))
    said = bring("openai", str(path))
    assert said.startswith("4 calls brought")
    assert said.endswith("; 1 can't be stored.\n")
    assert [call["input_tokens"] for call in sorted(events(dsn), key=lambda call: call["started_at"])] == [
        10, 11, 13, 14,
    ]  # fmt: skip


def test_lines_of_another_store_are_the_same_events(dsn: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    made = [
        made_event(
            NOON + timedelta(hours=number), cost="0.0123456789", user_id=f"u-{number % 3}", tags=("a", f"n:{number}"),
            raw={"prompt_tokens": 100}, reported_cost="0.01",
        )
        for number in range(30)
    ]  # fmt: skip
    made[0] = replace(
        made[0], cost=replace(made[0].cost, lines=(CostLine("input", Decimal(100), Decimal("0.0000025")),))
    )
    made[1] = made_event(duration_ms=math.nan)
    with migrated(other) as store:
        store_events(store, made)
    listed = invoke("events", "--dsn", other, "-n", "0", "-o", "jsonl")
    path = tmp_path / "usage.jsonl"
    path.write_text(listed.stdout)
    for brought in ("30 calls brought", "30 were there already"):
        assert brought in bring("jsonl", str(path))
    assert events(dsn) == events(other)
    path.write_text('{"event_id": 5}\n')
    found = invoke("import", "jsonl", str(path))
    assert found.exit_code == 1
    assert "line 1" in found.stderr


def test_files_of_an_export_by_the_day_are_brought_together_each_call_once(dsn: str, tmp_path: Path) -> None:
    other, lake = f"sqlite:///{tmp_path}/other.db", tmp_path / "lake"
    with migrated(other) as store:
        store_events(store, [made_event(NOON + timedelta(hours=12 * number), cost="0.01") for number in range(6)])
    exported = invoke("export", "--dsn", other, "--format", "jsonl", "--to", str(lake))
    assert exported.exit_code == 0, exported.output
    paths = sorted(map(str, lake.rglob("*.jsonl")))
    assert len(paths) > 2
    assert "6 calls brought" in bring("jsonl", *paths)
    assert bring("jsonl", paths[0], *paths).startswith("0 calls brought")
    assert events(dsn) == events(other)


@pytest.mark.parametrize("kind", ["jsonl", "openai"])
@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_what_comes_through_a_pipe_is_brought_also_before_a_terminal(dsn: str, line: dict[str, Any], kind: str) -> None:
    text = {"jsonl": json.dumps(line), "openai": "start_time,model,input_tokens\n1785542400,gpt-4o,5\n"}[kind]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "usage_tracker", "import", kind, "/dev/stdin"]
    subprocess.run(command, input=text.encode(), stderr=theirs, check=True)
    os.close(theirs)
    assert "1 call brought" in os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert len(events(dsn)) == 1


def events(dsn: str) -> list[dict[str, Any]]:
    from usage_tracker.report import list_events

    with closing(open_store(parse_dsn(dsn))) as store:
        return sorted(list_events(store), key=lambda call: str(call["event_id"]))


def event(dsn: str, response_id: str) -> dict[str, Any]:
    [found] = [call for call in events(dsn) if call["response_id"] == response_id]
    return found


def stored(dsn: str) -> int:
    from usage_tracker.errors import StoreError

    with closing(open_store(parse_dsn(dsn))) as store:
        try:
            return sum(1 for _ in store.select(f"SELECT event_id FROM {store.dialect.prefix}usage_event"))
        except StoreError:
            return 0


@pytest.fixture
def line(tmp_path: Path) -> dict[str, Any]:
    """An event as another store gives it."""
    other = f"sqlite:///{tmp_path}/other.db"
    priced = made_event(cost="0.1")
    with migrated(other) as store:
        store_events(
            store,
            [
                replace(
                    priced, cost=replace(priced.cost, lines=(CostLine("input_tokens", Decimal(100), Decimal("0.001")),))
                )
            ],
        )
    said = invoke("export", "--dsn", other).stdout
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
def test_amounts_of_lines_keep_their_digits_where_they_are_numbers_and_empty_lines_say_nothing(
    dsn: str, tmp_path: Path, line: dict[str, Any]
) -> None:
    path = tmp_path / "events.jsonl"
    line["cost"] = 0.1
    line["cost_parts"] = {"input_tokens": {"count": None, "price": 0.1}}
    path.write_text(f"\n{json.dumps(line)}\n\n")
    assert bring("jsonl", str(path)).startswith("1 call brought")
    [call] = events(dsn)
    assert call["cost"] == Decimal("0.1")
    assert call["cost_parts"] == {"input_tokens": {"count": None, "price": "0.1"}}


@pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        {"event_id": 5},
        {"event_id": {}},
        {"cost_parts": [1]},
        {"cost": []},
        {"started_at": 5},
        {"price_source": []},
        {"cost_flags": [1]},
        None,
    ],
)
def test_a_line_that_is_no_event_is_refused_by_its_number(
    dsn: str, tmp_path: Path, line: dict[str, Any], change: dict[str, Any] | None
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("\n" + ("[" * 100_000 if change is None else json.dumps({**line, **change})))
    found = invoke("import", "jsonl", str(path))
    assert found.exit_code == 1
    assert f"line 2 of {path} is no event of ours" in found.stderr
