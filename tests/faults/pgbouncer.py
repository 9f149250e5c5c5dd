"""pgbouncer in transaction mode between the apps and Postgres: no two transactions need get the same session."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from ports import free_port
from postgres_server import unprivileged_account

from faults.bench import Bench
from faults.breaking import server
from faults.cases import case
from faults.databases import strike
from faults.nursery import PATIENCE
from faults.targets import PASSWORD, PostgresTarget

SETTINGS = """\
[databases]
* = host=127.0.0.1 port={postgres}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
admin_users = postgres
auth_file = {users}
logfile = {log}
pool_mode = transaction
default_pool_size = 4
server_login_retry = 0.2
server_connect_timeout = 2
"""


class PgBouncer:
    """A pgbouncer in front of that server; `settings` go before those above."""

    def __init__(self, postgres: int, **settings: str) -> None:
        found = shutil.which("pgbouncer", path=os.defpath + ":/usr/sbin:" + os.environ.get("PATH", ""))
        if found is None:
            missing = pytest.fail if "CI" in os.environ else pytest.skip
            missing("no pgbouncer: install your system's package pgbouncer")
        self._program = found
        self._account = unprivileged_account()
        self._folder = Path(tempfile.mkdtemp(prefix="tracker-pgbouncer-"))
        self.port = free_port()
        users = self._folder / "users"
        users.write_text('"postgres" ""\n')
        self._settings = self._folder / "pgbouncer.ini"
        self._settings.write_text(
            SETTINGS.format(postgres=postgres, port=self.port, users=users, log=self._folder / "log")
            + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        if self._account is not None:
            for path in (self._folder, users, self._settings):
                shutil.chown(path, self._account)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-q", self._settings],
            user=self._account,
            extra_groups=None if self._account is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def close(self) -> None:
        self.end(signal.SIGKILL)
        shutil.rmtree(self._folder)


@contextmanager
def between(bench: Bench) -> Iterator[PgBouncer]:
    """Let the apps that start inside connect through it."""
    assert isinstance(bench.target, PostgresTarget)
    bouncer = PgBouncer(server(bench).port)
    bouncer.start()
    bench.afterwards.append(bouncer.close)
    bench.target.dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{bouncer.port}/{bench.target.database}"
    yield bouncer


@contextmanager
def away(bouncer: PgBouncer, how: signal.Signals) -> Iterator[None]:
    bouncer.end(how)
    yield
    bouncer.start()


@case("pgbouncer in transaction mode: 16 processes on an empty database", migrated=False)
def crowded(bench: Bench) -> None:
    with between(bench):
        for _ in range(16):
            bench.start("wait_for_start()\nwork(20)")
        bench.go()
        bench.finish()
        bench.recover()
    assert len(bench.made()) == 320


@case("pgbouncer in transaction mode, restarted")
def restarted(bench: Bench) -> None:
    with between(bench) as bouncer:
        strike(bench, away(bouncer, signal.SIGINT))


@case("pgbouncer in transaction mode, killed -9")
def killed(bench: Bench) -> None:
    with between(bench) as bouncer:
        strike(bench, away(bouncer, signal.SIGKILL))


@case("Postgres restarted behind a pgbouncer")
def restarted_behind(bench: Bench) -> None:
    with between(bench):
        bench.start()
        bench.start()
        bench.more_calls(50)
        for _ in range(3):
            server(bench).restart()
            bench.more_calls(100)
        bench.recover()


@case("pgbouncer ends our connections, one after the other")
def closing(bench: Bench) -> None:
    with between(bench) as bouncer:
        bench.start()
        bench.start()
        for _ in range(5):
            bench.more_calls(50)
            admin = psycopg2.connect(host="127.0.0.1", port=bouncer.port, user="postgres", dbname="pgbouncer")
            admin.autocommit = True
            with admin.cursor() as cursor:
                cursor.execute("RECONNECT")
            admin.close()
        bench.recover()
