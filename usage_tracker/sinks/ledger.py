"""How far each sink is, in the store: so a sink goes on where it was, whoever feeds it, and is fed by one at a time."""
# ruff: noqa: S608  names of tables and columns are our own

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, cast

from usage_tracker.errors import ConfigError
from usage_tracker.report.arrivals import last_arrival, see_batches
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.stores import Store
from usage_tracker.stores.claims import is_dead, is_valid, shown
from usage_tracker.stores.clock import clock, clock_within
from usage_tracker.stores.store import Execute

LEASE_SECONDS = 60.0
"""How long a sink is one feeder's without a word from it, by the store's clock: longer than an attempt."""


class Place(NamedTuple):
    """Where a sink is: columns of its row."""

    arrival: int
    until: int | None
    done: int
    state: bytes | None
    at_once: int | None
    """So many events are sent at once, since the receiver has refused more; None: as many as the sink takes."""
    ahead: int
    """So many places from here on are asked about again: all were refused, and then the one after them was taken."""
    suspects: int
    """So many places from here on were refused, each by itself, and none was taken after them yet."""


class Lost(Exception):
    """Somebody else feeds the sink by now."""


def register(store: Store, address: SinkAddress) -> None:
    """Make a sink known, unless it is: it gets what comes from now on. Raises StoreError, and ConfigError for a store
    that knows no order in which events came."""
    if store.dialect.name == "clickhouse":
        raise ConfigError(
            f"the sink {address.name} gets nothing from ClickHouse: sinks are fed from Postgres or SQLite"
        )
    mark, table = store.dialect.placeholder, f"{store.dialect.prefix}sink"
    known = list(store.select(f"SELECT shown FROM {table} WHERE name = {mark}", [address.name]))
    if known == [(address.shown,)]:
        return

    def insert(execute: Execute) -> None:
        see_batches(execute, store)
        execute(
            f"INSERT INTO {table} (name, shown, arrival, began_at) VALUES ({store.dialect.marks(4)}) "
            "ON CONFLICT (name) DO UPDATE SET shown = excluded.shown",
            [address.name, address.shown, last_arrival(execute, store), time.time()],
        )

    store.change(insert)


def take(store: Store, name: str, claim: str) -> Place | None:
    """Claim a sink; None where somebody else has it. Raises StoreError, and Lost where it is not known any more."""
    mark, table = store.dialect.placeholder, f"{store.dialect.prefix}sink"

    def change(execute: Execute) -> Place | None:
        row = execute(
            f"SELECT claim, claimed_until, {', '.join(Place._fields)} FROM {table} WHERE name = {mark}"
            + store.dialect.for_update(),
            [name],
        )
        if row is None:
            raise Lost
        holder, until, *fields = row
        now = clock_within(execute, store.dialect)
        if holder not in (None, claim) and holds(cast(str, holder), cast(float, until), now):
            return None
        execute(
            f"UPDATE {table} SET claim = {mark}, claimed_until = {mark} WHERE name = {mark}",
            [claim, now + LEASE_SECONDS, name],
        )
        place = Place(*fields)  # type: ignore[arg-type]  # as the table has them
        return place if place.state is None else place._replace(state=bytes(place.state))  # of Postgres a memoryview

    return store.change(change)


def holds(claim: str, until: float, now: float) -> bool:
    return is_valid(until, now, LEASE_SECONDS) and not is_dead(claim)


def note(
    store: Store,
    name: str,
    claim: str,
    changes: Mapping[str, object],
    sent: int = 0,
    refused: Sequence[tuple[str, str]] = (),
) -> None:
    """Change a sink's row, and keep the claim. `refused`: events that it won't get, and why. Raises StoreError, and
    Lost where somebody else has it."""
    mark, table = store.dialect.placeholder, f"{store.dialect.prefix}sink"

    def change(execute: Execute) -> None:
        row = execute(f"SELECT claim FROM {table} WHERE name = {mark}{store.dialect.for_update()}", [name])
        if row is None or row[0] != claim:
            raise Lost
        names = ["claimed_until", *changes]
        execute(
            f"UPDATE {table} SET {', '.join(f'{column} = {mark}' for column in names)}, events = events + {mark} "
            f"WHERE name = {mark}",
            [clock_within(execute, store.dialect) + LEASE_SECONDS, *changes.values(), sent, name],
        )
        for event_id, reason in refused:
            execute(
                f"INSERT INTO {table}_refused (name, event_id, refused_at, reason) "
                f"VALUES ({store.dialect.marks(4)}) ON CONFLICT DO NOTHING",
                [name, event_id, time.time(), reason],
            )

    store.change(change)


def release(store: Store, name: str, claim: str) -> None:
    """Let the next one have it. Raises StoreError."""
    with suppress(Lost):
        note(store, name, claim, {"claim": None})


KEPT_SECONDS = 86_400.0


def forget_batches(store: Store) -> None:
    """Forget which events came together, once all sinks have had them for a day. Raises StoreError."""
    mark, prefix = store.dialect.placeholder, store.dialect.prefix
    sql = (
        f"DELETE FROM {prefix}usage_batch "
        f"WHERE arrival <= (SELECT min(arrival) FROM {prefix}sink) AND stored_at < {mark}"
    )
    store.change(lambda execute: execute(sql, [clock_within(execute, store.dialect) - KEPT_SECONDS]))


def forget_sink(store: Store, name: str) -> bool:
    """Whether there was one. It is nobody's any more; without any, events are not noted by batches. Raises
    StoreError."""
    if store.dialect.name == "clickhouse":
        return False  # which feeds none
    mark, prefix = store.dialect.placeholder, store.dialect.prefix

    def change(execute: Execute) -> bool:
        there = execute(f"SELECT 1 FROM {prefix}sink WHERE name = {mark}", [name]) is not None
        for table in ("sink", "sink_refused"):
            execute(f"DELETE FROM {prefix}{table} WHERE name = {mark}", [name])
        if execute(f"SELECT 1 FROM {prefix}sink LIMIT 1", []) is None:
            execute(f"DELETE FROM {prefix}usage_batch", [])
        return there

    return store.change(change)


class Standing(NamedTuple):
    """A sink as its keepers want to know it. Times are in seconds since 1970."""

    name: str
    shown: str
    events: int
    """What it has got since it is known."""
    waiting: int
    """Events that it has not."""
    waiting_since: float | None
    """When the oldest of them came."""
    began_at: float
    sent_at: float | None
    problem: str | None
    fed_by: str | None
    """The machine and process that feeds it now."""
    refused: int
    """Events that its receiver has refused for good."""
    refused_at: float | None
    """When it refused the last of them."""


def standings(store: Store) -> list[Standing]:
    """All sinks, by name. Raises StoreError."""
    if store.dialect.name == "clickhouse":
        return []  # which feeds none
    prefix = store.dialect.prefix
    sql = (
        "SELECT s.name, s.shown, s.events, coalesce(sum(b.events), 0), min(b.stored_at), s.began_at, s.sent_at, "
        f"s.problem, s.claim, s.claimed_until, s.done + CASE WHEN s.ahead > 0 THEN 1 ELSE 0 END, "
        f"coalesce(r.events, 0), r.last_at FROM {prefix}sink s "
        f"LEFT JOIN {prefix}usage_batch b ON b.arrival > s.arrival OR b.arrival IS NULL "
        "LEFT JOIN (SELECT name, count(*) AS events, max(refused_at) AS last_at "
        f"FROM {prefix}sink_refused GROUP BY name) r ON r.name = s.name "
        "GROUP BY s.name, s.shown, s.events, s.began_at, s.sent_at, s.problem, s.claim, s.claimed_until, s.done, "
        "s.ahead, r.events, r.last_at "
        "ORDER BY s.name"
    )
    found, now = [], clock(store)
    for name, address, events, waiting, since, began, sent, problem, claim, until, done, *refused in store.select(sql):
        fed = claim is not None and holds(cast(str, claim), cast(float, until), now)
        found.append(
            Standing(
                cast(str, name),
                cast(str, address),
                cast(int, events),
                int(str(waiting)) - cast(int, done),
                cast(float | None, since),
                cast(float, began),
                cast(float | None, sent),
                cast(str | None, problem),
                shown(cast(str, claim)) if fed else None,
                cast(int, refused[0]),
                cast(float | None, refused[1]),
            )
        )
    return found


class Refusal(NamedTuple):
    """An event that a sink goes on without."""

    event_id: str
    refused_at: float
    reason: str


def refusals(store: Store, name: str) -> Iterator[Refusal]:
    """What the receiver of a sink has refused for good, the latest first. Raises StoreError."""
    mark, prefix = store.dialect.placeholder, store.dialect.prefix
    sql = (
        f"SELECT event_id, refused_at, reason FROM {prefix}sink_refused WHERE name = {mark} "
        "ORDER BY refused_at DESC, event_id DESC"
    )
    for event_id, refused_at, reason in store.select(sql, [name]):
        yield Refusal(cast(str, event_id), cast(float, refused_at), cast(str, reason))
