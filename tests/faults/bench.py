"""The fault bench: apps call, something breaks, everything recovers; then the ids that the apps wrote down are compared
with the store's."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL
from statistics import median
from typing import NamedTuple

from faults.nursery import PATIENCE, ROOT, Nursery, Process
from faults.program import KEY
from faults.provider import Provider
from faults.targets import PASSWORD, Target
from faults.traps import Constants, Trap, to_variable
from usage_tracker.journal import Spool

PREAMBLE = """\
import atexit, os, sys, threading, time
from faults.program import *
from faults.traps import set_traps
watch_stalls()
import usage_tracker.auto
note_our_end()
set_traps()
"""
SHIP = """\
import sys
from usage_tracker.cli import main
sys.argv[1:] = ["ship", "--once"]
main()
"""
STARVED_AT_MOST = 0.5
"""Seconds without a core, beyond which an exit is not measured."""


class Outcome(NamedTuple):
    """What became of the events of one bench."""

    made: int
    """Calls whose ids the apps wrote down."""
    stored: int
    """Events in the store."""
    lost: int
    """Ids that were written down and are not in the store, other than those that the fault destroyed."""
    destroyed: int
    """Ids that are not in the store because the fault has overwritten their bytes."""
    twice: int
    """Events of the store whose id it has already."""
    unclaimed: int
    """Events of the store whose ids nobody wrote down: their process was killed in between, or left at once."""
    rows: int
    """All rows in the store: what the bench itself wrote into it included."""
    rolled_up: int
    """Calls, by the rollups."""
    longest_call: float
    """Seconds, for the provider and us together."""
    longest_stall: float
    """Seconds that a call was held up by us, without those in which the machine had no core for its thread."""
    recovery: float
    """Seconds from the end of the fault until all events up to then were stored."""
    longest_exit: float
    """Seconds from the beginning of an app's normal end to its last moment, without those in which it could have run
    and the machine had no core for it."""
    swallowed: dict[str, int]
    """Errors of ours by place, over all apps that ended by themselves."""
    left: list[str]
    """Files that are still in the spool."""

    def right(self, unclaimed: int = 0) -> bool:
        """Whether nothing is lost and nothing doubled."""
        return self.lost == 0 and self.twice == 0 and self.unclaimed <= unclaimed and self.rolled_up == self.rows


class Bench:
    """Apps, a provider for them to call, their spool and their store; all in one folder."""

    def __init__(self, folder: Path, nursery: Nursery, provider: Provider, target: Target) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.target = target
        self.provider = provider
        self.apps: list[Process] = []
        self.settings: dict[str, str] = {}
        """TRACKER_* variables of all apps that are started from here on."""
        self.pause = 0.003
        """Seconds between two calls of an app's thread."""
        self.recovery = 0.0
        self.exit_timeout = 10.0
        """Seconds that an app's normal end may wait for the store: as many as a busy machine may need for it."""
        self.unclaimed = 0
        """How many events may be in the store without anybody having written them down."""
        self.destroyed: set[str] = set()
        """The ids of events whose own bytes the fault has overwritten: nothing can bring them back."""
        self.in_flight = 0
        """How many calls may end after their process has begun to exit: their events are abandoned, without an id."""
        self.foreign: set[str] = set()
        """Names of what lies in the spool and isn't ours."""
        self.afterwards: list[Callable[[], object]] = []
        """What is to be put back once everything has recovered."""
        self._nursery = nursery
        self._made = folder / "made"
        self._made.mkdir()
        self._stop = folder / "stop"
        self._go = folder / "go"

    def start(
        self,
        source: str = "work()",
        *traps: Trap | Constants,
        settings: Mapping[str, str] = {},
        fresh: bool = False,
        preamble: str = PREAMBLE,
        command: tuple[str, ...] = (),
    ) -> Process:
        """Start an app with that main program; `fresh`: in an interpreter of its own, instead of a forked one."""
        number = len(self.apps)
        script, output = self.folder / f"app_{number}.py", self.folder / f"app_{number}.out"
        script.write_text(preamble + source + "\n")
        environ = {**self.environ(), **to_variable(traps), **settings}
        if fresh:
            with output.open("w") as said:
                words = command or (sys.executable, str(script))
                program = subprocess.Popen(
                    words, env=environ, stdout=said, stderr=said, cwd=self.folder, start_new_session=True
                )
            app = Process(program.pid)
            threading.Thread(target=app.wait_for, args=(program,), name="waits for an app", daemon=True).start()
        else:
            app = self._nursery.start(script, environ, output)
        self.apps.append(app)
        return app

    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "PYTHONDONTWRITEBYTECODE": "1",  # a full disk would leave half of it
            "HOME": str(self.folder / "home"),
            "BASE_URL": self.provider.base_url,
            "MADE": str(self._made),
            "STOP": str(self._stop),
            "GO": str(self._go),
            "PAUSE": str(self.pause),
            "TRACKER_DSN": self.target.dsn,
            "TRACKER_SPOOL_DIR": str(self.spool),
            "TRACKER_BATCH_SECONDS": "0.2",
            "TRACKER_EXIT_TIMEOUT": str(self.exit_timeout),
            **self.settings,
        }

    def more_calls(self, count: int) -> None:
        """Wait until the apps have made so many more."""
        reached = self.provider.answered + count
        self.wait_for(lambda: self.provider.answered >= reached, f"{count} more calls")

    def wait_until_all_call(self, calls: int = 20) -> None:
        """Until each app that runs has made so many."""
        self.wait_for(lambda: all(self.calls_of(app.pid) >= calls for app in self.apps if app.runs()), "all apps call")

    def calls_of(self, pid: int) -> int:
        """How many calls that process has written down."""
        return sum(file.read_bytes().count(b"\n") for file in self._made.glob(f"{pid}-*.ids"))

    def leader(self) -> Process:
        """The app that ships, once there is one."""
        spool = Spool(self.spool)
        pids = {app.pid: app for app in self.apps if app.runs()}
        found: list[Process] = []

        def leads() -> bool:
            leader = spool.leader()
            if leader is not None and leader[0] in pids:
                found.append(pids[leader[0]])
            return bool(found)

        self.wait_for(leads, "an app leads")
        return found[-1]

    def wait_until_said(self, text: str, times: int = 1) -> None:
        """Until apps have noticed what is broken, and logged that text."""
        self.wait_for(lambda: self.said().count(text) >= times, f"“{text}” is logged")

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while True:
            looked = time.monotonic()
            if condition():
                return
            now = time.monotonic()
            assert now < deadline, f"{what}: not within {seconds:g} s\n{self.said()}"
            time.sleep(max(0.005, 3 * (now - looked)))  # looking takes cores from the apps

    def made(self) -> dict[str, float]:
        """The ids that were written down, with how long their calls took."""
        return {name: float(took) for name, took, _ in self._noted()}

    def _noted(self) -> Iterator[list[str]]:
        for file in self._made.glob("*.ids"):
            lines = (line.split() for line in file.read_text().splitlines())
            yield from (line for line in lines if len(line) == 3)

    @contextmanager
    def calls_cost_the_same(self) -> Iterator[None]:
        """Hold the calls of the block to those before it, so generously that only waiting for a store is too long."""
        before = self.made()
        self.more_calls(200)
        otherwise = [took for name, took in self.made().items() if name not in before]
        before = self.made()
        yield
        self.more_calls(200)
        now = [took for name, took in self.made().items() if name not in before]
        assert median(now) < 5 * median(otherwise) + 0.1, f"{median(now)} s instead of {median(otherwise)} s"

    def recover(self, seconds: float = PATIENCE) -> float:
        """Wait until everything that was made up to now is stored, by the apps that run or, where none does, by the
        next start; how long it took."""
        made, started = self.made().keys(), time.monotonic()
        if not any(app.runs() for app in self.apps):
            self.ship()
        self.wait_for(lambda: self._all_stored(made), "everything is stored", seconds)
        self.recovery = max(self.recovery, time.monotonic() - started)
        return time.monotonic() - started

    def stored_by_itself(self) -> bool:
        """Whether everything is stored and nobody has to do anything for it."""
        return self._all_stored(self.made().keys())

    def _all_stored(self, made: AbstractSet[str]) -> bool:
        return len(made - self.destroyed - set(self.target.response_ids())) <= self.in_flight

    def go(self) -> None:
        """Let those begin that wait for it, once all of them do."""
        time.sleep(0.5)
        self._go.touch()

    def ship(self) -> None:
        """What the next start would do, whatever starts."""
        self.start(SHIP, preamble="").wait()

    def finish(self, seconds: float = PATIENCE) -> None:
        """Let the apps end as they end of themselves."""
        self._stop.touch()
        for app in self.apps:
            app.wait(seconds)
        self.wait_for(lambda: not any(app.has_descendants() for app in self.apps), "all that was forked ends")

    def settle(self) -> Outcome:
        """Let everything end and recover, and compare."""
        self.finish()
        made = self.made()
        if not self._all_stored(made.keys()) or self.left():
            self.ship()
        stored = self.target.response_ids()
        ends = {int(file.stem): json.loads(file.read_text()) for file in self._made.glob("*.end")}
        swallowed: dict[str, int] = {}
        for noted in ends.values():
            for place, count in noted["errors"].items():
                swallowed[f"{place} ({noted['last']})"] = swallowed.get(place, 0) + count
        rows, rolled_up = self.target.rolled_up()
        nameless = min(self.in_flight, rows - len(stored))
        return Outcome(
            made=len(made),
            stored=len(stored),
            lost=max(0, len(made.keys() - set(stored) - self.destroyed) - nameless),
            destroyed=len((made.keys() & self.destroyed) - set(stored)),
            twice=len(stored) - len(set(stored)),
            unclaimed=len(set(stored) - made.keys()),
            rows=rows,
            rolled_up=rolled_up,
            longest_call=max(made.values(), default=0.0),
            recovery=self.recovery,
            longest_exit=max((exit_of(app, ends[app.pid]) for app in self.apps if app.pid in ends), default=0.0),
            swallowed=swallowed,
            left=self.left(),
            longest_stall=max((float(stall) for _, _, stall in self._noted()), default=0.0),
        )

    def left(self) -> list[str]:
        """The segments in the spool."""
        return sorted({file.name for file in self.spool.glob("*.seg")} - self.foreign)

    def said(self) -> str:
        """What the apps printed."""
        return "\n".join(
            f"--- {file.name}\n{text}"
            for file in sorted(self.folder.glob("*.out"))
            if (text := file.read_text(errors="replace").strip())
        )

    def secrets(self) -> list[Path]:
        """Files of this folder that hold a password or a key, other than the scripts: there must be none."""
        words = [PASSWORD.encode(), KEY.encode()]
        return [
            path
            for path in self.folder.rglob("*")
            if path.is_file() and any(word in path.read_bytes() for word in words)
        ]

    def close(self) -> None:
        """End what still runs."""
        self._stop.touch()
        for app in self.apps:
            app.send_all(SIGCONT)
            app.send_all(SIGKILL)
        for put_back in self.afterwards:
            put_back()


def exit_of(app: Process, noted: Mapping[str, float]) -> float:
    """As `Outcome.longest_exit`. Where the machine had hardly a core for it, it says nothing about us and is left out:
    its other threads, which we can't ask any more, lacked one as well."""
    starved = max(0.0, app.starved - noted["starved"])
    return 0.0 if starved > STARVED_AT_MOST else app.ended_at - noted["at"] - starved
