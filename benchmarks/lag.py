"""How long after a call a report counts it.

    python benchmarks/lag.py [--rate N] [--seconds N] [--rounds N] [--server DSN] [--write]

An app makes 1,000 calls a second and ships them with its own thread, or with `usage-tracker ship`; beside it, the total
of a report is read every 20 ms from the same store, Postgres or SQLite. An event is visible at the first report that
counts as many calls as had returned with it. Prints the median and the 99th percentile over all calls.
"""

import argparse
import os
import platform
import statistics
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Self

from neighbour import SIDECAR, THREAD, environment, percentile, run_app, sidecar
from report import database, server, write_between

from usage_tracker.dsn import parse_dsn
from usage_tracker.report import Query, run
from usage_tracker.stores import open_store

PAUSE = 0.02


class Watching:
    """Reads the total again and again, until told to stop."""

    def __init__(self, dsn: str) -> None:
        self.seen: list[tuple[int, float]] = []
        """(calls, when the report that counted them was there)."""
        self._dsn = dsn
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        with closing(open_store(parse_dsn(self._dsn))) as store:
            while not self._done.wait(PAUSE):
                calls = run(store, Query(by=())).total.calls
                if not self.seen or calls > self.seen[-1][0]:
                    self.seen.append((calls, time.monotonic()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def lags(dsn: str, rate: float, seconds: float, who: str) -> list[float]:
    """Of each call, in seconds, the shortest first."""
    with tempfile.TemporaryDirectory() as folder, closing(open_store(parse_dsn(dsn))) as store:
        store.migrate()
        spool = Path(folder) / "spool"
        own = who == THREAD
        with sidecar(spool, dsn) if not own else nullcontext(), Watching(dsn) as watching:
            found = run_app(rate, seconds, environment(spool, dsn if own else None, ship=own), objects=0)
            made = found["warm_up"] + len(found["returned"])
            deadline = time.monotonic() + 30
            while (not watching.seen or watching.seen[-1][0] < made) and time.monotonic() < deadline:
                time.sleep(PAUSE)
    totals = [calls for calls, _ in watching.seen]
    assert totals[-1] == made, f"{made} calls, but {totals[-1]} are counted"
    return sorted(
        watching.seen[bisect_left(totals, found["warm_up"] + place)][1] - returned
        for place, returned in enumerate(found["returned"], 1)
    )


def table(rate: float, seconds: float, rounds: int, address: str) -> Iterator[str]:
    for store in ("Postgres", "SQLite"):
        for who in (THREAD, SIDECAR):
            found = []
            for _ in range(rounds):
                with database(address) as dsn, tempfile.TemporaryDirectory() as folder:
                    place = dsn if store == "Postgres" else f"sqlite:///{folder}/usage.db"
                    found.append(lags(place, rate, seconds, who))
            middle = [statistics.median(percentile(each, share) for each in found) for share in (0.5, 0.99, 1.0)]
            yield f"| {store} | {who} | {' | '.join(f'{value * 1000:,.0f}' for value in middle)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help="a DSN of keywords, with a dbname, whose role may create databases")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = [
        "",
        (f"{options.rate:,.0f} calls a second for {options.seconds:g} s; Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, medians of {options.rounds} rounds; ms from the return of a call to the report."),
        "",
        "| store | who ships | p50 | p99 | longest |",
        "|---|---|---:|---:|---:|",
    ]  # fmt: skip
    print("\n".join(lines[1:]), flush=True)
    with server(options.server) as address:
        for line in table(options.rate, options.seconds, options.rounds, address):
            print(line, flush=True)
            lines.append(line)
    if options.write:
        write_between("lag", [*lines, ""])


if __name__ == "__main__":
    main()
