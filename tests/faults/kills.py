"""Kill -9, at any time and at the worst ones."""

import os
from signal import SIGKILL

from faults.bench import Bench
from faults.cases import case
from faults.nursery import Process
from faults.sidecars import sidecar_script
from faults.traps import Constants, Trap

SMALL_SEGMENTS = Constants(
    {
        "usage_tracker.journal.journal:FIRST_SEGMENT": 0,
        "usage_tracker.journal.journal:LARGEST_SEGMENT": 0,
        "usage_tracker.journal.spool:SMALLEST_SEGMENT": 1 << 14,
    }
)
"""Of some 80 events each."""


def dies(bench: Bench, app: Process) -> None:
    bench.wait_for(lambda: not app.runs(), "the app dies")
    assert app.status == -SIGKILL, bench.said()
    bench.unclaimed += 1


@case("kill -9 of an app")
def an_app(bench: Bench) -> None:
    first = bench.start("work_in_threads(4)")
    bench.leader()
    follower = bench.start("work_in_threads(4)")
    bench.wait_until_all_call()
    bench.more_calls(200)
    follower.send(SIGKILL)
    dies(bench, follower)
    bench.unclaimed = 4
    bench.more_calls(50)
    bench.recover()
    assert first.runs()


@case("kill -9 of the leader")
def the_leader(bench: Bench) -> None:
    bench.start("work_in_threads(2)")
    bench.start("work_in_threads(2)")
    bench.wait_until_all_call()
    bench.more_calls(200)
    killed = bench.leader()
    killed.send(SIGKILL)
    dies(bench, killed)
    bench.unclaimed = 2
    bench.more_calls(50)
    bench.recover()


@case("kill -9 of all")
def everybody(bench: Bench) -> None:
    apps = [bench.start() for _ in range(3)]
    bench.wait_until_all_call()
    bench.more_calls(200)
    for app in apps:
        app.send(SIGKILL)
    for app in apps:
        dies(bench, app)
    bench.recover()


def trapped_leader(bench: Bench, *traps: Trap | Constants) -> None:
    """The leader runs into the trap while others call."""
    app = bench.start("work()", *traps)
    bench.leader()
    bench.start()
    dies(bench, app)
    bench.more_calls(50)
    bench.recover()


@case("kill -9 in rotation: the next segment is half made")
def half_made(bench: Bench) -> None:
    trapped_leader(bench, SMALL_SEGMENTS, Trap("usage_tracker.journal.spool:allocate", on=2, after=True))


@case("kill -9 in rotation: the next segment is made, not used")
def made_not_used(bench: Bench) -> None:
    trapped_leader(bench, SMALL_SEGMENTS, Trap("usage_tracker.journal.journal:Journal._use", on=2))


@case("kill -9 in rotation: the full segment is not closed")
def not_closed(bench: Bench) -> None:
    trapped_leader(bench, SMALL_SEGMENTS, Trap("usage_tracker.journal.journal:Journal._retire"))


@case("kill -9 in the middle of a batch: before its rows")
def before_rows(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.stores.postgres.copy_lines:CopyLines.read", on=12))


@case("kill -9 in the middle of a batch: between rows and rollups")
def between_rows_and_rollups(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.stores.postgres.store:copy_in", on=12))


@case("kill -9 before the commit")
def before_commit(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.stores.postgres.store:copy_in", on=15, after=True))


@case("kill -9 between commit and acknowledgement")
def before_acknowledgement(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.shipper:Shipper._confirm", on=4))


@case("kill -9 after the acknowledgement")
def after_acknowledgement(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.shipper:Shipper._confirm", on=4, after=True))


@case("kill -9 while deltas are folded")
def folding(bench: Bench) -> None:
    often = Constants({"usage_tracker.shipper:COMPACT_SECONDS": 0.1})
    trapped_leader(bench, often, Trap("usage_tracker.stores.postgres.folding:fold", on=3, after=True))


@case("kill -9 in a migration", migrated=False)
def migrating(bench: Bench) -> None:
    trapped_leader(bench, Trap("usage_tracker.stores.postgres.schema:PostgresSchema.apply", after=True))


def orphans(bench: Bench) -> None:
    """Leave segments behind that somebody has to adopt."""
    apps = [bench.start(settings={"TRACKER_SHIP": "off"}) for _ in range(2)]
    bench.more_calls(100)
    for app in apps:
        app.send(SIGKILL)
    for app in apps:
        dies(bench, app)


@case("kill -9 in adoption: stored, not deleted")
def adopted_not_deleted(bench: Bench) -> None:
    orphans(bench)
    trapped_leader(bench, Trap("usage_tracker.journal.files:SharedFile.delete"))


@case("kill -9 in adoption: the first of two is deleted")
def adopted_by_half(bench: Bench) -> None:
    orphans(bench)
    trapped_leader(bench, Trap("usage_tracker.journal.files:SharedFile.delete", after=True))


@case("kill -9 in adoption: read, not stored")
def adopted_not_stored(bench: Bench) -> None:
    orphans(bench)
    trapped_leader(bench, Trap("usage_tracker.shipper:price_batch", on=50))


@case("kill -9 in a process that adopts another folder's segments")
def moving(bench: Bench) -> None:
    orphans(bench)
    elsewhere = bench.spool.rename(bench.folder / "elsewhere")
    words = ["ship", "--once", "--from", str(elsewhere)]
    script = f"from usage_tracker.cli import main\nsys.argv[1:] = {words}\nmain()"
    killed = bench.start(script, Trap("usage_tracker.journal.adoption:os.rename", after=True))
    bench.wait_for(lambda: not killed.runs(), "it dies")
    assert killed.status == -SIGKILL
    bench.start(script).wait()


def sidecar_of_two(bench: Bench) -> Process:
    """`usage-tracker ship --processes 2`, once it has both; nothing else ships."""
    at_once = Constants({"usage_tracker.cli.crew:AGAIN_SECONDS": 0.0})
    traps = "from faults.traps import set_traps\nset_traps()\n"
    leader = bench.start(sidecar_script("--processes", "2"), at_once, preamble=traps)
    bench.wait_for(lambda: len(leader.all_pids()) == 3, "both processes of the sidecar run")
    return leader


@case("kill -9 of one of a sidecar's processes")
def one_of_a_sidecar(bench: Bench) -> None:
    for _ in range(3):
        bench.start(settings={"TRACKER_SHIP": "off"})
    leader = sidecar_of_two(bench)
    for _ in range(2):
        bench.more_calls(50)
        os.kill(next(pid for pid in leader.all_pids() if pid != leader.pid), SIGKILL)
    bench.more_calls(50)
    bench.recover()
    assert leader.runs()


@case("kill -9 of a sidecar that leaves its processes behind")
def a_sidecar(bench: Bench) -> None:
    for _ in range(3):
        bench.start(settings={"TRACKER_SHIP": "off"})
    leader = sidecar_of_two(bench)
    bench.more_calls(50)
    leader.send(SIGKILL)
    sidecar_of_two(bench)
    bench.wait_for(lambda: not leader.has_descendants(), "its processes end")
    bench.more_calls(50)
    bench.recover()
