"""A segment that is kept in memory while its disk is full or read-only. Only its own process can ship it."""

import mmap
import os

from usage_tracker.journal.files import left
from usage_tracker.journal.header import HEADER_SIZE, Header
from usage_tracker.journal.reader import SegmentReader
from usage_tracker.journal.segment import Segment

MEMORY_SEGMENT = 4 << 20


class MemoryFile:
    """A segment without a file: it is lost if the process is killed."""

    def __init__(self, store: bytes) -> None:
        self.segment = Segment(mmap.mmap(-1, MEMORY_SEGMENT), store, os.getpid())
        header = Header.unpack(self.segment.read(0, 1 << 10))
        assert header is not None
        self.reader = SegmentReader(self.segment, header)

    def left(self) -> int:
        """How many of its events are not stored yet."""
        return left(self.segment, self.segment.stored())

    def confirm(self, position: int, events: int) -> None:
        self.segment.confirm(position, events)

    def ended(self) -> bool:
        """Whether all was read is enough: it is only forgotten once another segment has taken its place."""
        return False

    def content(self) -> bytes:
        """All that was appended, with the header."""
        return self.segment.read(0, HEADER_SIZE + self.segment.position)

    def close(self) -> None:
        """No thread can append from here on; readers still need the buffer."""
        self.segment.seal()
