"""`usage-tracker query`: SQL that only reads, on both stores."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from commanding import invoke
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store

BY_MODEL = "SELECT model, count(*) AS calls FROM events GROUP BY model ORDER BY 2 DESC"


@pytest.fixture(autouse=True)
def dsn(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with three calls."""
    monkeypatch.setenv("TRACKER_DSN", dsn)
    with migrated(dsn) as store:
        store_events(store, [made_event(model="a"), made_event(model="a"), made_event(model="=b")])
    return dsn


def query(*words: str, typed: str | None = None) -> Result:
    return invoke("query", *words, input=typed)


def test_the_answer_is_a_table() -> None:
    result = query(BY_MODEL)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["2", "rows"]
    assert rows[2] == ["model", "calls"]
    assert rows[4:] == [["a", "2"], ["=b", "1"]]


def test_a_small_sum_of_money_has_no_exponent() -> None:
    assert "0.000009" in query("SELECT CAST(0.000009 AS double precision) AS cost").stdout
    assert "e+" in query("SELECT CAST(1e300 AS double precision) AS much").stdout


def test_programs_get_json_or_csv_in_which_nothing_is_a_formula() -> None:
    assert json.loads(query(BY_MODEL, "-o", "json").stdout) == [{"model": "a", "calls": 2}, {"model": "=b", "calls": 1}]
    assert query(BY_MODEL, "-o", "csv").stdout == "model,calls\na,2\n'=b,1\n"


def test_an_amount_below_zero_is_a_number_to_programs() -> None:
    sql = "SELECT CAST(-0.25 AS numeric) AS change, CAST('-x' AS text) AS word"
    assert query(sql, "-o", "csv").stdout == "change,word\n-0.25,'-x\n"
    assert query(sql, "-o", "tsv").stdout == "change\tword\n-0.25\t'-x\n"


def test_the_statement_may_come_from_stdin() -> None:
    assert query("-", "-o", "jsonl", typed=BY_MODEL).stdout.splitlines()[0] == '{"model": "a", "calls": 2}'


def test_every_column_of_the_view_has_a_form_that_programs_read() -> None:
    for output in ("table", "json", "jsonl", "csv", "tsv"):
        assert query("SELECT * FROM events", "-o", output).exit_code == 0


def test_columns_of_one_name_are_told_apart() -> None:
    assert query("SELECT count(*) AS n, max(model) AS n FROM events", "-o", "csv").stdout.splitlines()[0] == "n,n_2"


@pytest.mark.parametrize("sql", ["DELETE FROM events", " create TABLE mine (x integer)"])
def test_a_statement_that_writes_is_told_what_to_type_instead(sql: str) -> None:
    result = query(sql)
    assert (result.exit_code, result.stdout) == (1, "")
    first, *_ = sql.split()
    assert result.stderr.startswith(f"Error: {first.upper()} would change the store, and a query only reads; ")
    assert "`usage-tracker prune` takes old events out" in result.stderr


@pytest.mark.parametrize("sql", ["/* now */ DELETE FROM usage_event", "/* now */ CREATE TABLE mine (x integer)"])
def test_what_hides_that_it_writes_cannot_write_either(sql: str) -> None:
    result = query(sql)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "read" in result.stderr
    assert query("SELECT count(*) AS n FROM events", "-o", "csv").stdout == "n\n3\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; COMMIT; DELETE FROM {prefix}usage_event RETURNING 1",
        "SET TRANSACTION READ WRITE; DELETE FROM {prefix}usage_event RETURNING 1",
        "SELECT ';' -- ;\n; SELECT 2",
        "COMMIT",
        "SET TRANSACTION READ WRITE",
        "ATTACH '{folder}/other.db' AS other",
        "VACUUM INTO '{folder}/copy.db'",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = OFF",
    ],
)
def test_whatever_is_asked_nothing_is_written_and_no_setting_is_changed(sql: str, dsn: str, tmp_path: Path) -> None:
    sqlite = dsn.startswith("sqlite")
    files = {path.name for path in tmp_path.iterdir()}
    result = query(sql.format(prefix="" if sqlite else "usage_tracker.", folder=tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert {path.name for path in tmp_path.iterdir()} <= {*files, "usage.db-wal", "usage.db-shm"}
    assert query("SELECT count(*) AS n FROM events", "-o", "csv").stdout == "n\n3\n"
    if sqlite:
        assert query("PRAGMA journal_mode", "-o", "csv").stdout == "journal_mode\nwal\n"


@pytest.mark.parametrize(
    "sql", ["SELECT ';' AS x;", "-- first\nSELECT ';' AS x -- ;", "WITH t AS (SELECT ';' AS x) SELECT x FROM t ;"]
)
def test_a_semicolon_that_ends_or_parts_nothing_is_none(sql: str) -> None:
    assert query("-", "-o", "jsonl", typed=sql).stdout == '{"x": ";"}\n'


def test_how_a_statement_is_run_can_be_asked(dsn: str) -> None:
    plan = "EXPLAIN QUERY PLAN" if dsn.startswith("sqlite") else "EXPLAIN"
    columns = "PRAGMA table_info(events)" if dsn.startswith("sqlite") else "SHOW search_path"
    for sql in (f"{plan} {BY_MODEL}", columns):
        assert query(sql).exit_code == 0


def test_a_list_of_amounts_and_what_is_no_number_are_texts_in_json(dsn: str) -> None:
    if dsn.startswith("sqlite"):
        assert json.loads(query("SELECT 9e999 AS x", "-o", "json").stdout) == [{"x": "inf"}]
        return
    lists = "array_agg(cost) AS costs, 'NaN'::float8 AS x, array_agg(started_at) AS times"
    sql = f"SELECT {lists} FROM events WHERE model <> 'a'"
    time = "2026-08-15T12:00:00Z"
    assert json.loads(query(sql, "-o", "json").stdout) == [{"costs": ["0.01"], "x": "nan", "times": [time]}]
    assert query(sql, "-o", "csv").stdout == f'costs,x,times\n"[""0.01""]",nan,"[""{time}""]"\n'
    assert "Decimal" not in query(sql).stdout


def test_people_see_objects_and_bytes_as_programs_do(dsn: str) -> None:
    postgres = '\'{"a":true,"b":"é"}\'::jsonb AS object, \'\\x00ff\'::bytea AS bytes'
    sqlite = '\'{"a": true, "b": "é"}\' AS object, x\'00ff\' AS bytes'
    [*_, row] = query(f"SELECT {sqlite if dsn.startswith('sqlite') else postgres}").stdout.splitlines()
    assert row.split("  ") == ['{"a": true, "b": "é"}', "00ff"]


def test_a_mistake_is_told_in_the_words_of_the_store() -> None:
    result = query("SELECT nonsense FROM events")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nonsense" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("sql", ["SELECT '\udcff'", "SELECT 1\0"])
def test_a_statement_that_is_no_text_is_told_as_such(sql: str) -> None:
    result = query(sql)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: the statement is no text (a NUL character or broken UTF-8)\n"


def test_a_mistake_that_only_a_later_row_shows_is_told_like_any_other() -> None:
    result = query("SELECT 1 UNION ALL SELECT abs(-9223372036854775807 - 1)", "-o", "csv")
    assert result.exit_code == 1
    assert "integer overflow" in result.stderr or "bigint out of range" in result.stderr


@pytest.mark.parametrize("value", ["date '0044-03-15 BC'", "timestamptz '20000-01-01'", "interval '178000000 years'"])
def test_a_time_that_python_has_none_of_is_to_be_asked_for_as_text(value: str, dsn: str) -> None:
    if dsn.startswith("sqlite"):
        return  # it has no type for times
    result = query(f"SELECT {value}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "ask for it as text" in result.stderr
    assert query(f"SELECT ({value})::text").exit_code == 0


def test_money_beyond_what_an_integer_holds_is_summed_in_the_views(dsn: str) -> None:
    store = open_store(parse_dsn(dsn))
    for model in "ab":
        store_events(store, [made_event(model=model, cost="6000000.25")])
    store.close()
    for view in ("events", "daily"):
        result = query(f"SELECT sum(cost) AS cost FROM {view}", "-o", "csv")
        assert result.exit_code == 0
        assert float(result.stdout.splitlines()[1]) == pytest.approx(12000000.53, rel=1e-12)
    if dsn.startswith("sqlite"):
        result = query("SELECT sum(cost) FROM usage_event")
        assert (result.exit_code, "ask the views events and daily" in result.stderr) == (1, True)


def test_a_statement_without_rows_is_refused() -> None:
    assert query("   ").exit_code == 2


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_a_select_of_no_columns_is_refused(output: str) -> None:
    result = query("SELECT FROM events", "-o", output)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "columns" in result.stderr or "syntax error" in result.stderr


def test_nothing_is_created_where_there_is_no_store(tmp_path: Path) -> None:
    result = query(BY_MODEL, "--dsn", f"sqlite:///{tmp_path}/none.db")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No events yet" in result.stderr
    assert json.loads(query(BY_MODEL, "--dsn", f"sqlite:///{tmp_path}/none.db", "-o", "json").stdout) == []
    assert not (tmp_path / "none.db").exists()


def test_where_there_is_no_schema_it_is_said_that_there_are_no_events(
    request: pytest.FixtureRequest, dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "none.db").touch()
    sqlite = dsn.startswith("sqlite")
    empty = f"sqlite:///{tmp_path}/none.db" if sqlite else request.getfixturevalue("empty_postgres_dsn")
    result = query(BY_MODEL, "--dsn", empty)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("No events yet in ")
    assert query("SELECT 1 AS one", "-o", "csv", "--dsn", empty).stdout == "one\n1\n"
