"""Taking old events out of ClickHouse: a mutation writes the parts anew that have some, while others go on."""
# ruff: noqa: S608  names of tables and columns are our own

import time
from collections.abc import Iterator

from usage_tracker.errors import StoreUnavailable
from usage_tracker.stores.clickhouse.literals import literal
from usage_tracker.stores.clickhouse.schema import own_table
from usage_tracker.stores.clickhouse.server import Server
from usage_tracker.stores.pruning import Prunable

SECONDS = 3600
LOOK_SECONDS = 0.1


def look(server: Server, before: int) -> list[Prunable]:
    """What would go: events that started before that microsecond. Raises StoreError."""
    [(events,)] = server.select(f"SELECT count() FROM usage PREWHERE grain = 'event' WHERE at < {before}")
    gone = int(str(events))
    if not gone:
        return []
    [(rows, size)] = server.select(
        "SELECT toInt64(sum(rows)) AS r, toInt64(sum(bytes_on_disk)) AS b FROM system.parts "
        f"WHERE active AND database = {literal(server.address.database)} AND table = {literal(own_table(server))}"
    )
    return [Prunable("usage", False, gone, max(1, int(str(size)) * gone // max(1, int(str(rows)))))]


def prune(server: Server, before: int) -> Iterator[int]:
    """Take them out; how many went. Raises StoreError."""
    found = look(server, before)
    if not found:
        return
    table, cluster = own_table(server), server.address.cluster
    everywhere = "" if cluster is None else f" ON CLUSTER '{cluster}'"
    server.run(f"ALTER TABLE {table}{everywhere} DELETE WHERE grain = 'event' AND at < {before}")
    deadline = time.monotonic() + SECONDS
    while look(server, before):
        if time.monotonic() > deadline:
            raise StoreUnavailable("ClickHouse is still taking events out; it goes on by itself")
        time.sleep(LOOK_SECONDS)
    yield found[0].events
