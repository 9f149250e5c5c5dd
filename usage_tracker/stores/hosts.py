"""What the leaders of all hosts have last said of themselves: a row for each host and spool folder."""
# ruff: noqa: S608  names of tables and columns are our own

from datetime import datetime, timedelta
from typing import NamedTuple

from usage_tracker.errors import SchemaError
from usage_tracker.stores.changes import read_moment
from usage_tracker.stores.store import Execute, Store
from usage_tracker.stores.values import storable

NOW = {"postgres": "clock_timestamp()", "sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"}


def now_in(store: Store) -> str:
    """The store's own time, in SQL, so that hosts with another one are not thought to be silent. Raises SchemaError for
    a store that knows nothing of hosts, as it has no transaction in which one row takes the place of another."""
    if (found := NOW.get(store.dialect.name)) is None:
        raise SchemaError(f"a store in {store.dialect.name} keeps nothing of how hosts fare")
    return found


class Said(NamedTuple):
    host: str
    spool: str
    ago: timedelta
    report: str
    """JSON."""


def put_report(store: Store, host: str, spool: str, report: str) -> None:
    """In the place of the one before. Raises StoreError."""
    prefix, mark, now = store.dialect.prefix, store.dialect.placeholder, now_in(store)
    sql = (
        f"INSERT INTO {prefix}host_report (host, spool, reported_at, report) VALUES ({mark}, {mark}, {now}, {mark}) "
        "ON CONFLICT (host, spool) DO UPDATE SET reported_at = excluded.reported_at, report = excluded.report"
    )

    def put(execute: Execute) -> None:
        execute(sql, [storable(host), storable(spool), report])  # a folder's name need not be text

    store.change(put)


def read_reports(store: Store) -> list[Said]:
    """By host and folder. Raises StoreError."""
    sql = (
        f"SELECT host, spool, reported_at, {now_in(store)}, report FROM {store.dialect.prefix}host_report "
        "ORDER BY host, spool"
    )
    return [
        Said(str(host), str(spool), elapsed(read_moment(at), read_moment(now)), str(report))
        for host, spool, at, now, report in store.select(sql)
    ]


def elapsed(at: datetime, now: datetime) -> timedelta:
    return max(timedelta(), now - at)
