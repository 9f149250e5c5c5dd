r"""How fast one leader moves a full spool into a store: read, priced, stored and rolled up, exactly once.

    python benchmarks/ingest.py [--events N] [--rounds N] [--processes N] [--server DSN] [--no-peers] [--write]

Fills a spool folder as 16 processes leave it behind, ships it into a migrated store of its own, and holds that against
the fastest that the store can be filled in the same run: `psql \copy` of the same rows into the bare table, and a bare
`executemany` of them in SQLite. Beside it, unless --no-peers leaves them out, psycopg2's execute_values, and
llm-accounting from PyPI in an environment of its own; and, into Postgres, as many processes as --processes says, as
`usage-tracker ship --processes` has them. Prints events a second by the clock, CPU time per event of the client and of
the server, and what an event takes on disk when all is folded. `--write` puts the table into RESULTS.md. Linux only.
"""

import argparse
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import psycopg2
from psycopg2.extras import execute_values
from report import cursor_of, database, server, server_ms, write_between
from spooled_events import Calls, fill

from usage_tracker.cli.crew import Crew
from usage_tracker.cli.garbage import Garbage
from usage_tracker.config import load_settings
from usage_tracker.dsn import parse_dsn
from usage_tracker.journal import Journal, Spool
from usage_tracker.lazy_pricer import LazyPricer
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store, open_store

BATCH = 5000
WITH_USERS = "5,000 users"
WITHOUT_USERS = "no users"
PEER_EVENTS = 2000


class Run(NamedTuple):
    """What moving some events took."""

    rate: float
    """Events a second, by the clock."""
    client_us: float | None = None
    server_us: float | None = None
    """CPU time per event."""
    fold_us: float | None = None
    """The clock's time per event of folding what is left into rollups: reports don't wait for it."""
    on_disk: float | None = None
    """Bytes per event, when all is folded and vacuumed."""


def ship(spool: Path, dsn: str, events: int) -> Run:
    """Ship all that is in the folder, as `usage-tracker ship` does. Raises AssertionError where anything is missing or
    twice."""
    opened: list[Store] = []

    def open_once() -> Store:
        opened.append(open_store(parse_dsn(dsn)))
        return opened[-1]

    shipper = Shipper(Spool(spool), open_once, LazyPricer(None), BATCH)
    assert shipper.spool.lead()
    shipper.connect()
    shipper._prices.load()
    [store] = opened
    at_server = (lambda: 0.0) if store.dialect.name == "sqlite" else backend_clock(store)
    started, client, backend = time.perf_counter(), time.process_time(), at_server()
    with Garbage() as garbage:
        while shipper.step():
            garbage.collect()
    took = time.perf_counter() - started
    client, backend = time.process_time() - client, at_server() - backend
    folding = time.perf_counter()
    shipper.fold()
    folding = time.perf_counter() - folding
    check(store, events)
    on_disk = bytes_in(store)
    shipper.close()
    per_event = 1e6 / events
    return Run(
        events / took, client * per_event, backend * per_event / 1000 or None, folding * per_event, on_disk / events
    )


def ship_together(spool: Path, dsn: str, events: int, processes: int) -> Run:
    """As `ship`, by so many processes that wait for events when the folder's come."""
    with tempfile.TemporaryDirectory() as folder, closing(open_store(parse_dsn(dsn))) as store:
        empty = Spool(Path(folder) / "spool")
        settings = load_settings({"TRACKER_DSN": dsn, "TRACKER_SPOOL_DIR": str(empty.folder)})
        assert empty.lead()
        fill(empty.folder, WARM * processes, processes=2 * processes)
        crew = Crew(settings, processes)
        try:
            crew.keep()
            wait_for(crew, WARM * processes)
            pids = [member.pid for member in crew.members]
            backends = [int(str(pid)) for (pid,) in store.select(BACKENDS)]
            started, client, backend = time.perf_counter(), spent_by(pids), spent_by(backends)
            for path in Spool(spool).segments():
                path.rename(empty.folder / path.name)
            crew.ring()
            wait_for(crew, WARM * processes + events)
            took = time.perf_counter() - started
            client, backend = spent_by(pids) - client, spent_by(backends) - backend
        finally:
            crew.end()
        folding = time.perf_counter()
        while store.compact():
            continue
        folding = time.perf_counter() - folding
        check(store, WARM * processes + events)
        per_event = 1e6 / events
        return Run(events / took, client * per_event / 1000, backend * per_event / 1000, folding * per_event)


WARM = 1000
"""Events that each process has shipped before, so that prices are loaded."""
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def wait_for(crew: Crew, stored: int) -> None:
    deadline = time.monotonic() + 300
    while crew.stored < stored:
        if crew.waits or time.monotonic() > deadline:
            raise Unavailable(crew.waits or f"{crew.stored} of {stored} events are stored")
        time.sleep(0.005)


def spent_by(pids: list[int]) -> float:
    """CPU time so far, in milliseconds."""
    return sum(server_ms(pid) for pid in pids)


def backend_clock(store: Store) -> Callable[[], float]:
    """The CPU time so far, in milliseconds, of the server's process for the store's connection."""
    [(pid,)] = store.select("SELECT pg_backend_pid()")
    return lambda: server_ms(int(str(pid)))


def transaction_ms(address: str, count: int = 50) -> float:
    """CPU time of the server for a batch of one event, which is nearly all the transaction's own."""
    with (
        database(address) as dsn,
        tempfile.TemporaryDirectory() as folder,
        closing(open_store(parse_dsn(dsn))) as store,
    ):
        spool = Path(folder)
        journal = Journal(Spool(spool))
        shipper = Shipper(Spool(spool), lambda: store, LazyPricer(None), BATCH)
        assert shipper.spool.lead()
        spent = []
        clock = backend_clock(store)
        for origin, event in Calls(users=0).make(count, 60.0):
            journal.append(origin, event)
            before = clock()
            shipper.step()
            spent.append(clock() - before)
        journal.close()
        return statistics.median(spent)


def check(store: Store, events: int) -> None:
    """Each event is there once, as a row and in a rollup."""
    prefix = store.dialect.prefix
    [(rows, ids)] = store.select(f"SELECT count(*), count(DISTINCT event_id) FROM {prefix}usage_event")
    [(calls,)] = store.select(f"SELECT sum(calls) FROM {prefix}by_day_kind")
    assert rows == ids == int(str(calls)) == events, f"{events} events, but {rows} rows, {ids} ids, {calls} calls"


def bytes_in(store: Store) -> float:
    """Tables and indexes: events, dimensions and rollups, without what is dead."""
    if store.dialect.name == "sqlite":
        [(size,)] = store.select("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return float(str(size))
    [(named,)] = store.select("SELECT current_database()")
    [(port,)] = store.select("SELECT current_setting('port')")
    with cursor_of(f"host=127.0.0.1 port={port} user=postgres dbname={named}") as cursor:
        cursor.execute(
            "SELECT string_agg(format('%I.%I', nspname, relname), ', ') FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'usage_tracker' AND relkind = 'r'"
        )
        cursor.execute(f"VACUUM {cursor.fetchone()[0]}")
        cursor.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'usage_tracker' AND relkind = 'r'"
        )
        return float(cursor.fetchone()[0])


def copy_bare(dsn: str, folder: Path, events: int) -> Run:
    r"""`psql \copy` of the rows of usage_event, as they are in this database, into a table like it, bare."""
    psql = find_psql()
    if psql is None:
        raise Unavailable("psql is not installed")
    rows = folder / "rows.copy"
    with cursor_of(dsn) as cursor, rows.open("wb") as file:
        cursor.execute("CREATE TABLE bare (LIKE usage_tracker.usage_event)")
        cursor.copy_expert("COPY (SELECT * FROM usage_tracker.usage_event) TO STDOUT", file)
    started = time.perf_counter()
    copied = subprocess.run(
        [psql, dsn, "-qc", f"\\copy bare from '{rows}'"], check=False, capture_output=True, text=True
    )
    took = time.perf_counter() - started
    if copied.returncode:
        raise Unavailable(copied.stderr.strip().splitlines()[-1])
    rows.unlink()
    return Run(events / took)


def find_psql() -> str | None:
    from postgres_server import binary_places

    return shutil.which("psql") or next((str(at / "psql") for at in binary_places() if (at / "psql").exists()), None)


def insert_bare(dsn: str, most: int = 50_000) -> Run:
    """psycopg2's execute_values of some of the same rows into the bare table."""
    with cursor_of(dsn) as cursor:
        cursor.execute(f"SELECT * FROM usage_tracker.usage_event LIMIT {most}")
        names = [column.name for column in cursor.description]
        rows = [
            tuple(psycopg2.extras.Json(value) if isinstance(value, dict) else value for value in row) for row in cursor
        ]
        marks = ", ".join("%s::uuid" if name == "event_id" else "%s" for name in names)
        started = time.perf_counter()
        cursor.execute("BEGIN")
        execute_values(cursor, "INSERT INTO bare VALUES %s", rows, template=f"({marks})", page_size=1000)
        cursor.execute("COMMIT")
        return Run(len(rows) / (time.perf_counter() - started))


def insert_many(file: Path, events: int) -> Run:
    """A bare executemany of the rows of usage_event, in batches as ours, into a table like it in a file of its own."""
    with closing(sqlite3.connect(file)) as source:
        rows = source.execute("SELECT * FROM usage_event").fetchall()
        columns = [name for _, name, *_ in source.execute("PRAGMA table_info(usage_event)")]
    with closing(sqlite3.connect(file.with_suffix(".bare"), isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = NORMAL")
        bare.execute(f"CREATE TABLE bare ({', '.join(columns)})")
        started = time.perf_counter()
        for first in range(0, len(rows), BATCH):
            bare.execute("BEGIN")
            bare.executemany(f"INSERT INTO bare VALUES ({', '.join('?' * len(columns))})", rows[first : first + BATCH])
            bare.execute("COMMIT")
        return Run(events / (time.perf_counter() - started))


LLM_ACCOUNTING = """
import sys, time
from llm_accounting import LLMAccounting
from llm_accounting.backends.sqlite import SQLiteBackend
accounting = LLMAccounting(backend=SQLiteBackend(db_path=sys.argv[1]))
with accounting:
    started = time.perf_counter()
    for number in range(int(sys.argv[2])):
        accounting.track_usage(model="gpt-4o-mini", prompt_tokens=number, completion_tokens=9, cost=0.01, username="u",
                               project="p", caller_name="benchmark")
    if hasattr(accounting.backend, "flush"):
        accounting.backend.flush()
    print(int(sys.argv[2]) / (time.perf_counter() - started))
"""


def account(folder: Path) -> Run:
    """llm-accounting, a call at a time, as its users use it."""
    environment = folder / "llm-accounting"
    made = subprocess.run(
        [sys.executable, "-m", "venv", environment], check=False, capture_output=True, text=True
    ) if not environment.exists() else None  # fmt: skip
    if made is not None and made.returncode == 0:
        made = subprocess.run(
            [environment / "bin/python", "-m", "pip", "install", "-q", "llm-accounting"],
            check=False, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
    if made is not None and made.returncode:
        raise Unavailable("llm-accounting could not be installed")
    ran = subprocess.run(
        [environment / "bin/python", "-c", LLM_ACCOUNTING, folder / "accounting.db", str(PEER_EVENTS)],
        check=False, capture_output=True, text=True, cwd=folder, timeout=180,
    )  # fmt: skip
    if ran.returncode:
        raise Unavailable(f"llm-accounting failed: {(ran.stderr.strip().splitlines() or ['?'])[-1][:80]}")
    return Run(float(ran.stdout.split()[-1]))


class Unavailable(Exception):
    """Something that a row needs can't be had; its words say what."""


def attempt(measure: Callable[[], Run]) -> Run | str:
    try:
        return measure()
    except (Unavailable, OSError, subprocess.TimeoutExpired, psycopg2.Error, sqlite3.Error) as error:
        return str(error).strip().splitlines()[0]


Found = list[tuple[str, Run | str, str]]
"""What was done, how it went, and the name of the row that it is held against."""


def measure_postgres(events: int, users: int, address: str, processes: int, *, peers: bool) -> Found:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "spool", events, users=users)
        with database(address) as dsn:
            ours = ship(folder / "spool", dsn, events)
            bare = attempt(lambda: copy_bare(dsn, folder, events))
            found: Found = [("ours", ours, "copy"), ("copy", bare, "copy")]
            if peers:
                found.append(("execute_values", attempt(lambda: insert_bare(dsn)), "copy"))
        fill(folder / "again", events, users=users)
        with database(address) as dsn:
            together = attempt(lambda: ship_together(folder / "again", dsn, events, processes))
            found.insert(1, ("together", together, "copy"))
        return found


def measure_sqlite(events: int, users: int, *, peers: bool) -> Found:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "spool", events, users=users)
        file = folder / "usage.db"
        ours = ship(folder / "spool", f"sqlite:///{file}", events)
        found: Found = [("ours", ours, "executemany"), ("executemany", insert_many(file, events), "executemany")]
        if peers:
            found.append(("llm-accounting", attempt(lambda: account(folder)), "executemany"))
        return found


NAMES = {
    "ours": "usage_tracker, one leader",
    "together": "usage_tracker, `ship --processes {processes}`",
    "copy": "`psql \\copy` of the same rows into the bare table",
    "execute_values": "psycopg2's `execute_values`, rows only",
    "executemany": "a bare `executemany` of the same rows",
    "llm-accounting": "llm-accounting, a call at a time",
}


def median(runs: list[Run], field: str) -> float | None:
    values = [value for run in runs if (value := getattr(run, field)) is not None]
    return statistics.median(values) if values else None


def shown(value: float | None, form: str = ",.1f") -> str:
    return "–" if value is None else format(value, form)


def table(store: str, users: str, rounds: list[Found]) -> Iterator[str]:
    """Rows of the medians of all rounds."""
    names = dict.fromkeys(name for found in rounds for name, _, _ in found)
    for name in names:
        outcomes = [outcome for found in rounds for each, outcome, _ in found if each == name]
        runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
        if not runs:
            yield f"| {store} | {users} | {NAMES[name]} | {outcomes[0]} | – | – | – | – | – |"
            continue
        ratios = []
        for found in rounds:
            by_name = {each: (outcome, limit) for each, outcome, limit in found}
            with suppress(KeyError, AttributeError):  # others from PyPI are in the first round only
                outcome, limit = by_name[name]
                ratios.append(outcome.rate / by_name[limit][0].rate)  # type: ignore[union-attr]
        rates = [run.rate for run in runs]
        spread = f" ({min(rates):,.0f} to {max(rates):,.0f})" if len(rates) > 1 else ""
        yield (
            f"| {store} | {users} | {NAMES[name]} | {statistics.median(rates):,.0f}{spread} "
            f"| {shown(statistics.median(ratios) if ratios else None, '.2f')} | {shown(median(runs, 'client_us'))} "
            f"| {shown(median(runs, 'server_us'))} | {shown(median(runs, 'fold_us'))} "
            f"| {shown(median(runs, 'on_disk'), ',.0f')} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--server", help="a DSN of keywords, with a dbname, whose role may create databases")
    parser.add_argument("--no-peers", action="store_true", help="without execute_values and llm-accounting")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    NAMES["together"] = NAMES["together"].format(processes=options.processes)
    python, rounds = platform.python_version(), options.rounds
    said = f"{options.events:,} events of an hour, left by 16 processes; Python {python}, medians of {rounds} rounds."
    columns = ("store", "", "", "events a second", "of the limit", "client, µs of CPU", "server, µs of CPU",
               "folding, µs", "bytes on disk")  # fmt: skip
    lines = ["", said, "", f"| {' | '.join(columns)} |", "|---|---|---|---:|---:|---:|---:|---:|---:|"]
    print("\n".join(lines[1:]), flush=True)
    for kind, users in ((WITH_USERS, 5000), (WITHOUT_USERS, 0)):
        peers = not options.no_peers and users > 0
        try:
            with server(options.server) as address:
                in_server = [
                    measure_postgres(options.events, users, address, options.processes, peers=peers and not place)
                    for place in range(rounds)
                ]
            rows = list(table("Postgres", kind, in_server))
        except (OSError, psycopg2.Error) as error:
            rows = [f"| Postgres | {kind} | {str(error).splitlines()[0]} | – | – | – | – | – | – |"]
        in_files = [measure_sqlite(options.events, users, peers=peers and not place) for place in range(rounds)]
        rows += table("SQLite", kind, in_files)
        print("\n".join(rows), flush=True)
        lines += rows
    with suppress(OSError, psycopg2.Error), server(options.server) as address:
        alone = f"A batch of one event takes {transaction_ms(address):.1f} ms of the server's CPU."
        print(f"\n{alone}", flush=True)
        lines += ["", alone]
    if options.write:
        write_between("ingest", [*lines, ""])


if __name__ == "__main__":
    main()
