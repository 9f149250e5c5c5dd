"""What a reader of a store should know of the journal before it: events that are not in the store yet."""

import os
from glob import glob
from pathlib import Path

from usage_tracker.dsn import Dsn
from usage_tracker.folders import default_spool, located

MOST_COUNTED = 100_000
"""Counting reads the events, so it ends here."""


def spool_of(dsn: Dsn) -> Path:
    """The spool folder of programs that ship to that store."""
    named = os.environ.get("TRACKER_SPOOL_DIR")
    return located(named) if named else default_spool(dsn)


def waiting_note(dsn: Dsn) -> str | None:
    """A sentence where events wait for this store and nobody ships them now."""
    folder = spool_of(dsn)
    if not glob("*.seg", root_dir=folder):  # or none that this user may see
        return None
    from usage_tracker.journal import Spool
    from usage_tracker.journal.backlog import read_backlog

    spool = Spool(folder)
    leader = spool.leader()
    if leader is not None and leader.ships:
        return None
    count = read_backlog(spool, MOST_COUNTED).events
    if not count:
        return None
    number = "1 event waits" if count == 1 else f"{count:,}{' or more' * (count == MOST_COUNTED)} events wait"
    return f"{number} in the journal and not in these figures; `usage-tracker ship --once` ships what it can."
