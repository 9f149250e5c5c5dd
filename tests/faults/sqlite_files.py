"""SQLite under the same faults: many writers, a file that others lock, a full disk."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from signal import SIGKILL

from faults.bench import Bench
from faults.cases import case
from faults.databases import GIVEN_UP
from faults.kills import dies, trapped_leader
from faults.targets import SqliteTarget
from faults.traps import Constants, Trap

HURRIED = Constants({"usage_tracker.stores.sqlite.file:BUSY_SECONDS": 0.3})


def file_of(bench: Bench) -> SqliteTarget:
    assert isinstance(bench.target, SqliteTarget)
    return bench.target


@contextmanager
def locked(bench: Bench) -> Iterator[None]:
    """Another program is in a writing transaction."""
    connection = sqlite3.connect(file_of(bench).file, timeout=10, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.close()


@case("SQLite: kill -9 of the leader", "sqlite")
def the_leader(bench: Bench) -> None:
    bench.start("work_in_threads(2)")
    bench.start("work_in_threads(2)")
    bench.more_calls(200)
    killed = bench.leader()
    killed.send(SIGKILL)
    dies(bench, killed)
    bench.unclaimed = 2
    bench.more_calls(50)
    bench.recover()


@case("SQLite: kill -9 in the middle of a batch", "sqlite")
def in_a_batch(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.stores.sqlite.store:upsert", on=9))


@case("SQLite: kill -9 between commit and acknowledgement", "sqlite")
def before_acknowledgement(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.shipper:Shipper._confirm", on=4))


@case("SQLite: eight writers with spools of their own", "sqlite", migrated=False)
def writers(bench: Bench) -> None:
    for number in range(8):
        spool = bench.folder / "hosts" / str(number)
        bench.start("work(60)\nusage_tracker.flush(60)", settings={"TRACKER_SPOOL_DIR": str(spool)})
    bench.finish()
    assert bench.stored_by_itself()


@case("SQLite: locked by another program", "sqlite")
def locked_for_long(bench: Bench) -> None:
    bench.start("work()", HURRIED)
    bench.start("work()", HURRIED)
    bench.more_calls(100)
    with ExitStack() as broken:
        with bench.calls_cost_the_same():
            broken.enter_context(locked(bench))
        bench.wait_until_said(GIVEN_UP)
    bench.recover()


@case("SQLite: exit and fork while another program locks it", "sqlite")
def exit_while_locked(bench: Bench) -> None:
    app = bench.start(
        """
from usage_tracker import forking
forking.LONGEST_WAIT = 30.0
work(50)
open(os.environ["MADE"] + "/ready", "w").close()
while not os.path.exists(os.environ["MADE"] + "/locked"): time.sleep(0.01)
work(20)
time.sleep(0.5)
started = time.monotonic()
child = os.fork()
if child == 0:
    work(10)
    sys.exit(0)
assert time.monotonic() - started < 15, f"the fork took {time.monotonic() - started} s"
os.waitpid(child, 0)
"""
    )
    bench.wait_for((bench.folder / "made" / "ready").exists, "it is ready")
    with locked(bench):
        (bench.folder / "made" / "locked").touch()
        assert app.wait() == 0, bench.said()
    bench.recover()


@case("SQLite: disk full", "sqlite")
def disk_full(bench: Bench) -> None:
    apps = [bench.start(), bench.start()]
    bench.more_calls(50)
    for app in apps:
        _, hard = resource.prlimit(app.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(app.pid, resource.RLIMIT_FSIZE, (1 << 15, hard))
    bench.more_calls(100)
    bench.wait_until_said(GIVEN_UP)
    for app in apps:
        resource.prlimit(app.pid, resource.RLIMIT_FSIZE, (hard, hard))
    bench.recover()


@case("SQLite: its file deleted", "sqlite")
def deleted(bench: Bench) -> None:
    """Who does so means the events in it as well; all that come after it are in the new file."""
    app = bench.start()
    bench.more_calls(100)
    bench.recover()
    os.kill(app.pid, 19)
    gone = set(file_of(bench).response_ids())
    file_of(bench).close()
    bench.destroyed |= gone | bench.made().keys()
    os.kill(app.pid, 18)
    bench.more_calls(100)
    bench.recover()
