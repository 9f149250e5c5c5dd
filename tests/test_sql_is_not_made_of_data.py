"""No value that somebody gave becomes part of a statement: it goes beside it, as a parameter or a line of COPY."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from commanding import invoke
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.event import PricedEvent

MARK = "Zq7"
HOSTILE = f"{MARK}'); DROP TABLE usage_event; --\" %s %(a)s ? :a $1 {{0}} \\'"
"""Ends a text, a statement, a format or an escape, wherever it is taken for one."""

Statements = list[str]


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Every statement that a driver gets, as it is before its parameters are put beside it."""
    seen: Statements = []

    class PostgresCursor(psycopg2.extensions.cursor):
        def execute(self, query: Any, parameters: Any = None) -> None:
            if not isinstance(query, bytes):  # bytes are what `mogrify` has made of a statement and its parameters
                seen.append(query)
            super().execute(query, parameters)

        def mogrify(self, query: Any, parameters: Any = None) -> bytes:
            seen.append(query if isinstance(query, str) else query.decode())
            return super().mogrify(query, parameters)

        def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
            seen.append(sql)
            super().copy_expert(sql, file, size)

    class SqliteConnection(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            seen.append(sql)
            return super().execute(sql, *parameters)

        def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
            seen.append(sql)
            return super().executemany(sql, parameters)

    def connected(connect: Any, kind: str, maker: Any) -> Any:
        return lambda *args, **options: connect(*args, **{**options, kind: maker})

    monkeypatch.setattr(psycopg2, "connect", connected(psycopg2.connect, "cursor_factory", PostgresCursor))
    monkeypatch.setattr(sqlite3, "connect", connected(sqlite3.connect, "factory", SqliteConnection))
    return seen


TEXTS = (
    "provider", "sdk", "base_host", "api_key", "app", "project", "team", "user_id", "session_id", "host", "operation",
    "request_model", "model", "service_tier", "response_id", "error_type",
)  # fmt: skip


def hostile_event() -> PricedEvent:
    """With the text in every field that takes one."""
    texts: dict[str, Any] = dict.fromkeys(TEXTS, HOSTILE)
    return made_event(flags=[HOSTILE], tags=(HOSTILE,), raw={HOSTILE: 1}, **texts)


def test_neither_what_is_stored_nor_what_is_asked_for(
    dsn: str, statements: Statements, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACKER_DSN", dsn)
    with migrated(dsn) as store:
        store_events(store, [hostile_event(), hostile_event()])
        store.compact()

    def run(*words: str) -> str:
        result = invoke(*words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    escaped = HOSTILE.replace("\\", "\\\\").replace("?", "\\?")
    for name in ("provider", "model", "app", "project", "team", "user", "tag", "host"):
        rows = json.loads(run("report", "--since", "all", "--by", name, "-w", f"{name}={escaped}", "-o", "json"))[
            "rows"
        ]
        assert [(row[name], row["calls"]) for row in rows] == [(HOSTILE, 2)]
        assert run(
            "report", "--since", "all", "--by", name, "-w", f"{name}={MARK}*", "-w", f"{name}!={MARK}?", "-o", "csv"
        )
    [first, _] = json.loads(run("events", "-w", f"session={MARK}*", "-o", "json"))["events"]
    assert (first["user_id"], first["tags"]) == (HOSTILE, [HOSTILE])
    run("events", "show", first["event_id"])
    run("prices", "set", escaped, "--provider", HOSTILE, "--input", "1", "--output", "2")
    run("reprice", "--since", "all", "--where", f"model={MARK}*", "--apply")
    run("prices", "unpriced")
    assert len(statements) > 40
    assert [statement for statement in statements if MARK in statement] == []
