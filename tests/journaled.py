"""Events that a journal is given, and those that its folder has."""

import errno
import os

from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.files import OwnFile

ORIGIN = Origin(sdk="openai")


def made(number: int = 0) -> UsageEvent:
    return UsageEvent(started_at=number, duration_ms=1.0, operation="chat")


def kept(spool: Spool) -> list[UsageEvent]:
    """Every event in the folder."""
    found = []
    for path in spool.segments():
        file = spool.open(path)
        assert file is not None
        found += [each.event for each in file.reader.read(10**6, ended=True).events]
        file.close()
    return found


def read_all(spool: Spool) -> list[int]:
    """The start of every event in the folder."""
    return [event.started_at for event in kept(spool)]


def append_until(journal: Journal, share: float) -> None:
    """Fill the current segment up to that share."""
    while journal._current is None or journal._current.segment.filled() < share:
        journal.append(ORIGIN, made(journal.captured()))


def append_to_the_next(journal: Journal, origin: Origin = ORIGIN) -> None:
    """Fill the current segment and begin the next."""
    current = journal._current
    while journal._current is current:
        journal.append(origin, made(journal.captured()))


def full_disk(self: Spool, size: int) -> OwnFile:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
