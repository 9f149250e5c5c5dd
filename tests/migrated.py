"""Stores with their schema, and none that stays open."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import Store, open_store


@contextmanager
def migrated(dsn: str) -> Iterator[Store]:
    with closing(open_store(parse_dsn(dsn))) as store:
        store.migrate()
        yield store
