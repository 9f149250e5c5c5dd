"""Where ClickHouse is, out of a DSN."""

from typing import NamedTuple
from urllib.parse import unquote

from usage_tracker.dsn import CLICKHOUSE, Dsn


class Host(NamedTuple):
    name: str
    port: int


class Address(NamedTuple):
    hosts: tuple[Host, ...]
    """Replicas of one shard, tried in this order."""
    tls: bool
    user: str
    password: str
    database: str
    cluster: str | None
    """The cluster whose replicas and shards keep the tables; None: one server does."""
    shown: str
    """For people: without secrets."""


def address_of(dsn: Dsn) -> Address:
    found = CLICKHOUSE.fullmatch(dsn.text)
    assert found is not None, "checked when it was parsed"
    tls = found["scheme"].lower() == "clickhouses"
    return Address(
        tuple(host_of(text, 8443 if tls else 8123) for text in found["hosts"].split(",")),
        tls,
        unquote(found["user"] or "default"),
        unquote(found["password"] or ""),
        found["database"] or "default",
        found["cluster"],
        dsn.shown,
    )


def host_of(text: str, default: int) -> Host:
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return Host(text.strip("[]"), default)
    return Host(name.strip("[]"), int(port))
