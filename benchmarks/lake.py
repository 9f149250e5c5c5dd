"""Millions of events out of Postgres into Parquet, and reports on them by DuckDB and by Spark, which loses a worker.

    python benchmarks/lake.py [--events N | --dsn DSN] [--folder FOLDER] [--write]

Exports all events as `usage-tracker export --to` does, and kills such an export again and again on the way to a second
folder: of a throw-away Postgres with N made-up events, or of a store that is there already, in which nothing is left.
Then the store, DuckDB and Spark are asked the same questions and have to say the same: a standalone master and two
workers on this machine, one of which is killed (-9, with its executor) while both compute. `--write` puts the tables
into RESULTS.md and docs/warehouses.md. Spark needs Java; without pyspark it is left out.
"""

import argparse
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
from report_stores import fill_postgres
from spark_cluster import SparkCluster, WorkerLost, spark_cluster

from usage_tracker.dsn import parse_dsn
from usage_tracker.exporting import Plan, export_once
from usage_tracker.lake import LakeFigures, open_lake
from usage_tracker.report import Query, Report, answer, run
from usage_tracker.stores import open_store

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from postgres_server import PostgresServer

HERE = Path(__file__).parent
QUERIES = {
    "by model": Query(by=("model",)),
    "by day and model": Query(by=("day", "model")),
    "top 20 users": Query(by=("user",), top=20),
    "by tag": Query(by=("tag",)),
    "p50 and p95 by model": Query(by=("model",), percentiles=True),
}
KILLED = "by day and model"
"""What Spark is asked while it loses a worker."""
TOTALS = """
SELECT count(*), count(*) FILTER (WHERE status = 'error'), sum(input_tokens), sum(output_tokens), sum(cost)
FROM usage_tracker.usage_event
"""


@contextmanager
def filled(events: int) -> Iterator[str]:
    """The DSN of a throw-away store with made-up events."""
    with closing(PostgresServer()) as server:
        server.start()
        dsn = server.dsn(server.create(migrated=False))
        with closing(open_store(parse_dsn(dsn))) as store:
            store.migrate()
        with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            fill_postgres(cursor, events)
        print(f"filled: {dsn}", flush=True)
        yield dsn


def read_totals(dsn: str) -> tuple[Any, ...]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(TOTALS)
        found: tuple[Any, ...] = cursor.fetchone()
    return found


def forget(dsn: str, folder: Path) -> None:
    """Take what the store notes of the folder out of it: the folder goes, too."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        for table in ("export_file", "export_destination"):
            cursor.execute(f"DELETE FROM usage_tracker.{table} WHERE destination = %s", [str(folder)])


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
                # the longer, the more were killed: however slow the machine, one gets through
                _, said = program.communicate(timeout=chance.uniform(0.3, 1) * (seconds / 4 + killed))
            except subprocess.TimeoutExpired:
                program.send_signal(signal.SIGKILL)
                program.communicate()
                killed += 1
                continue
        assert program.returncode == 0, said
        return killed


Answers = dict[str, tuple[float, Report]]
"""To each question, and the seconds that it took."""


def ask_store(dsn: str) -> Answers:
    with closing(open_store(parse_dsn(dsn))) as store:
        return {name: timed(lambda query=query: run(store, query)) for name, query in QUERIES.items()}  # type: ignore[misc]


def ask_lake(folder: Path, engine: str, cluster: SparkCluster | None = None) -> Answers:
    """The cluster, if there is one, loses a worker on the way."""
    with closing(open_lake(str(folder), engine)) as lake:
        figures, found = LakeFigures(lake), {}
        for name, query in QUERIES.items():
            with WorkerLost(cluster) if cluster and name == KILLED else nullcontext():
                found[name] = timed(lambda query=query: answer(figures, query))  # type: ignore[misc]
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
    parser.add_argument("--dsn", help="A store that has events already, in Postgres.")
    parser.add_argument("--folder", type=Path, help="Where the files are made, in folders that go again.")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lake-", dir=options.folder) as folder,
        nullcontext(options.dsn) if options.dsn else filled(options.events) as dsn,
    ):
        text = "\n".join(measure(dsn, Path(folder))) + "\n"
    print(text)
    if options.write:
        for path in (HERE / "RESULTS.md", HERE.parent / "docs" / "warehouses.md"):
            written = path.read_text(encoding="utf-8")
            mark = r"(<!-- lake: written by make lake -->\n).*?(<!-- /lake -->)"
            path.write_text(re.sub(mark, lambda found: found[1] + text + found[2], written, flags=re.DOTALL), "utf-8")


def measure(dsn: str, folder: Path) -> list[str]:
    whole, killed = folder / "lake", folder / "killed"
    try:
        seconds, lines = measure_export(dsn, whole)
        asked = measure_reports(dsn, whole, folder)
        lines.append(measure_killed(dsn, killed, seconds))
    finally:
        forget(dsn, whole)
        forget(dsn, killed)
    return [*lines, "", *asked]


def measure_export(dsn: str, folder: Path) -> tuple[float, list[str]]:
    events, *_ = read_totals(dsn)
    cpu = time.process_time()
    seconds, exported = timed(lambda: export_once(parse_dsn(dsn), Plan(str(folder))))
    cpu = time.process_time() - cpu
    assert exported.rows == events
    idle, nothing = timed(lambda: export_once(parse_dsn(dsn), Plan(str(folder))))
    assert nothing.files == 0
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.",
        "",
        "| what | figure |",
        "|---|--:|",
        f"| events exported from Postgres to Parquet, one process | {events:,} |",
        f"| seconds | {seconds:.0f} |",
        f"| events per second | {events / seconds:,.0f} |",
        f"| CPU of the exporting process | {cpu / events * 1e6:.1f} µs for each event |",
        f"| its memory, at most | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB |",
        f"| bytes per event (zstd) | {size_of(folder) / events:.1f} |",
        f"| a second run, when nothing has changed | {idle:.2f} s |",
    ]
    print("\n".join(lines), flush=True)
    return seconds, lines


def measure_reports(dsn: str, lake: Path, folder: Path) -> list[str]:
    expected = read_totals(dsn)
    answers = {"Postgres, from its rollups": ask_store(dsn), f"DuckDB {version('duckdb')}": ask_lake(lake, "duckdb")}
    if find_spec("pyspark"):
        with spark_cluster(folder) as cluster:
            answers[f"Spark {version('pyspark')}, two workers"] = ask_lake(lake, cluster.master, cluster)
    stored, *others = answers.values()
    assert totals_of(stored["by model"][1]) == expected, (totals_of(stored["by model"][1]), expected)
    for other in others:
        for name, (_, report) in other.items():
            assert same(stored[name][1], report), name
    lines = ["| question, the same answer of all | " + " | ".join(answers) + " |", "|---|" + "--:|" * len(answers)]
    for name in QUERIES:
        took = [f"{each[name][0]:.2f} s" for each in answers.values()]
        if len(took) == 3 and name == KILLED:
            took[-1] += ", a worker killed"
        lines.append(f"| {name} | " + " | ".join(took) + " |")
    print("\n".join(lines), flush=True)
    return lines


def measure_killed(dsn: str, folder: Path, seconds: float) -> str:
    expected = read_totals(dsn)
    killed = export_killed(dsn, folder, seconds)
    with closing(open_lake(str(folder))) as lake:
        assert totals_of(answer(LakeFigures(lake), QUERIES["by model"])) == expected
        [row] = lake.rows(lake.events.aggregate(ids=lake.events.event_id.nunique()))
    assert row["ids"] == expected[0]
    return f"| exports killed (-9) on the way to a second folder; events lost, doubled | {killed}; 0, 0 |"


if __name__ == "__main__":
    main()
