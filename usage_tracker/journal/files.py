"""A segment as a file: its writer's, which holds the lock, and as the leader sees it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from usage_tracker.descriptors import Descriptor, never_free
from usage_tracker.journal.disk import lock, opened, unlock
from usage_tracker.journal.header import HEADER_SIZE, STORED, STORED_AT, Header
from usage_tracker.journal.reader import SegmentReader
from usage_tracker.journal.segment import Segment


class FileSource:
    """A segment's bytes, read from its file. Reads, unlike a mapping, survive that the file is truncated."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor.number, size, offset)


class OwnFile:
    """A segment's file as its writer has it. The lock says that the writer lives; once the segment is closed, the file
    stays open until it is stored, in case that somebody removes it."""

    def __init__(self, path: Path, descriptor: Descriptor, segment: Segment) -> None:
        self.path = path
        self.segment = segment
        self._descriptor = descriptor
        self._closed = False
        self._mapped = True
        """Whether its bytes are to be had from the segment."""

    def left(self) -> int:
        """How many of its events are not stored yet: none once the leader has deleted it."""
        if self._mapped:
            return left(self.segment, self.segment.stored())
        if self._descriptor.is_open():
            return left(self.segment, noted(self._descriptor.number))
        return left_at(self.path, self.segment)

    def gone(self) -> bool:
        """Whether it is no longer in the folder."""
        return (self._mapped or self._descriptor.is_open()) and not self._descriptor.is_at(self.path)

    def astray(self) -> bool:
        """Whether somebody else than the leader has taken it away, with events that are not stored."""
        return self.gone() and self.left() > 0

    def content(self) -> bytes:
        """All that was appended, with the header."""
        size = HEADER_SIZE + self.segment.position
        return self.segment.read(0, size) if self._mapped else os.pread(self._descriptor.number, size, 0)

    def close(self) -> None:
        """First no thread can append, then the lock is free, also where a forked child still has the file open. Again,
        it does nothing. What was not needed of the file goes: the room is that of all processes."""
        if self._closed:
            return
        self.segment.seal()
        self._closed = True
        if self._descriptor.is_lost():
            # before Python 3.13 a mapping has a descriptor of its own, which it would close by its number; Linux keeps
            # the lock as long as there is a mapping, so that it has ended when this process has
            never_free(self.segment)
            return
        self._mapped = False
        self.segment.close()
        with suppress(OSError):
            os.ftruncate(self._descriptor.number, HEADER_SIZE + self.segment.position)
            unlock(self._descriptor.number)

    def let_go(self) -> None:
        """Close the file: it is stored, or too many are open."""
        self._mapped = False
        self._descriptor.close()

    def forget(self) -> None:
        """In a forked child: our copies are closed, and the lock stays the parent's."""
        if self._descriptor.is_lost():
            never_free(self.segment)
        else:
            self.segment.forget()
        self._descriptor.close()


class HandedOver:
    """What this process wrote to disk for any leader to finish."""

    def __init__(self, path: Path, segment: Segment) -> None:
        self.path = path
        self.extent = Extent(segment.position, segment.events)

    def left(self) -> int:
        """How many of its events are not stored yet: none once the leader has deleted it."""
        return left_at(self.path, self.extent)


class SharedFile:
    """A segment's file as the leader sees it."""

    def __init__(self, path: Path, descriptor: int, header: Header) -> None:
        self.path = path
        self._descriptor = Descriptor(descriptor)
        self.reader = SegmentReader(FileSource(self._descriptor), header)
        self._ended = False

    def ended(self) -> bool:
        """Whether its writer has closed it or is dead. From then on it stays so: we hold its lock."""
        if not self._ended:
            self._ended = lock(self._descriptor.number)
        return self._ended

    def is_lost(self) -> bool:
        """Whether the app has closed it under us."""
        return self._descriptor.is_lost()

    def gone(self) -> bool:
        """Whether it is no longer in the folder, while it is open here. Another file may have its name."""
        return not self._descriptor.is_at(self.path)

    def confirm(self, position: int, events: int) -> None:
        """Tell the writer what is stored, so that its `flush()` can return. Does nothing on a read-only disk."""
        with suppress(OSError):
            os.pwrite(self._descriptor.number, STORED.pack(position, events), STORED_AT)

    def close(self) -> None:
        if self._ended and self._descriptor.is_open():
            unlock(self._descriptor.number)
        self._descriptor.close()

    def forget(self) -> None:
        """In a forked child: our copy is closed, and the lock stays the parent's."""
        self._descriptor.close()

    def delete(self) -> None:
        """Raises OSError, and stays as it is, in a folder that is read-only."""
        if not self.gone():
            self.path.unlink(missing_ok=True)
        self.close()


class Extent(NamedTuple):
    """How much was appended to a segment."""

    position: int
    events: int


def left(segment: Segment | Extent, stored: tuple[int, int]) -> int:
    """How many events of the segment are not stored. By position first: unreadable ones count as no events."""
    position, events = stored
    return 0 if position >= segment.position else max(0, segment.events - events)


def left_at(path: Path, segment: Segment | Extent) -> int:
    """The same, of a segment whose file has to be opened for it: all, where this process has no descriptor for that."""
    try:
        with opened(path) as descriptor:
            return left(segment, noted(descriptor))
    except FileNotFoundError:
        return 0
    except OSError:
        return left(segment, (0, 0))


def header_in(descriptor: int) -> Header | None:
    """None where the file is no segment that this version can read."""
    return Header.unpack(os.pread(descriptor, HEADER_SIZE, 0))


def noted(descriptor: int) -> tuple[int, int]:
    """The position and the number of events that the leader noted as stored in the header."""
    position, events = STORED.unpack(os.pread(descriptor, STORED.size, STORED_AT).ljust(STORED.size, b"\0"))
    return position, events
