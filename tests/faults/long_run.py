"""`make faults`: every fault several times, and a hundred mixed schedules; their table goes to benchmarks/RESULTS.md.

python -m faults.long_run [--runs 3] [--mixed 100] [--calls 10000] [--seed 1] [--only WORD] [--keep FILE] [--write]
"""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from postgres_server import PostgresServer

from faults.baseline import Baseline
from faults.bench import Bench
from faults.cases import Case, all_cases
from faults.mixed import Mixed
from faults.nursery import Nursery
from faults.provider import Provider
from faults.tables import Kept, write_tables
from faults.targets import PostgresTarget, SqliteTarget, Target

MIXED = "all of these mixed at random"
MIXED_BASELINES = 3


class Broken(Exception):
    """An outcome that is not right."""


class LongRun:
    """The processes that all benches share."""

    def __init__(self, server: PostgresServer, nursery: Nursery, provider: Provider, kept: Kept) -> None:
        self.kept = kept
        self.failures: list[str] = []
        self._server = server
        self._nursery = nursery
        self._provider = provider
        self._baseline = Baseline(server, nursery, provider)

    def run_case(self, case: Case, number: int) -> None:
        def act(run: str) -> None:
            with self._bench(case) as bench:
                bench.pause = 0.001
                case.run(bench)
                self._take(run, case.name, case.group, bench)

        self._once(f"{case.name}, run {number}", act)

    def run_mixed(self, seed: int, calls: int) -> None:
        def act(run: str) -> None:
            with self._bench(None) as bench:
                bench.pause = 0.0
                Mixed(bench, seed).run(calls)
                self._take(run, MIXED, MIXED, bench)

        self._once(f"{MIXED}, seed {seed}", act)

    def run_baseline(self, case: Case) -> None:
        def act(run: str) -> None:
            self.kept.add_baseline(run, case.name, case.group, self._baseline.run_case(case))

        self._once(f"baseline of {case.name}", act)

    def run_mixed_baseline(self, seed: int, calls: int) -> None:
        def act(run: str) -> None:
            self.kept.add_baseline(run, MIXED, MIXED, self._baseline.run_mixed(seed, calls))

        self._once(f"baseline of {MIXED}, seed {seed}", act)

    def _take(self, run: str, name: str, group: str, bench: Bench) -> None:
        outcome = bench.settle()
        self.kept.add(run, name, group, outcome)
        if not outcome.right(bench.unclaimed) or outcome.left or outcome.swallowed:
            raise Broken(f"{outcome}\n{bench.said()}")

    @contextmanager
    def _bench(self, case: Case | None) -> Iterator[Bench]:
        folder = Path(tempfile.mkdtemp(prefix="tracker-faults-"))
        self._server.start()
        target: Target
        if case is not None and case.store == "sqlite":
            target = SqliteTarget(folder / "usage.db")
        else:
            target = PostgresTarget(self._server, self._server.port, migrated=case is None or case.migrated)
        bench = Bench(folder, self._nursery, self._provider, target)
        try:
            yield bench
        finally:
            bench.close()
            self._server.start()
            target.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _once(self, run: str, act: Callable[[str], None]) -> None:
        """Unless it was kept already. One failure does not end the night."""
        if run in self.kept.runs():
            return
        started = time.monotonic()
        try:
            act(run)
        except (AssertionError, Broken, OSError, psycopg2.Error):
            self.failures.append(run)
            print(f"FAILED: {run}\n{traceback.format_exc()}", flush=True)
        else:
            made = sum(row.made for row in self.kept.rows().values())
            print(f"{time.monotonic() - started:6.1f} s  {made:9,} events so far  {run}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3, help="of each fault")
    parser.add_argument("--mixed", type=int, default=100, help="seeded runs of the mixed schedule")
    parser.add_argument("--calls", type=int, default=10_000, help="of each mixed run")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--only", default="", help="faults whose names contain this")
    parser.add_argument("--keep", type=Path, help="file of the runs; those that are in it are not run again")
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md and benchmarks/RESULTS.md")
    asked = parser.parse_args()
    server, nursery = PostgresServer(), Nursery()
    server.start()
    with Provider() as provider, tempfile.TemporaryDirectory() as folder:
        kept = Kept(asked.keep or Path(folder) / "runs")
        run = LongRun(server, nursery, provider, kept)
        for case in all_cases():
            if asked.only in case.name:
                for number in range(1, asked.runs + 1):
                    run.run_case(case, number)
                if asked.baseline:
                    run.run_baseline(case)
        for seed in range(asked.seed, asked.seed + asked.mixed):
            run.run_mixed(seed, asked.calls)
            if asked.baseline and seed < asked.seed + MIXED_BASELINES:
                run.run_mixed_baseline(seed, asked.calls)
        write_tables(kept.rows([*(case.name for case in all_cases()), MIXED]), write=asked.write)
    nursery.close()
    server.close()
    if run.failures:
        sys.exit(f"not right: {', '.join(run.failures)}")


if __name__ == "__main__":
    main()
