"""Events in the order in which they came into the store, each once, while there is a sink that asks for them.

Transactions end in another order than they begin, and a row says nothing of when others could see it first. So each
transaction is a batch, and whoever looks first gives it its place in the order of arrival, under a lock: only what can
be seen gets a place, and what can be seen later gets a later one.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

from usage_tracker.report.dialects import open_statement
from usage_tracker.report.listing import Event, columns_of, read_event
from usage_tracker.report.statement import Statement
from usage_tracker.stores import Store
from usage_tracker.stores.arriving import read_spans
from usage_tracker.stores.store import Execute

ARRIVAL_LOCK = 0x7573616765_08
BATCHES_AT_ONCE = 50


class Arrived(NamedTuple):
    """Events of whole batches."""

    until: int
    """The place of the last batch."""
    places: list[Event | None]
    """All that came, in order; None: it was pruned since. What is pruned of a batch began before the rest, and ids are
    in the order of starts: so the rest keeps its places for whoever has a part of them."""

    @property
    def events(self) -> list[Event]:
        """Those that are there."""
        return [event for event in self.places if event is not None]


def see_batches(execute: Execute, store: Store) -> None:
    """Give new batches their places, within a transaction."""
    if store.dialect.name == "sqlite":
        execute("UPDATE usage_batch SET arrival = batch WHERE arrival IS NULL", [])
        return
    execute("SELECT pg_advisory_xact_lock(%s)", [ARRIVAL_LOCK])
    execute(
        "UPDATE usage_tracker.usage_batch SET arrival = nextval('usage_tracker.batch_arrival') WHERE arrival IS NULL",
        [],
    )


def last_arrival(execute: Execute, store: Store) -> int:
    """The place of the last batch that has one; 0 where there was none yet."""
    if store.dialect.name == "sqlite":
        row = execute("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'usage_batch'), 0)", [])
    else:
        row = execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM usage_tracker.batch_arrival", [])
    assert row is not None
    return int(str(row[0]))


def read_arrived(store: Store, after: int, until: int | None, events: int) -> Arrived | None:
    """What has come after that place: up to another one, or else whole batches of about so many events. None where
    nothing has. Raises StoreError."""
    if until is None and any_unseen(store):
        store.change(lambda execute: see_batches(execute, store))
    batches: list[tuple[int, int, int, str]] = []
    found = 0
    statement = open_statement(store.dialect)
    text = f"SELECT arrival, batch, events, spans FROM {statement.table('usage_batch')} "  # noqa: S608  our own names
    text += f"WHERE arrival > {statement.bind(after)} "
    text += "ORDER BY arrival" if until is None else f"AND arrival <= {statement.bind(until)} ORDER BY arrival"
    if until is None:
        text += f" LIMIT {statement.bind(BATCHES_AT_ONCE)}"
    for arrival, batch, count, spans in list(store.select(text, statement.parameters)):
        if until is None and batches and found + cast(int, count) > events:
            break
        found += cast(int, count)
        batches.append((cast(int, arrival), cast(int, batch), cast(int, count), cast(str, spans)))
    if not batches:
        return None
    return Arrived(batches[-1][0], read_batches(store, batches))


def any_unseen(store: Store) -> bool:
    sql = f"SELECT 1 FROM {store.dialect.prefix}usage_batch WHERE arrival IS NULL LIMIT 1"  # noqa: S608  our own name
    return any(store.select(sql))


def read_batches(store: Store, batches: Sequence[tuple[int, int, int, str]]) -> list[Event | None]:
    """Their events, batch by batch, in the order of ids."""
    found: dict[int, list[Event]] = {batch: [] for _, batch, _, _ in batches}
    statement = open_statement(store.dialect)
    events = statement.table("arrived") if store.dialect.name == "postgres" else statement.events
    columns = ", ".join(["batch", *columns_of(statement)])
    text = (
        f"SELECT {columns} FROM {events} WHERE batch IN ({', '.join(map(statement.bind, found))}) "  # noqa: S608
        f"AND ({write_spans(statement, [spans for *_, spans in batches])})"
    )
    for batch, *values in store.select(text, statement.parameters):
        found[cast(int, batch)].append(read_event(statement, values))
    places: list[Event | None] = []
    for _, batch, count, _ in batches:
        there = sorted(found[batch], key=lambda event: str(event["event_id"]))
        places += [None] * (count - len(there))
        places += there
    return places


def write_spans(statement: Statement, texts: Sequence[str]) -> str:
    """Where the events are: with it, they are found by the index of `started_at`."""
    spans: list[list[int]] = []
    for since, until in sorted(span for text in texts for span in read_spans(text)):
        if spans and since <= spans[-1][1] + 1:
            spans[-1][1] = max(until, spans[-1][1])
        else:
            spans.append([since, until])
    return " OR ".join(
        f"started_at BETWEEN {statement.bind_instant(since, 'started_at')} "
        f"AND {statement.bind_instant(until, 'started_at')}"
        for since, until in spans
    )
