"""What waits in a spool folder, for those who look at it and don't ship: by what leaders noted in the segments."""

from contextlib import suppress
from typing import NamedTuple

from usage_tracker.descriptors import Descriptor
from usage_tracker.journal.disk import opened
from usage_tracker.journal.files import FileSource, header_in, noted
from usage_tracker.journal.reader import SegmentReader
from usage_tracker.journal.spool import Spool

ALL = 1 << 62


class Backlog(NamedTuple):
    """Events of a folder that are not stored yet."""

    events: int
    oldest: int | None
    """When the first of them started, in nanoseconds since 1970."""


def read_backlog(spool: Spool, limit: int = ALL) -> Backlog:
    """Up to so many events: they are read to be counted. Raises OSError for a folder that can't be read."""
    count, oldest = 0, None
    for path in spool.segments():
        with suppress(OSError), opened(path) as descriptor:
            header = header_in(descriptor)
            if header is not None:
                reader = SegmentReader(FileSource(Descriptor(descriptor)), header)
                reader.start_at(noted(descriptor)[0])
                while (found := reader.read(min(10_000, limit - count), ended=True)).events:
                    count += len(found.events)
                    reader.position = found.end
                    began = min(each.event.started_at for each in found.events)
                    oldest = began if oldest is None else min(oldest, began)
    return Backlog(count, oldest)


def has_others(spool: Spool) -> bool:
    """Whether events for another store are there, which who ships to this folder's leaves alone."""
    for path in spool.segments():
        with suppress(OSError), opened(path) as descriptor:
            header = header_in(descriptor)
            if header is not None and not spool.is_for(header):
                return True
    return False
