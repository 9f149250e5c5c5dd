"""A leader to be killed: `python clickhouse_writer.py DSN SPOOL SEGMENT EVENTS SEED` stores a segment's events.

It is as a shipper: it asks where the store is and goes on from there, in batches of any size, so that what was cut one
way before a kill is cut another way after it.
"""

import random
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from made_events import NOON, made_event
from msgspec.structs import replace

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.event import Batch, PricedEvent, Stretch
from usage_tracker.stores import open_store

GROUPS = 7


def nth_event(segment: UUID, number: int) -> PricedEvent:
    """The event at that position, the same whenever it is read."""
    event = made_event(
        NOON + timedelta(seconds=number), cost="0.000001", project=f"p{number % GROUPS}", tags=("a", "b")
    )
    return replace(event, event_id=UUID(int=segment.int ^ number))


def write_on(dsn: str, spool: Path, segment: UUID, events: int, chance: random.Random) -> None:
    """Store what is missing, however often the server goes away."""
    store, position = open_store(parse_dsn(dsn), spool), None
    while position is None or position < events:
        try:
            if position is None:
                position = store.positions([segment]).get(segment, 0)
                continue
            end = min(events, position + chance.randint(1, 200))
            batch = [nth_event(segment, number) for number in range(position, end)]
            stored = store.write(Batch([Stretch(segment, position, end, len(batch))], batch))
        except StoreUnavailable:
            time.sleep(0.05)
            if chance.random() < 0.5:
                position = None
            continue
        position = end if stored else None


if __name__ == "__main__":
    dsn, spool, segment, events, seed = sys.argv[1:]
    write_on(dsn, Path(spool), UUID(segment), int(events), random.Random(int(seed)))
