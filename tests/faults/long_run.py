"""`make faults`: every fault several times, and a hundred mixed schedules; their table goes to benchmarks/RESULTS.md.

python -m faults.long_run [--runs 3] [--mixed 100] [--calls 10000] [--seed 1] [--only WORD] [--write]
"""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postgres_server import PostgresServer

from faults.baseline import Baseline
from faults.bench import Bench, Outcome
from faults.cases import Case, all_cases
from faults.mixed import Mixed
from faults.nursery import Nursery
from faults.provider import Provider
from faults.tables import Row, write_tables
from faults.targets import PostgresTarget, SqliteTarget, Target

MIXED = "all of these mixed at random"
MIXED_BASELINES = 5


class Broken(Exception):
    """An outcome that is not right."""


class LongRun:
    """The processes that all benches share."""

    def __init__(self, server: PostgresServer, nursery: Nursery, provider: Provider) -> None:
        self.rows: dict[str, Row] = defaultdict(Row)
        self.failures: list[str] = []
        self._server = server
        self._nursery = nursery
        self._provider = provider
        self._baseline = Baseline(server, nursery, provider)

    def run_case(self, case: Case) -> None:
        with self._counted(case.name), self._bench(case) as bench:
            bench.pause = 0.001
            case.run(bench)
            self._take(case.name, case.group, bench)

    def run_mixed(self, seed: int, calls: int) -> None:
        with self._counted(f"{MIXED}, seed {seed}"), self._bench(None) as bench:
            bench.pause = 0.0
            Mixed(bench, seed).run(calls)
            self._take(MIXED, MIXED, bench)

    def run_baseline(self, case: Case) -> None:
        with self._counted(f"baseline of {case.name}"):
            self.rows[case.name].add_baseline(self._baseline.run_case(case))

    def run_mixed_baseline(self, seed: int, calls: int) -> None:
        with self._counted(f"baseline of {MIXED}, seed {seed}"):
            self.rows[MIXED].add_baseline(self._baseline.run_mixed(seed, calls))

    def _take(self, name: str, group: str, bench: Bench) -> None:
        outcome: Outcome = bench.settle()
        self.rows[name].add(group, outcome)
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

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        """One failure does not end the night."""
        started = time.monotonic()
        try:
            yield
        except (AssertionError, Broken):
            self.failures.append(name)
            print(f"FAILED: {name}\n{traceback.format_exc()}", flush=True)
        else:
            made = sum(row.made for row in self.rows.values())
            print(f"{time.monotonic() - started:6.1f} s  {made:9,} events so far  {name}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3, help="of each fault")
    parser.add_argument("--mixed", type=int, default=100, help="seeded runs of the mixed schedule")
    parser.add_argument("--calls", type=int, default=10_000, help="of each mixed run")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--only", default="", help="faults whose names contain this")
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md and benchmarks/RESULTS.md")
    asked = parser.parse_args()
    server, nursery = PostgresServer(), Nursery()
    server.start()
    with Provider() as provider:
        run = LongRun(server, nursery, provider)
        for case in all_cases():
            if asked.only in case.name:
                for _ in range(asked.runs):
                    run.run_case(case)
                if asked.baseline:
                    run.run_baseline(case)
        for seed in range(asked.seed, asked.seed + asked.mixed):
            run.run_mixed(seed, asked.calls)
            if asked.baseline and seed < asked.seed + MIXED_BASELINES:
                run.run_mixed_baseline(seed, asked.calls)
    nursery.close()
    server.close()
    write_tables(run.rows, write=asked.write)
    if run.failures:
        sys.exit(f"not right: {', '.join(run.failures)}")


if __name__ == "__main__":
    main()
