"""Events come out of the store in the order in which they came in, each once, however transactions overlap."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from made_events import NOON, made_event, store_events
from migrated import migrated

from usage_tracker.dsn import parse_dsn
from usage_tracker.report.arrivals import last_arrival, read_arrived
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.arriving import SPANS_AT_MOST, read_spans, spans_of

SINK = "INSERT INTO {}sink (name, shown, arrival, began_at) VALUES ('test', 'test', 0, 0)"


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with migrated(dsn) as opened:
        yield opened


def await_a_sink(store: Store) -> None:
    store.change(lambda execute: execute(SINK.format(store.dialect.prefix), []))


def arrive(store: Store, count: int) -> list[str]:
    events = [made_event(NOON + timedelta(seconds=place)) for place in range(count)]
    store_events(store, events)
    return [str(event.event_id) for event in events]


def read_all(store: Store, at_once: int = 10) -> list[list[str]]:
    found, after = [], 0
    while (arrived := read_arrived(store, after, None, at_once)) is not None:
        found.append([event["event_id"] for event in arrived.events])
        after = arrived.until
    return found


def test_batches_come_whole_and_in_their_order(store: Store) -> None:
    await_a_sink(store)
    batches = [arrive(store, count) for count in (3, 4, 30, 1)]
    found = read_all(store)
    assert [sorted(ids) for ids in found] == [
        sorted(batches[0] + batches[1]),
        sorted(batches[2]),
        sorted(batches[3]),
    ]


def test_what_was_read_is_read_again_to_the_same_place(store: Store) -> None:
    await_a_sink(store)
    arrive(store, 3)
    first = read_arrived(store, 0, None, 10)
    assert first is not None
    arrive(store, 3)
    assert read_arrived(store, 0, first.until, 10) == first


def test_without_a_sink_nothing_is_noted(store: Store) -> None:
    arrive(store, 3)
    assert list(store.select(f"SELECT count(*) FROM {store.dialect.prefix}usage_batch")) == [(0,)]
    assert list(store.select(f"SELECT count(batch) FROM {store.dialect.prefix}usage_event")) == [(0,)]
    await_a_sink(store)
    assert read_all(store) == []
    assert store.change(lambda execute: last_arrival(execute, store)) == 0


def test_calls_of_all_times_in_one_batch_are_found(store: Store) -> None:
    await_a_sink(store)
    events = [made_event(NOON - timedelta(days=days)) for days in range(40)]
    store_events(store, events)
    assert [sorted(ids) for ids in read_all(store)] == [sorted(str(event.event_id) for event in events)]


def test_columns_are_those_of_the_events(store: Store) -> None:
    from usage_tracker.report import list_events

    await_a_sink(store)
    store_events(store, [made_event(cost="0.25", tags=("a", "b"), user_id="u-1", units={"images": 2.0})])
    arrived = read_arrived(store, 0, None, 10)
    assert arrived is not None
    assert arrived.events == list(list_events(store))


def test_a_transaction_that_ends_late_is_not_passed_over(postgres_dsn: str) -> None:
    """It took its number before the other, and is seen after it."""
    import psycopg2

    with closing(open_store(parse_dsn(postgres_dsn))) as store, closing(psycopg2.connect(postgres_dsn)) as slow:
        store.migrate()
        await_a_sink(store)
        with slow.cursor() as cursor:
            cursor.execute("INSERT INTO usage_tracker.usage_batch (events, spans) VALUES (0, '0:0') RETURNING batch")
            (early,) = cursor.fetchone() or (0,)
            later = arrive(store, 2)
            [found] = read_all(store)
            assert sorted(found) == sorted(later)
            after = store.change(lambda execute: last_arrival(execute, store))
            slow.commit()
        arrived = read_arrived(store, after, None, 10)
        assert arrived is not None
        assert arrived.until > after
        assert list(store.select("SELECT batch < 2 FROM usage_tracker.usage_batch WHERE batch = %s", [early])) == [
            (True,)
        ]


def test_each_of_many_writers_events_comes_once_while_others_read(dsn: str, store: Store) -> None:
    await_a_sink(store)
    written: list[str] = []
    done = threading.Event()

    def write() -> None:
        with closing(open_store(parse_dsn(dsn))) as own:
            for count in range(1, 12):
                written.extend(arrive(own, count))

    writers = [threading.Thread(target=write) for _ in range(4)]
    readers_found: list[list[str]] = [[], []]

    def read(place: int) -> None:
        after = 0
        with closing(open_store(parse_dsn(dsn))) as own:
            while True:
                finished = done.is_set()
                arrived = read_arrived(own, after, None, 20)
                if arrived is not None:
                    readers_found[place] += [event["event_id"] for event in arrived.events]
                    after = arrived.until
                elif finished:
                    return

    readers = [threading.Thread(target=read, args=(place,)) for place in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert sorted(readers_found[0]) == sorted(written)
    assert readers_found[0] == readers_found[1]


def test_spans_hold_every_instant_and_are_few() -> None:
    second = 1_000_000
    assert spans_of([5 * second, 0, 8 * second]) == f"0:{8 * second}"
    assert read_spans(spans_of([0, 60 * second])) == [(0, 0), (60 * second, 60 * second)]
    far = [place * 3600 * second for place in range(100)] + [1 << 50]
    spans = read_spans(spans_of(far))
    assert 2 <= len(spans) <= SPANS_AT_MOST
    assert all(any(since <= instant <= until for since, until in spans) for instant in far)
