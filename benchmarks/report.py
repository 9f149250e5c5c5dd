"""How long reports take: ours on Postgres and SQLite, and the same questions asked of LiteLLM's own tables.

    python benchmarks/report.py [--events N] [--rounds N] [--server DSN] [--write]

Fills a throw-away Postgres (or databases on the server that DSN names, on this machine) with N made-up events and with
a tenth of them, SQLite with the same N, and LiteLLM's tables beside them. Prints the CPU time of `usage-tracker report`
as a whole process, of its statements in the database, and of LiteLLM's tables by one SQL statement for each question:
the quickest of several rounds. CPU time, as others use the machine too; no statement uses more than one core. `--write`
puts the table into RESULTS.md. Linux only.
"""

import argparse
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg2
from report_stores import AFTER, FIRST_DAY, fill_litellm, fill_postgres, fill_sqlite

from usage_tracker.dsn import parse_dsn
from usage_tracker.report import Query, parse_condition, run
from usage_tracker.stores import Store, open_store

HERE = Path(__file__).parent
RANGE = ("--since", f"{FIRST_DAY:%Y-%m-%d}", "--until", "2026-10-29")
SUMS = "sum(spend), sum(prompt_tokens), sum(completion_tokens)"
DAILY = f"{SUMS}, sum(cache_read_input_tokens), sum(api_requests), sum(failed_requests)"
LOGS = f"{SUMS}, count(*), count(*) FILTER (WHERE status = 'failure')"


class Question(NamedTuple):
    words: tuple[str, ...]
    query: Query
    daily: str | None
    """The same of LiteLLM's daily tables; None: they don't have it."""
    logs: str


def question(
    by: str, daily: str | None, logs: str, *, top: int | None = None, zone: str = "UTC", where: str | None = None
) -> Question:
    words = ["--by", by, *(["--top", str(top)] if top else []), *(["-z", zone] if zone != "UTC" else [])]
    words += ["--where", where] if where else []
    conditions = (parse_condition(where),) if where else ()
    query = Query(FIRST_DAY, AFTER, tuple(by.split(",")), conditions, top=top, tz=ZoneInfo(zone))
    return Question(tuple(words), query, daily, logs)


def of_daily(table: str, columns: str, more: str = "") -> str:
    return f'SELECT {columns}, {DAILY} FROM "LiteLLM_Daily{table}Spend" GROUP BY {columns} {more}'


def of_logs(columns: str, more: str = "", source: str = "") -> str:
    return f'SELECT {columns}, {LOGS} FROM "LiteLLM_SpendLogs" {source} GROUP BY {columns} {more}'


DEAREST = "ORDER BY sum(spend) DESC LIMIT 10"
TAGS = "CROSS JOIN LATERAL jsonb_array_elements_text(request_tags) AS tag"
DAY = "date_trunc('day', \"startTime\")"
QUESTIONS = (
    question("model", of_daily("User", "model"), of_logs("model")),
    question("day,model", of_daily("User", "date, model"), of_logs(f"{DAY}, model")),
    question("project", None, of_logs("metadata->>'project_id'")),
    question(
        "tag:tier",
        of_daily("Tag", "tag").replace("GROUP", "WHERE tag LIKE 'tier:%' GROUP"),
        of_logs("tag", source=f"{TAGS} WHERE tag LIKE 'tier:%'"),
    ),
    question("user", of_daily("User", "user_id", DEAREST), of_logs('"user"', DEAREST), top=10),
    question(
        "model",
        of_daily("User", "model").replace("GROUP", "WHERE user_id = 'user-77' GROUP"),
        of_logs("model").replace("GROUP", "WHERE \"user\" = 'user-77' GROUP"),
        where="user=user-77",
    ),
    question(
        "day,model",
        None,
        of_logs("date_trunc('day', \"startTime\" AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin'), model"),
        zone="Europe/Berlin",
    ),
)


class Process(NamedTuple):
    """A whole run of the command, in milliseconds: the client's CPU, and the clock's time, with the server's."""

    cpu: float
    clock: float

    def __str__(self) -> str:
        return f"{self.cpu:,.0f} ({self.clock:,.0f})"


def process_ms(rounds: int, dsn: str, words: Sequence[str], days: Sequence[str] = RANGE) -> Process:
    """The quickest of each."""
    command = [sys.executable, "-m", "usage_tracker", "report", "--dsn", dsn, *days, *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled once, not at each run
    found = []
    for _ in range(rounds + 1):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
        found.append(Process((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000, took * 1000))
    return Process(min(each.cpu for each in found[1:]), min(each.clock for each in found[1:]))


def server_ms(pid: int) -> float:
    """What a server's process has used so far. https://docs.kernel.org/scheduler/sched-stats.html"""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def own_ms() -> float:
    return time.process_time() * 1000


class Timed:
    """A store whose statements are timed until their last row has arrived."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self.spent = 0.0
        self._store = store
        self._clock = own_ms
        if store.dialect.name == "postgres":
            [(pid,)] = store.select("SELECT pg_backend_pid()")
            self._clock = lambda: server_ms(pid)

    def select(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        started = self._clock()
        rows = list(self._store.select(sql, parameters))
        self.spent += self._clock() - started
        return iter(rows)


def database_ms(rounds: int, dsn: str, query: Query) -> float:
    with closing(open_store(parse_dsn(dsn))) as store:
        found = []
        for _ in range(rounds + 1):
            timed = Timed(store)
            run(timed, query)  # type: ignore[arg-type]  # as much of a store as a report needs
            found.append(timed.spent)
    return min(found[1:])


def sql_ms(rounds: int, cursor: Any, sql: str | None) -> float | None:
    if sql is None:
        return None
    cursor.execute("SET max_parallel_workers_per_gather = 0; SELECT pg_backend_pid()")
    [(pid,)] = cursor.fetchall()
    found = []
    for _ in range(rounds + 1):
        before = server_ms(pid)
        cursor.execute(sql)
        cursor.fetchall()
        found.append(server_ms(pid) - before)
    return min(found[1:])


@contextmanager
def server(named: str | None) -> Iterator[str]:
    """The DSN of a server on which databases may be created."""
    if named:
        yield named
        return
    sys.path.append(str(HERE.parent / "tests"))
    from postgres_server import PostgresServer

    own = PostgresServer()
    try:
        own.start()
        yield f"host=127.0.0.1 port={own.port} user=postgres dbname=postgres"
    except psycopg2.OperationalError:
        print(f"The server said last:\n{own.log()[-2000:]}", file=sys.stderr)
        raise
    finally:
        own.close()


@contextmanager
def database(address: str) -> Iterator[str]:
    """A migrated database of its own: its DSN."""
    name = f"report_{uuid4().hex[:8]}"
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        dsn = re.sub(r"dbname=\S+", f"dbname={name}", address)
        try:
            with closing(open_store(parse_dsn(dsn))) as store:
                store.migrate()
            yield dsn
        finally:
            connection.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def cursor_of(dsn: str) -> Iterator[Any]:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def ratio(theirs: float | None, ours: float) -> str:
    return "–" if theirs is None else f"{theirs:,.0f} ({theirs / ours:.1f}×)"


def measure(events: int, rounds: int, address: str) -> Iterator[str]:
    """The lines of the table."""
    with database(address) as small, database(address) as large, tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{folder}/usage.db"
        with closing(open_store(parse_dsn(file))) as store:
            store.migrate()
        with cursor_of(small) as cursor:
            fill_postgres(cursor, events // 10)
            cursor.execute("VACUUM ANALYZE")
        with cursor_of(large) as cursor:
            fill_postgres(cursor, events)
            fill_sqlite(cursor, f"{folder}/usage.db")
            fill_litellm(cursor)
            cursor.execute("VACUUM ANALYZE")
            yield (
                "| `usage-tracker report` | process (clock) | in Postgres | a tenth of the events | process, SQLite "
                "| in SQLite | LiteLLM's daily tables | LiteLLM's spend logs |"
            )
            yield "|---|---:|---:|---:|---:|---:|---:|---:|"
            for asked in QUESTIONS:
                process, lite = (process_ms(rounds, dsn, asked.words) for dsn in (large, file))
                ours, before, in_file = (database_ms(rounds, dsn, asked.query) for dsn in (large, small, file))
                daily, logs = (sql_ms(rounds, cursor, sql) for sql in (asked.daily, asked.logs))
                figures = [f"{process}", f"{ours:,.0f}", f"{before:,.0f}", f"{lite}", f"{in_file:,.0f}"]
                yield f"| `{' '.join(asked.words)}` | {' | '.join([*figures, ratio(daily, ours), ratio(logs, ours)])} |"


def write_between(name: str, lines: Sequence[str], file: str = "RESULTS.md") -> None:
    """Put the lines where the file has that name's table."""
    results = HERE / file
    text = results.read_text(encoding="utf-8")
    start = next(line for line in text.splitlines() if line.startswith(f"<!-- {name}:"))
    end = f"<!-- /{name} -->"
    before, after = text.partition(start)[0], text.partition(end)[2]
    results.write_text("\n".join([before + start, *lines, end]) + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", help="a DSN of keywords, with a dbname, whose role may create databases")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    python, rounds = platform.python_version(), options.rounds
    lines = ["", f"{options.events:,} events, Python {python}; ms of CPU, the quickest of {rounds} rounds.", ""]
    print(lines[1], flush=True)
    with server(options.server) as address:
        for line in measure(options.events, options.rounds, address):
            print(line, flush=True)
            lines.append(line)
    if options.write:
        write_between("reports", [*lines, ""])


if __name__ == "__main__":
    main()
