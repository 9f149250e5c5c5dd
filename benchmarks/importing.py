"""How many of a LiteLLM proxy's spend logs a second come into the store, and whether all of them do, once.

    PYTHONPATH=tests python benchmarks/importing.py [--rows N] [--sqlite]

A throw-away Postgres has the spend logs, made by SQL, and, unless it is to be an SQLite file, the store. The import is
killed half-way and begun again, and then run over all of it once more; each time its totals by day, model, user and tag
are held against SQL over the source. The rate is beside that of COPY of the same table by itself in the same run.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing

import psycopg2
from postgres_server import PostgresServer
from spend_logs import KEYS, make_table, totals
from test_importing import ours, stored


def bring(source: str, dsn: str, *words: str, until: int | None = None) -> tuple[float, float, str]:
    """Seconds by the clock, seconds of CPU, and what it said. With `until`, it is killed once so many are stored."""
    command = [sys.executable, "-m", "usage_tracker", "import", "litellm", "--from", source, *words]
    began, cpu = time.monotonic(), used()
    with subprocess.Popen(
        command, env={**os.environ, "TRACKER_DSN": dsn}, stderr=subprocess.PIPE, text=True
    ) as process:
        while until is not None and process.poll() is None and stored(dsn) < until:
            time.sleep(1)
        if until is not None:
            process.kill()
        _, said = process.communicate()
    return time.monotonic() - began, used() - cpu, said.strip()


def used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def check(source: str, dsn: str) -> None:
    for key in KEYS:
        assert ours(dsn, key) == totals(source, key), f"totals by {key} differ"
    print("  totals by day, model, user and tag equal SQL over the source")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sqlite", action="store_true")
    asked = parser.parse_args()
    server = PostgresServer()
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        source = server.dsn(server.create(migrated=False))
        dsn = f"sqlite:///{folder}/usage.db" if asked.sqlite else server.dsn(server.create(migrated=True))
        make_table(source, asked.rows)
        began = time.monotonic()
        with closing(psycopg2.connect(source)) as connection, connection.cursor() as cursor:
            cursor.copy_expert('COPY "LiteLLM_SpendLogs" TO STDOUT', Nowhere())
        copied = time.monotonic() - began
        print(f"{asked.rows:,} rows; COPY reads them at {asked.rows / copied:,.0f} rows/s")
        wall, _, _ = bring(source, dsn, until=asked.rows // 2)
        there = stored(dsn)
        print(f"killed after {wall:.0f} s with {there:,} stored")
        wall, cpu, said = bring(source, dsn)
        left = asked.rows - there
        print(f"begun again: {said}\n  {left / wall:,.0f} rows/s, {left / cpu:,.0f} by its CPU time")
        check(source, dsn)
        wall, cpu, said = bring(source, dsn, "--since", "all")
        print(
            f"all of it once more: {said}\n  {asked.rows / wall:,.0f} rows/s, {asked.rows / cpu:,.0f} by its CPU time"
        )
        check(source, dsn)
    server.close()


class Nowhere(io.RawIOBase):
    def write(self, _: object) -> int:
        return 0


if __name__ == "__main__":
    main()
