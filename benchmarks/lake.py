"""Millions of events out of Postgres into Parquet, and reports on them by DuckDB and by Spark, which loses a worker.

    python benchmarks/lake.py [--events N] [--folder FOLDER] [--server DSN] [--write]

Fills a throw-away Postgres with N made-up events, exports them as `usage-tracker export --to` does, and kills such an
export again and again on the way to a second folder. Then it asks Postgres, DuckDB and Spark for the same totals: a
standalone master and two workers on this machine, one of which is killed (-9, with its executor) while Spark is asked.
`--write` puts the table into RESULTS.md and docs/warehouses.md. Spark needs Java; without pyspark it is left out.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
from report_stores import AFTER, DIMENSIONS, EVENTS, FIRST_DAY, MEASURES, SUMS

from usage_tracker.config import parse_dsn
from usage_tracker.exporting import Plan, export_once
from usage_tracker.lake import LakeFigures, open_lake
from usage_tracker.report import Query, Report, answer
from usage_tracker.stores import open_store

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from postgres_server import PostgresServer

HERE = Path(__file__).parent
FOLDED = f"""
INSERT INTO usage_tracker.rollup_{{grain}}_kind (bucket_at, kind_key, {MEASURES}, awaited, completed)
    SELECT date_trunc('{{grain}}', started_at, 'UTC'), kind_key, {SUMS}, 0, 0 FROM usage_tracker.usage_event
    GROUP BY 1, 2 ORDER BY 1
"""
QUERIES = {
    "totals": Query(FIRST_DAY, AFTER, ()),
    "by day and model": Query(FIRST_DAY, AFTER, ("day", "model")),
    "top 20 users": Query(FIRST_DAY, AFTER, ("user",), top=20),
    "by tag": Query(FIRST_DAY, AFTER, ("tag",)),
    "p50 and p95 by model": Query(FIRST_DAY, AFTER, ("model",), percentiles=True),
}
TOTALS = """
SELECT count(*), count(*) FILTER (WHERE status = 'error'), sum(input_tokens), sum(output_tokens), sum(cost)
FROM usage_tracker.usage_event
"""


def fill(dsn: str, events: int) -> None:
    """Events, and the rollups that an export looks at."""
    store = open_store(parse_dsn(dsn))
    store.migrate()
    store.close()
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'; SET work_mem = '256MB'; SELECT setseed(0.5)")
        for month in (8, 9, 10):
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS usage_tracker.usage_event_2026_{month:02} "
                "PARTITION OF usage_tracker.usage_event "
                f"FOR VALUES FROM ('2026-{month:02}-01') TO ('2026-{month + 1:02}-01')"
            )
        cursor.execute(DIMENSIONS)
        for start in range(0, events, 1_000_000):
            stop = min(events, start + 1_000_000) - 1
            cursor.execute(EVENTS, {"first": FIRST_DAY, "events": events, "start": start, "stop": stop})
        for grain in ("hour", "day"):
            cursor.execute(FOLDED.format(grain=grain))
    connection.close()


def read_totals(dsn: str) -> tuple[Any, ...]:
    connection = psycopg2.connect(dsn)
    with connection.cursor() as cursor:
        cursor.execute(TOTALS)
        found: tuple[Any, ...] = cursor.fetchone()
    connection.close()
    return found


def totals_of(report: Report) -> tuple[Any, ...]:
    total = report.total
    return total.calls, total.errors, total.input_tokens, total.output_tokens, total.cost


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def export_killed(dsn: str, folder: Path, seconds: float) -> int:
    """Export with processes that are killed at random until one comes to its end; how many were killed."""
    chance, killed = random.Random(7), 0
    environ = {**os.environ, "TRACKER_DSN": dsn}
    while True:
        command = [sys.executable, "-m", "usage_tracker", "export", "--to", str(folder)]
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as program:
            try:
                _, said = program.communicate(timeout=chance.uniform(0.3, 1) * seconds / 4)
            except subprocess.TimeoutExpired:
                program.send_signal(signal.SIGKILL)
                program.communicate()
                killed += 1
                release(dsn)
                continue
        assert program.returncode == 0, said
        return killed


def release(dsn: str) -> None:
    """What a quarter of an hour would do: who was killed exports no more."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("UPDATE usage_tracker.export_destination SET claimed_until = 0")
    connection.close()


@contextmanager
def spark_cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A standalone master and two workers, each with one core, on the loopback."""
    import pyspark

    home = Path(pyspark.__file__).parent
    environ = {**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1"}
    environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": str(folder / "work")}
    log = (folder / "spark.log").open("wb")
    port, started = 17077, list[subprocess.Popen[bytes]]()

    def start(*words: str) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            [str(home / "bin" / "spark-class"), *words], env=environ, stdout=log, stderr=log, start_new_session=True
        )
        started.append(program)
        return program

    master = f"spark://127.0.0.1:{port}"
    start(
        "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "18080"
    )  # fmt: skip
    time.sleep(5)
    workers = [
        start("org.apache.spark.deploy.worker.Worker", "--cores", "1", "--memory", "2g", "--host", "127.0.0.1",
              "--webui-port", str(18081 + number), master)
        for number in range(2)
    ]  # fmt: skip
    time.sleep(8)
    try:
        yield master, workers
    finally:
        for program in started:
            kill_session(program.pid)
            program.wait()
        log.close()


def kill_session(session: int) -> None:
    """A worker and the executors that it has started, which are in a session of their own."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            try:
                os.kill(int(path.parent.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def ask_all(address: str, engine: str, before: Callable[[str], None] = lambda _: None) -> dict[str, tuple[float, Any]]:
    lake = open_lake(address, engine)
    found = {}
    for name, query in QUERIES.items():
        before(name)
        figures = LakeFigures(lake)
        found[name] = timed(lambda query=query, figures=figures: answer(figures, query))  # type: ignore[misc]
    lake.close()
    return found


def same(one: Report, other: Report) -> bool:
    """Whether they say the same; sums of durations depend on the order of their summands."""
    if len(one.rows) != len(other.rows):
        return False
    for left, right in zip([*one.rows, one.total], [*other.rows, other.total], strict=True):
        for name in left.__dataclass_fields__:
            a, b = getattr(left, name), getattr(right, name)
            if a != b and not (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-6 * abs(a)):
                return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="Where to keep the files; unset: nowhere.")
    parser.add_argument("--server", metavar="DSN", help="A database that is filled already, by an earlier run.")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        folder = (options.folder or Path(kept)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if options.server:
            lines = measure(options.server, folder)
        else:
            server = PostgresServer()
            try:
                server.start()
                dsn = server.dsn(server.create(migrated=False))
                fill(dsn, options.events)
                print(f"filled: {dsn}", flush=True)
                lines = measure(dsn, folder)
            finally:
                server.close()
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        for path in (HERE / "RESULTS.md", HERE.parent / "docs" / "warehouses.md"):
            written = path.read_text(encoding="utf-8")
            mark = r"(<!-- lake: written by make lake -->\n).*?(<!-- /lake -->)"
            path.write_text(re.sub(mark, lambda found: found[1] + text + found[2], written, flags=re.DOTALL), "utf-8")


def measure(dsn: str, folder: Path) -> list[str]:
    expected = read_totals(dsn)
    events = expected[0]
    lake = folder / "lake"
    release(dsn)
    seconds, exported = timed(lambda: export_once(parse_dsn(dsn), Plan(str(lake), again=True)))
    assert exported.rows == events
    size = size_of(lake)
    idle, _ = timed(lambda: export_once(parse_dsn(dsn), Plan(str(lake))))
    lines = [
        "| what | figure |",
        "|---|--:|",
        f"| events exported from Postgres to Parquet | {events:,} |",
        f"| seconds | {seconds:.0f} |",
        f"| events per second, one process | {events / seconds:,.0f} |",
        f"| bytes per event (zstd) | {size / events:.1f} |",
        f"| a second run, when nothing has changed | {idle:.2f} s |",
    ]
    duck = ask_all(str(lake), "duckdb")
    assert totals_of(duck["totals"][1]) == expected, (totals_of(duck["totals"][1]), expected)
    spark: dict[str, tuple[float, Any]] = {}
    if find_spec("pyspark"):
        with spark_cluster(folder) as (master, workers):
            spark = ask_all(str(lake), master, lambda name: kill_during(name, workers))
        assert totals_of(spark["totals"][1]) == expected
        for name, (_, report) in spark.items():
            assert same(duck[name][1], report), name
    asked = ["", "| question | DuckDB | Spark, two workers |", "|---|--:|--:|"]
    for name, (took, _) in duck.items():
        other = f"{spark[name][0]:.1f} s{' (a worker killed)' if name == KILLED else ''}" if spark else "–"
        asked.append(f"| {name} | {took:.2f} s | {other} |")
    print("\n".join([*lines, *asked]), flush=True)
    again = folder / "killed"
    killed = export_killed(dsn, again, seconds)
    after = open_lake(str(again))
    assert totals_of(answer(LakeFigures(after), QUERIES["totals"])) == expected
    [row] = after.rows(after.events.aggregate(ids=after.events.event_id.nunique()))
    assert row["ids"] == events
    after.close()
    lines.append(f"| exports killed (-9) on the way to a second folder; events lost, doubled | {killed}; 0, 0 |")
    return [*lines, *asked]


KILLED = "by day and model"


def kill_during(name: str, workers: list[subprocess.Popen[bytes]]) -> None:
    if name == KILLED:
        threading.Timer(0.5, kill_session, [workers[0].pid]).start()


if __name__ == "__main__":
    main()
