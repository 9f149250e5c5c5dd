"""A schedule of faults, drawn from a seed: several at a time, among apps that come and go.

What destroys bytes of events is left out, and what keeps events in memory is never drawn together with a kill: those
lose events, and say so.
"""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from faults import breaking, spools
from faults.bench import Bench
from faults.databases import IMPATIENT
from faults.kills import SMALL_SEGMENTS
from faults.nursery import Process
from faults.traps import Constants, Trap

OFTEN = Constants({"usage_tracker.shipper:COMPACT_SECONDS": 0.5})
LIVES = (
    "work_in_threads(2)",
    "work_in_threads(4)",
    "work()",
    "work(3)\nchild = os.fork()\nwork()\nif child: os.waitpid(child, 0)",
)
FLEETING = """\
while not os.path.exists(os.environ["STOP"]):
    child = os.fork()
    work(20)
    if child == 0: os._exit(0)
    os.waitpid(child, 0)
"""
"""Its children leave at once: what they keep in memory while the disk is full is lost with them, as they are told."""
DEADLY = (
    "usage_tracker.journal.journal:Journal._use",
    "usage_tracker.journal.journal:Journal._retire",
    "usage_tracker.journal.files:SharedFile.delete",
    "usage_tracker.shipper:Shipper._confirm",
    "usage_tracker.shipper:price_batch",
    "usage_tracker.shipper:keep_aside",
    "usage_tracker.stores.postgres.copy_lines:CopyLines.read",
    "usage_tracker.stores.postgres.store:copy_in",
    "usage_tracker.stores.postgres.folding:fold",
)
DATABASE: tuple[Callable[[Bench], AbstractContextManager[None]], ...] = (
    breaking.stopped,
    breaking.restarted,
    breaking.crashed,
    breaking.backend_killed,
    breaking.refusing,
    breaking.frozen,
    breaking.backend_frozen,
    breaking.locked,
    breaking.rollups_locked,
    breaking.read_only,
)


class Mixed:
    """One run: apps, and rounds of faults until they have called so often."""

    def __init__(self, bench: Bench, seed: int) -> None:
        bench.exit_timeout = 2.0
        self.bench = bench
        self.seed = seed
        self.drawn: list[str] = []
        """What was done, for whoever has to find out why."""
        self._random = random.Random(seed)
        self._kills = self._random.random() < 0.75
        self._lives = (*LIVES, FLEETING) if self._kills else LIVES

    def run(self, calls: int) -> None:
        before = self.bench.provider.answered
        while self.bench.provider.answered < before + calls:
            while len(self._alive()) < 3:
                self._start_app()
            self._round(max(40, min(calls // 5, 400)))
        self.bench.finish()
        self.bench.recover(120)
        # who was killed had an answer that it has not written down, but nothing is stored that was never answered
        self.bench.unclaimed = self.bench.provider.answered - before - len(self.bench.made())

    def _round(self, calls: int) -> None:
        with ExitStack() as broken:
            if self._random.random() < 0.8:
                fault = self._random.choice(DATABASE)
                self._note(fault.__name__)
                broken.enter_context(fault(self.bench))
            if self._kills:
                for _ in range(self._random.randrange(3)):
                    self._strike_app()
                if self._random.random() < 0.3:
                    self._copy_a_segment()
            else:
                broken.enter_context(self._disk())
            if self._random.random() < 0.4:
                broken.enter_context(self._apps_stand_still())
            while len(self._alive()) < 2:
                self._start_app()
            self._let_call(self._random.randrange(20, calls))
        self._let_call(self._random.randrange(20, calls))

    def _let_call(self, count: int) -> None:
        """Not for ever: apps that were all hit can't call."""
        reached, deadline = self.bench.provider.answered + count, time.monotonic() + 3
        while self.bench.provider.answered < reached and time.monotonic() < deadline:
            time.sleep(0.005)

    def _alive(self) -> list[Process]:
        return [app for app in self.bench.apps if app.runs()]

    def _start_app(self) -> None:
        source = self._random.choice(self._lives)
        traps: list[Trap | Constants] = [IMPATIENT, OFTEN]
        if self._random.random() < 0.5:
            traps.append(SMALL_SEGMENTS)
        if self._kills and self._random.random() < 0.5:
            at = self._random.choice(DEADLY)
            traps.append(Trap(at, on=self._random.randrange(1, 30), after=self._random.random() < 0.5))
            self._note(f"start with a trap at {at}")
        self.bench.start(source, *traps)

    def _strike_app(self) -> None:
        alive = self._alive()
        if alive:
            how = self._random.choice((SIGKILL, SIGKILL, SIGTERM))
            self._note(how.name)
            self._send([self._random.choice(alive)], how)

    def _copy_a_segment(self) -> None:
        """As a backup does that puts files back: the ledger knows them."""
        segments = sorted(self.bench.spool.glob("*.seg"))
        if segments:
            path = self._random.choice(segments)
            self._note("a segment is copied")
            with suppress(FileNotFoundError):
                shutil.copy(path, path.with_name(f"copy {time.monotonic_ns()} of {path.name}"))

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """The spool's disk is full, for half of the time."""
        if self._random.random() < 0.5:
            apps = self._alive()
            self._note("spool disk full")
            spools.full(apps)
            yield
            spools.roomy(apps)
        else:
            yield

    @contextmanager
    def _apps_stand_still(self) -> Iterator[None]:
        """With its locks, and then goes on as if nothing had been."""
        found = [app for app in self._alive() if self._random.random() < 0.5]
        self._note(f"{len(found)} apps stand still")
        self._send(found, SIGSTOP)
        try:
            yield
        finally:
            self._send(found, SIGCONT)

    def _send(self, apps: list[Process], number: Signals) -> None:
        for app in apps:
            with suppress(ProcessLookupError):
                app.send(number)

    def _note(self, what: str) -> None:
        self.drawn.append(what)
