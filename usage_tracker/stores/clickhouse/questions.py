"""A user's own SQL on ClickHouse, which may only read."""

import json
from collections.abc import Iterator

from usage_tracker.dsn import Dsn
from usage_tracker.errors import QueryError, StoreError
from usage_tracker.stores.clickhouse.address import Address, address_of
from usage_tracker.stores.clickhouse.server import CODE, CREDENTIALS, Server, translated

READ_ONLY = {"readonly": "2"}
"""Nothing but reading, with any settings."""


def read(dsn: Dsn, sql: str) -> Iterator[tuple[object, ...]]:
    """The columns' names, then the rows as they come. Raises QueryError where it can't be run, StoreError."""
    server = Server(address_of(dsn), in_its_words)
    try:
        rows = server.lines(f"{sql.strip().rstrip(';')}\nFORMAT JSONCompact", READ_ONLY)
        found = json.loads(b"\n".join(rows))
        yield tuple(column["name"] for column in found["meta"])
        for row in found["data"]:
            yield tuple(row)
    except json.JSONDecodeError:
        raise StoreError("ClickHouse broke off its answer") from None
    finally:
        server.close()


def in_its_words(said: bytes, address: Address) -> Exception:
    found = CODE.search(said)
    if found is None or int(found[1]) in CREDENTIALS:
        return translated(said, address)
    return QueryError(said.decode("utf-8", "replace").strip())
