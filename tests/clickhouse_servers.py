"""A throw-away ClickHouse for tests: the newest engine, out of chdb, which the package index has."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from ports import free_port

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.stores import open_store

PASSWORD = "tom & jerry's"
START_SECONDS = 60.0


class ChdbServer:
    """The server, in a process of its own, so that it can be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def dsn(self, database: str) -> str:
        return f"clickhouse://default:tom%20%26%20jerry's@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        script = Path(__file__).with_name("chdb_server.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self._folder / "data"), PASSWORD], cwd=self._folder
        )
        wait_until_there(self.dsn("default"))

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def wait_until_there(dsn: str) -> None:
    store, deadline = open_store(parse_dsn(dsn)), time.monotonic() + START_SECONDS
    while True:
        try:
            list(store.select("SELECT 1"))
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            break
    store.close()


@pytest.fixture(scope="session")
def chdb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbServer]:
    server = ChdbServer(tmp_path_factory.mktemp("chdb"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def migrated_clickhouse_dsn(chdb_server: ChdbServer) -> str:
    dsn = chdb_server.dsn(f"usage_{uuid4().hex}")
    store = open_store(parse_dsn(dsn))
    store.migrate()
    store.close()
    return dsn


@pytest.fixture
def clickhouse_dsn(migrated_clickhouse_dsn: str) -> str:
    """The address of a database with the schema and nothing in it."""
    store = open_store(parse_dsn(migrated_clickhouse_dsn))
    list(store.select("SELECT 1"))
    store._server.run("TRUNCATE TABLE usage")  # type: ignore[attr-defined]  # no store has a request for that
    store.close()
    return migrated_clickhouse_dsn


@pytest.fixture
def empty_clickhouse_dsn(chdb_server: ChdbServer) -> str:
    """The address of a database that isn't there yet."""
    return chdb_server.dsn(f"usage_{uuid4().hex}")
