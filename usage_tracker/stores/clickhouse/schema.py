"""The database as migrations see it.

Statements are no transaction, so each may be run again, and two processes that migrate at once do no harm.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from string import Template

from usage_tracker.errors import SchemaError, StoreError
from usage_tracker.stores.clickhouse.columns import COLUMNS, MAY_BE_UNKNOWN, SUMMED
from usage_tracker.stores.clickhouse.literals import literal
from usage_tracker.stores.clickhouse.server import Server
from usage_tracker.stores.migrations import Migration


def own_table(server: Server) -> str:
    """The table of this shard, which is written to. `usage` is that of all shards."""
    return "usage" if server.address.cluster is None else "usage_shard"


class ClickHouseSchema:
    def __init__(self, server: Server) -> None:
        self._server = server

    def applied(self) -> set[int]:
        try:
            rows = list(self._server.select("SELECT number FROM schema_migration"))
        except SchemaError:
            return set()
        return {int(str(number)) for (number,) in rows}

    @contextmanager
    def locked(self) -> Iterator[None]:
        server = self._server
        problem = server.version.problem(replicated=server.address.cluster is not None)
        if problem is not None:
            raise StoreError(problem)
        words = self._words()
        database = f"CREATE DATABASE IF NOT EXISTS {server.address.database}{words['on_cluster']}"
        server.run(database, database=False)
        server.run(
            Template(
                "CREATE TABLE IF NOT EXISTS schema_migration$on_cluster (number Int32, name String, "
                "applied_at DateTime DEFAULT now()) ENGINE = ${replicated}MergeTree${migrations} ORDER BY number"
            ).substitute(words)
        )
        yield

    def apply(self, migration: Migration) -> None:
        words = self._words()
        for statement in statements(Template(migration.sql).substitute(words), sharded="usage_shard" in words["shard"]):
            self._server.run(statement)
        self._server.run(
            f"INSERT INTO schema_migration (number, name) VALUES ({migration.number}, {literal(migration.name)})"  # noqa: S608  our own
        )

    def _words(self) -> dict[str, str]:
        """What differs between one server and a cluster, and between versions."""
        address, version = self._server.address, self._server.version
        cluster = address.cluster
        place = f"/clickhouse/tables/{{shard}}/{address.database}"
        return {
            "on_cluster": "" if cluster is None else f" ON CLUSTER '{cluster}'",
            "cluster": cluster or "",
            "database": address.database,
            "shard": own_table(self._server),
            "replicated": "" if cluster is None else "Replicated",
            "migrations": "()" if cluster is None else f"('{place}/schema_migration', '{{replica}}')",
            "usage": "" if cluster is None else f"'{place}/usage', '{{replica}}', ",
            "window": version.window(replicated=cluster is not None),
            "started_at": version.instant("at"),
            "summed": ", ".join(SUMMED),
            "columns": ",\n    ".join(f"{name} {kind}" for name, kind in COLUMNS),
            **{
                f"known_{name}": f"if(bitTest(known, {bit}), {name}, NULL) AS {name}"
                for bit, name in enumerate(MAY_BE_UNKNOWN)
            },
        }


def statements(script: str, *, sharded: bool) -> Iterator[str]:
    """One by one, without comments. Those after `-- cluster:` are for clusters alone."""
    for part in re.split(r";\n", script):
        only = "-- cluster:" in part
        statement = re.sub(r"^--.*\n?", "", part, flags=re.MULTILINE).strip()
        if statement and (sharded or not only):
            yield statement
