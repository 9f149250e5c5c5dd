"""How many of a LiteLLM proxy's spend logs a second come into the store, and whether all of them do, once.

    PYTHONPATH=tests python benchmarks/importing.py [--rows N] [--sqlite] [--write]

A throw-away Postgres has the spend logs, made by SQL, and, unless it is to be an SQLite file, the store. The import is
killed half-way and begun again, and then run over all of it once more; each time its totals by day, model, user and tag
are held against SQL over the source. The rate is beside that of COPY of the same table by itself in the same run.
`--write` puts the table into RESULTS.md.
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
import results
from postgres_server import PostgresServer
from spend_logs import KEYS, make_table, totals
from test_importing import ours

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store


def bring(source: str, dsn: str, *words: str, until: int | None = None) -> tuple[float, float, str]:
    """Seconds by the clock, seconds of CPU, and what it said. With `until`, it is killed once so many are stored."""
    command = [sys.executable, "-m", "usage_tracker", "import", "litellm", "--from", source, *words]
    began, cpu = time.monotonic(), used()
    with subprocess.Popen(
        command, env={**os.environ, "TRACKER_DSN": dsn}, stderr=subprocess.PIPE, text=True
    ) as process:
        while until is not None and process.poll() is None and stored(dsn)[0] < until:
            time.sleep(1)
        if until is not None:
            process.kill()
        _, said = process.communicate()
    return time.monotonic() - began, used() - cpu, said.strip()


def stored(dsn: str) -> tuple[int, int]:
    """How many events there are, and how many ids they have."""
    with closing(open_store(parse_dsn(dsn))) as store:
        sql = f"SELECT count(*), count(DISTINCT event_id) FROM {store.dialect.prefix}usage_event"
        [(events, ids)] = store.select(sql)
    return int(str(events)), int(str(ids))


def used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def check(source: str, dsn: str, rows: int) -> None:
    assert stored(dsn) == (rows, rows), stored(dsn)
    for key in KEYS:
        assert ours(dsn, key) == totals(source, key), f"totals by {key} differ"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sqlite", action="store_true")
    asked = results.asked(parser)
    with closing(PostgresServer()) as server, tempfile.TemporaryDirectory() as folder:
        server.start()
        source = server.dsn(server.create(migrated=False))
        dsn = f"sqlite:///{folder}/usage.db" if asked.sqlite else server.dsn(server.create(migrated=False))
        with closing(open_store(parse_dsn(dsn))) as store:
            store.migrate()
        make_table(source, asked.rows)
        text = measure(source, dsn, asked.rows)
    results.publish("importing", text, asked.write)


def measure(source: str, dsn: str, rows: int) -> str:
    began = time.monotonic()
    with closing(psycopg2.connect(source)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_table_size('\"LiteLLM_SpendLogs\"')")
        (size,) = cursor.fetchone()
        cursor.copy_expert('COPY "LiteLLM_SpendLogs" TO STDOUT', Nowhere())
    copied = time.monotonic() - began
    killed_after, _, _ = bring(source, dsn, until=rows // 2)
    there, _ = stored(dsn)
    print(f"killed after {killed_after:.0f} s with {there:,} stored", flush=True)
    wall, cpu, said = bring(source, dsn)
    print(f"begun again: {said}", flush=True)
    check(source, dsn, rows)
    again_wall, again_cpu, said = bring(source, dsn, "--since", "all")
    print(f"all of it once more: {said}", flush=True)
    check(source, dsn, rows)
    left = rows - there
    kind = "SQLite" if dsn.startswith("sqlite") else "Postgres"
    lines = [
        ["rows of `LiteLLM_SpendLogs`, into a store in " + kind, f"{rows:,}"],
        ["stored when the import was killed (-9)", f"{there:,}"],
        ["brought by the run after it", f"{left:,}"],
        ["its rows per second, by the clock", f"{left / wall:,.0f}"],
        ["its rows per second of its own CPU", f"{left / cpu:,.0f}"],
        ["COPY of the table to nowhere, rows per second", f"{rows / copied:,.0f}, of {size / rows:,.0f} bytes each"],
        ["all rows once more (`--since all`), rows per second", f"{rows / again_wall:,.0f}"],
        ["the same by its own CPU", f"{rows / again_cpu:,.0f}"],
        ["calls, tokens and dollars by day, model, user and tag, after either run", "those of SQL over the source"],
        ["rows lost, doubled", "0, 0"],
    ]
    return f"{results.environment()}.\n\n{results.table(['what', 'figure'], lines)}"


class Nowhere(io.RawIOBase):
    def write(self, _: object) -> int:
        return 0


if __name__ == "__main__":
    main()
