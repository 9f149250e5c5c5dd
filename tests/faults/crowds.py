"""Many processes that start and write at once."""

from faults.bench import Bench
from faults.cases import case

CROWD = 64


@case(f"{CROWD} processes start at once on an empty database", migrated=False)
def one_host(bench: Bench) -> None:
    for _ in range(CROWD):
        bench.start("wait_for_start()\nwork(5)")
    bench.go()
    bench.finish()
    bench.recover()
    assert len(bench.made()) == CROWD * 5


@case(f"{CROWD} processes on as many hosts start at once on an empty database", migrated=False)
def many_hosts(bench: Bench) -> None:
    for number in range(CROWD):
        spool = bench.folder / "hosts" / str(number)
        bench.start("wait_for_start()\nwork(5)\nusage_tracker.flush(200)", settings={"TRACKER_SPOOL_DIR": str(spool)})
    bench.go()
    bench.finish(seconds=200)
    assert len(bench.made()) == CROWD * 5
    assert bench.stored_by_itself()
