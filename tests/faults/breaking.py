"""What breaks while apps call, and heals again: each is a context, broken inside and healed after it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from signal import SIGCONT, SIGKILL, SIGSTOP

import psycopg2
from made_events import made_event, store_events
from postgres_server import PostgresServer

from faults.bench import Bench
from faults.targets import PASSWORD, PostgresTarget
from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store


def server(bench: Bench) -> PostgresServer:
    """The server that this bench may break."""
    assert isinstance(bench.target, PostgresTarget)
    assert isinstance(bench.target.server, PostgresServer)
    return bench.target.server


def database(bench: Bench) -> str:
    assert isinstance(bench.target, PostgresTarget)
    return bench.target.database


def hang_up(bench: Bench) -> None:
    """End the database's sessions, and those that wait for pgbouncer."""
    server(bench).run(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database(bench)}' "
        "AND pid <> pg_backend_pid()"
    )


@contextmanager
def stopped(bench: Bench) -> Iterator[None]:
    server(bench).stop()
    yield
    server(bench).start()


@contextmanager
def restarted(bench: Bench) -> Iterator[None]:
    server(bench).restart()
    yield


@contextmanager
def crashed(bench: Bench) -> Iterator[None]:
    """Kill -9 of the server's first process; the others notice."""
    server(bench).kill()
    yield
    server(bench).start()


@contextmanager
def backend_killed(bench: Bench) -> Iterator[None]:
    """Kill -9 of the app's own backend: the server ends all others and recovers by itself."""
    found = server(bench).run(f"SELECT pid FROM pg_stat_activity WHERE datname = '{database(bench)}'")
    for (pid,) in found:
        os.kill(pid, SIGKILL)
    yield
    bench.wait_for(lambda: answers(server(bench)), "the server has recovered")


def answers(postgres: PostgresServer) -> bool:
    try:
        postgres.run("SELECT 1")
    except psycopg2.OperationalError:
        return False
    return True


@contextmanager
def refusing(bench: Bench) -> Iterator[None]:
    server(bench).run(f"ALTER DATABASE {database(bench)} WITH ALLOW_CONNECTIONS false")
    hang_up(bench)
    yield
    server(bench).run(f"ALTER DATABASE {database(bench)} WITH ALLOW_CONNECTIONS true")


@contextmanager
def frozen(bench: Bench) -> Iterator[None]:
    """All of the server stands still, while its kernel still accepts connections and answers keepalives."""
    stopped = server(bench).processes()
    for pid in stopped:
        os.kill(pid, SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, SIGCONT)


@contextmanager
def backend_frozen(bench: Bench) -> Iterator[None]:
    """One session stands still, perhaps holding locks, while the server takes others."""
    found = server(bench).run(f"SELECT pid FROM pg_stat_activity WHERE datname = '{database(bench)}'")
    for (pid,) in found:
        os.kill(pid, SIGSTOP)
    try:
        yield
    finally:
        for (pid,) in found:
            os.kill(pid, SIGCONT)


@contextmanager
def terminated(bench: Bench) -> Iterator[None]:
    """Every COPY that is seen is ended in its middle, until there were five."""
    seen = 0
    deadline = time.monotonic() + 30
    connection = psycopg2.connect(server(bench).dsn("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        while seen < 5 and time.monotonic() < deadline:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE state = 'active' AND query LIKE 'COPY %%' AND datname = %s",
                [database(bench)],
            )
            seen += len(cursor.fetchall())
    connection.close()
    assert seen, "no COPY was seen"
    yield


@contextmanager
def locked(bench: Bench) -> Iterator[None]:
    """Somebody's session holds tables of ours."""
    connection = psycopg2.connect(server(bench).dsn(database(bench)))
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE usage_tracker.journal_offset, usage_tracker.usage_event IN ACCESS EXCLUSIVE MODE")
    yield
    connection.close()


@contextmanager
def rollups_locked(bench: Bench) -> Iterator[None]:
    """Somebody's session holds the rollups: nothing can be folded."""
    connection = psycopg2.connect(server(bench).dsn(database(bench)))
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE usage_tracker.rollup_hour IN ACCESS EXCLUSIVE MODE")
    yield
    connection.close()


@contextmanager
def read_only(bench: Bench) -> Iterator[None]:
    server(bench).run(f"ALTER DATABASE {database(bench)} SET default_transaction_read_only = on")
    hang_up(bench)
    yield
    server(bench).run(
        f"SET default_transaction_read_only = off; ALTER DATABASE {database(bench)} RESET default_transaction_read_only"
    )


@contextmanager
def disk_full(bench: Bench) -> Iterator[None]:
    """No file of the server grows beyond the size that the table of events has. It is filled first, so that the
    server's other files are smaller and it can live on."""
    store = open_store(parse_dsn(bench.target.dsn))
    store_events(store, [made_event(datetime.now(UTC)) for _ in range(8000)])
    store.close()
    ((size,),) = server(bench).run(
        "SELECT max(pg_relation_size(relid)) FROM pg_partition_tree('usage_tracker.usage_event')", database(bench)
    )
    assert size > 1 << 20, "larger than a segment of the server's own log"
    limit_files(server(bench), str(size))
    try:
        yield
    finally:
        limit_files(server(bench), "unlimited")


def limit_files(postgres: PostgresServer, size: str) -> None:
    """As a full disk: a process of the server that writes beyond that size gets an error. Works as root and not."""
    limited: set[int] = set()
    # some may begin before the first one has that limit
    while fresh := [pid for pid in postgres.processes() if pid not in limited]:
        for pid in fresh:
            with suppress(ProcessLookupError):
                postgres.run_as_server("prlimit", f"--pid={pid}", f"--fsize={size}:")
        limited.update(fresh)


@contextmanager
def password_changed(bench: Bench, role: str) -> Iterator[None]:
    server(bench).run(f"ALTER ROLE {role} PASSWORD 'another'")
    hang_up(bench)
    yield
    server(bench).run(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
