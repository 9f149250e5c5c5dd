"""What each step takes in a store that holds ten thousand events, a hundred thousand, a million: a cost that grows with
what is there shows here.

    python benchmarks/growth.py [--most N] [--rounds N] [--server DSN] [--write]

For each size a database of its own is filled by SQL, as `report.py` fills its own. Then this process appends calls to
its journal, as many as the smallest size has, and ships them into that store, and the reports are asked for: CPU time
per event of the app's thread, of the leader and of the server, and per question of the server. `--most 10000000` adds
the largest size, which takes some minutes to fill. `--write` puts the table into RESULTS.md. Linux only.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import results
from ingest import backend_clock
from report import cursor_of, database, server
from report_stores import DAYS, fill_postgres
from spooled_events import Calls

from usage_tracker.dsn import parse_dsn
from usage_tracker.journal import Journal, Spool
from usage_tracker.lazy_pricer import LazyPricer
from usage_tracker.report import Query, run
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store, open_store

SMALLEST = 10_000
QUESTIONS = {"by model": ("model",), "by day and model": ("day", "model"), "by user": ("user",)}


class Found(NamedTuple):
    """CPU times: µs per event, and ms per question."""

    append: float
    leader: float
    server: float
    folding: float
    questions: tuple[float, ...]


def at_size(events: int, rounds: int, address: str) -> Found:
    """With that many events in the store."""
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
    with database(address) as dsn, tempfile.TemporaryDirectory() as folder:
        with cursor_of(dsn) as cursor:
            fill_postgres(cursor, events, first)
            cursor.execute("VACUUM ANALYZE")
        with closing(open_store(parse_dsn(dsn))) as store:
            clock = backend_clock(store)
            shipped = [ship(Path(folder) / str(place), store, clock) for place in range(rounds)]
            ends = (first, first + timedelta(days=DAYS))
            asked = tuple(ask(store, Query(*ends, by), clock, rounds) for by in QUESTIONS.values())
    return Found(*(statistics.median(each) for each in zip(*shipped, strict=True)), questions=asked)


def ship(spool: Path, store: Store, clock: Callable[[], float]) -> tuple[float, ...]:
    """As many calls as the smallest size has: appended, stored, folded."""
    calls = list(Calls().make(SMALLEST, 3600.0))
    journal = Journal(Spool(spool))
    started = time.thread_time()
    for origin, event in calls:
        journal.append(origin, event)
    append = time.thread_time() - started
    journal.close()
    shipper = Shipper(Spool(spool), lambda: store, LazyPricer(None), 5000)
    assert shipper.spool.lead()
    shipper.connect()
    shipper._prices.load()
    client, backend = time.process_time(), clock()
    while shipper.step():
        pass
    client, stored = time.process_time() - client, clock()
    shipper.fold()
    per_event = 1e6 / SMALLEST
    return (
        append * per_event,
        client * per_event,
        (stored - backend) * 1e3 / SMALLEST,
        (clock() - stored) * 1e3 / SMALLEST,
    )


def ask(store: Store, query: Query, clock: Callable[[], float], rounds: int) -> float:
    """The quickest of the rounds, after one that has warmed up."""
    spent = []
    for _ in range(rounds + 1):
        before = clock()
        run(store, query)
        spent.append(clock() - before)
    return min(spent[1:])


def rows(sizes: list[int], rounds: int, address: str) -> Iterator[list[str]]:
    for size in sizes:
        found = at_size(size, rounds, address)
        steps = [f"{value:.1f}" for value in found[:4]]
        yield [f"{size:,}", *steps, *(f"{value:.0f}" for value in found.questions)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", help="a DSN of keywords, with a dbname, whose role may create databases")
    options = results.asked(parser)
    sizes = [size for size in (SMALLEST, 100_000, 1_000_000, 10_000_000) if size <= options.most]
    head = ["events in the store", "append, µs", "leader, µs", "server, µs", "folding, µs"]
    head += [f"{name}, ms" for name in QUESTIONS]
    with server(options.server) as address:
        text = results.table(head, list(rows(sizes, options.rounds, address)))
    said = f"{results.environment()}. CPU time; per event, of {SMALLEST:,} that come on top, and per question."
    results.publish("growth", f"{said}\n\n{text}", options.write)


if __name__ == "__main__":
    main()
