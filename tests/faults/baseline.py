"""The same faults without us: what OpenTelemetry's instrumentation and batch processor lose, run for real.

Its exporter writes the ids of answers straight into Postgres, once each, and tries again for as long as OpenTelemetry's
own exporters do by default, ten seconds.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from postgres_server import PostgresServer

from faults.bench import Bench
from faults.cases import Case
from faults.mixed import Mixed
from faults.nursery import Nursery, Process
from faults.provider import Provider
from faults.targets import PostgresTarget
from faults.traps import Constants, Trap

PREAMBLE = """\
import atexit, os, sys, threading, time
from faults.otel_app import instrument
from faults.program import *
instrument()
"""
TABLE = "CREATE TABLE baseline (response_id text PRIMARY KEY)"
COMPARABLE = ("databases", "exits", "forks", "kills")
"""Those of spools, ledgers and SQLite files have nothing that they could break."""


class NotComparable(Exception):
    """The fault is at a place of our own code."""


class BaselineTarget(PostgresTarget):
    """A database with a table of ids."""

    def __init__(self, server: PostgresServer, port: int) -> None:
        super().__init__(server, port, migrated=True)
        server.run(TABLE, self.database)

    def response_ids(self) -> list[str]:
        return [str(row[0]) for row in self.server.run("SELECT response_id FROM baseline", self.database)]


class BaselineBench(Bench):
    """The same apps, instrumented by somebody else."""

    spares = False
    """Whether a fault at a place of our own code is left out, instead of being not comparable."""

    def start(
        self,
        source: str = "work()",
        *traps: Trap | Constants,
        settings: Mapping[str, str] = {},
        fresh: bool = False,
        preamble: str = PREAMBLE,
        command: tuple[str, ...] = (),
    ) -> Process:
        ours = any(isinstance(trap, Trap) for trap in traps) and not self.spares
        if ours or "usage_tracker" in source or settings or command or preamble is not PREAMBLE:
            raise NotComparable
        return super().start(source, settings=settings, fresh=fresh, preamble=PREAMBLE)

    def leader(self) -> Process:
        self.wait_until_all_call()
        return next(app for app in self.apps if app.runs())

    def wait_until_said(self, text: str, times: int = 1) -> None:
        time.sleep(2.0)

    def recover(self, seconds: float = 15.0) -> float:
        """Until nothing more arrives, for longer than the batch processor waits."""
        stored, since = -1, time.monotonic()
        deadline = since + seconds
        while time.monotonic() < min(deadline, since + 6.0):
            now = self.target.response_ids()
            if len(now) != stored:
                stored, since = len(now), time.monotonic()
            if self.made().keys() <= set(now):
                break
            time.sleep(0.2)
        return 0.0

    def stored_by_itself(self) -> bool:
        return True

    def ship(self) -> None:
        """Nothing does that."""


class Baseline:
    """What all of its benches share."""

    def __init__(self, server: PostgresServer, nursery: Nursery, provider: Provider) -> None:
        self._server = server
        self._nursery = nursery
        self._provider = provider

    def run_case(self, case: Case) -> tuple[int, int] | None:
        """Events made and lost; None where the fault has no meaning there."""
        return self._run(case.run) if case.module in COMPARABLE else None

    def run_mixed(self, seed: int, calls: int) -> tuple[int, int] | None:
        """The same schedule, without the kills at places of our own code."""

        def run(bench: Bench) -> None:
            assert isinstance(bench, BaselineBench)
            bench.spares = True
            Mixed(bench, seed).run(calls)

        return self._run(run)

    def _run(self, run: Callable[[Bench], None]) -> tuple[int, int] | None:
        folder = Path(tempfile.mkdtemp(prefix="tracker-baseline-"))
        self._server.start()
        target = BaselineTarget(self._server, self._server.port)
        bench = BaselineBench(folder, self._nursery, self._provider, target)
        try:
            run(bench)
            bench.finish()
            bench.recover()
            made = bench.made().keys()
            return len(made), len(made - set(target.response_ids()))
        except NotComparable:
            return None
        finally:
            bench.close()
            self._server.start()
            target.close()
            shutil.rmtree(folder, ignore_errors=True)
