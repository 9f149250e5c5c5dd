"""The stores of the bench, as somebody sees them who only reads."""

import sqlite3
from pathlib import Path
from typing import Protocol

from postgres_server import Databases

PASSWORD = "secret-of-the-bench"


class Target(Protocol):
    """A store that the apps of one bench write to."""

    kind: str
    dsn: str

    def response_ids(self) -> list[str]:
        """Of all events that have one, doubled ones as often as they are there."""

    def rolled_up(self) -> tuple[int, int]:
        """Calls by the rows and by the rollups."""

    def close(self) -> None: ...


class PostgresTarget:
    """A database of a throw-away server."""

    kind = "postgres"

    def __init__(self, server: Databases, port: int, *, migrated: bool = True, user: str = "postgres") -> None:
        self.server = server
        self.database = server.create(migrated=migrated)
        self.dsn = f"postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/{self.database}"

    def response_ids(self) -> list[str]:
        if self.server.run("SELECT to_regclass('usage_tracker.events') IS NULL", self.database) == [(True,)]:
            return []
        sql = "SELECT response_id FROM usage_tracker.usage_event WHERE response_id IS NOT NULL"
        return [str(row[0]) for row in self.server.run(sql, self.database)]

    def rolled_up(self) -> tuple[int, int]:
        ((rows, calls),) = self.server.run(
            "SELECT (SELECT count(*) FROM usage_tracker.events), (SELECT sum(calls) FROM usage_tracker.by_day)",
            self.database,
        )
        return int(rows), int(calls or 0)

    def close(self) -> None:
        self.server.drop(self.database)


class SqliteTarget:
    """A file."""

    kind = "sqlite"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.dsn = f"sqlite:///{file}"

    def response_ids(self) -> list[str]:
        try:
            return [str(row[0]) for row in self._rows("SELECT response_id FROM events WHERE response_id IS NOT NULL")]
        except sqlite3.OperationalError:  # not there yet, or not migrated yet
            return []

    def rolled_up(self) -> tuple[int, int]:
        ((rows, calls),) = self._rows("SELECT (SELECT count(*) FROM events), (SELECT sum(calls) FROM by_day)")
        return int(str(rows)), int(str(calls or 0))

    def _rows(self, sql: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        for path in self.file.parent.glob(f"{self.file.name}*"):
            path.unlink()
