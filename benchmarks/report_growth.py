"""How much longer reports take for more events over the same days, users, models and projects: they should not.

    python benchmarks/report_growth.py [--events N,N,…] [--rounds N] [--write]
    python benchmarks/report_growth.py --filled DSN --filled DSN … [--rounds N] [--write]

Fills a throw-away Postgres with each number of made-up events, and SQLite files with the same ones, and asks all of
them the same questions about all of their 90 days. `--filled` names stores that are filled already, so that a long
fill is done once. Prints, for each question and each number of events, the CPU time of its statements in the database,
and of the whole command; the quickest of several rounds. `--write` puts the tables into RESULTS.md. Linux only.
"""

import argparse
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from report import QUESTIONS, cursor_of, database, database_ms, process_ms, server, write_between
from report_stores import DAYS, fill_postgres, fill_sqlite

from usage_tracker.dsn import parse_dsn
from usage_tracker.report import Query, run
from usage_tracker.stores import open_store

KINDS = {"postgresql": "Postgres", "sqlite": "SQLite"}


class Filled(NamedTuple):
    """A store with made-up events."""

    kind: str
    events: int
    dsn: str
    first_day: datetime


def look(dsn: str) -> Filled:
    """What is in a store."""
    found = parse_dsn(dsn)
    with closing(open_store(found)) as store:
        report = run(store, Query(by=("day",)))
    first_day = datetime.fromisoformat(f"{report.rows[0].group[0]}").replace(tzinfo=UTC)
    return Filled(KINDS[found.scheme], report.total.calls, dsn, first_day)


@contextmanager
def fill(sizes: Sequence[int]) -> Iterator[list[str]]:
    """The DSNs of stores with so many events each."""
    with server(None) as address, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found = []
        for events in sizes:
            dsn, file = stack.enter_context(database(address)), f"{folder}/{events}.db"
            with closing(open_store(parse_dsn(f"sqlite:///{file}"))) as store:
                store.migrate()
            with cursor_of(dsn) as cursor:
                fill_postgres(cursor, events)
                fill_sqlite(cursor, file)
                cursor.execute("VACUUM ANALYZE")
            found += [dsn, f"sqlite:///{file}"]
        yield found


class Took(NamedTuple):
    """Milliseconds of CPU."""

    database: float
    process: float


def measure(rounds: int, stores: Sequence[Filled]) -> Iterator[str]:
    """The lines of the tables, one for each kind of store."""
    for kind, found in groupby(sorted(stores), key=lambda store: store.kind):
        same = list(found)
        sizes = [f"{store.events:,}" for store in same]
        commands = " | ".join(f"command, {size}" for size in sizes)
        yield from ("", f"| In {kind} | {' | '.join(sizes)} | most : least | {commands} |")
        yield f"|---|{'---:|' * (2 * len(same) + 1)}"
        for asked in QUESTIONS:
            took = [ask(rounds, store, asked.words, asked.query) for store in same]
            figures = [f"{each.database:,.0f}" for each in took]
            figures.append(f"{took[-1].database / took[0].database:.2f}")
            figures += [f"{each.process:,.0f}" for each in took]
            yield f"| `{' '.join(asked.words)}` | {' | '.join(figures)} |"


def ask(rounds: int, store: Filled, words: Sequence[str], query: Query) -> Took:
    after = store.first_day + timedelta(days=DAYS)
    days = ("--since", f"{store.first_day:%Y-%m-%d}", "--until", f"{after - timedelta(days=1):%Y-%m-%d}")
    return Took(
        database_ms(rounds, store.dsn, replace(query, since=store.first_day, until=after)),
        process_ms(rounds, store.dsn, words, days).cpu,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", default="1000000,10000000", help="numbers of events, with commas between them")
    parser.add_argument("--filled", action="append", help="the DSN of a store that is filled already; repeatable")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = [f"Python {platform.python_version()}; ms of CPU, the quickest of {options.rounds} rounds."]
    print(lines[0], flush=True)
    with ExitStack() as stack:
        dsns = options.filled or stack.enter_context(fill([int(text) for text in options.events.split(",")]))
        for line in measure(options.rounds, [look(dsn) for dsn in dsns]):
            print(line, flush=True)
            lines.append(line)
    if options.write:
        write_between("report growth", ["", *lines, ""])


if __name__ == "__main__":
    main()
