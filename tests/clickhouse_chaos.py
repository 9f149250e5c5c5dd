"""Leaders and servers that are killed while they store, and what must be there in the end."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from clickhouse_writer import GROUPS

from usage_tracker.dsn import parse_dsn
from usage_tracker.report import Query, run
from usage_tracker.stores import Store, open_store

PATIENCE = 240.0


def storm(
    dsn: str, folder: Path, events: int, faults: Sequence[Callable[[], None]], seconds: float = 0.6, leaders: int = 1
) -> Store:
    """Leaders, each of a spool folder and a segment of its own, that are killed and followed by the next again and
    again; the faults happen meanwhile, in any order. The store, once all is written."""
    chance = random.Random(events)
    segments = [uuid4() for _ in range(leaders)]
    children = [start(dsn, folder, segment, events, place) for place, segment in enumerate(segments)]
    happening = [*faults, *[nothing] * (2 * len(faults))]
    chance.shuffle(happening)
    for number, happen in enumerate(happening, 1):
        time.sleep(chance.uniform(0, seconds))
        happen()
        place = chance.randrange(leaders)
        if children[place].poll() is None:
            children[place].kill()
        children[place].wait()
        children[place] = start(dsn, folder, segments[place], events, number * leaders + place)
    deadline = time.monotonic() + PATIENCE
    for child in children:
        assert child.wait(max(1.0, deadline - time.monotonic())) == 0
    store = open_store(parse_dsn(dsn))
    assert store.positions(segments) == dict.fromkeys(segments, events)
    return store


def nothing() -> None:
    """Only the leader is killed."""


def start(dsn: str, folder: Path, segment: UUID, events: int, seed: int) -> subprocess.Popen[bytes]:
    spool = folder / str(segment)
    spool.mkdir(exist_ok=True)
    writer = Path(__file__).with_name("clickhouse_writer.py")
    return subprocess.Popen([sys.executable, str(writer), dsn, str(spool), str(segment), str(events), str(seed)])


def check_once(store: Store, events: int) -> None:
    """Each event is there once, and each rollup counts each once."""
    [found] = store.select("SELECT count() AS rows, uniqExact(id) AS ids FROM usage PREWHERE grain = 'event'")
    assert found == (events, events)
    for by in (("project",), ("model",), ("user",), ("day", "project"), ("hour", "model"), ("status", "app")):
        report = run(store, Query(by=by, percentiles=True))
        assert report.total.calls == sum(row.calls for row in report.rows) == events, by
        assert report.total.cost == Decimal(events) / 1_000_000, by
    assert {row.calls for row in run(store, Query(by=("tag",))).rows} == {events}
    assert len(run(store, Query(by=("project",))).rows) == GROUPS
