"""A segment as a file: its writer's, which holds the lock, and as the leader sees it."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from usage_tracker.journal.segment import STORED, STORED_AT, Header, Segment, SegmentReader


class Descriptor:
    """An open file that is closed once. A fork may find it in the middle of that, and closing a number again would
    close what the app has opened under it since."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


class FileSource:
    """A segment's bytes, read from its file. Reads, unlike a mapping, survive that the file is truncated."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor.number, size, offset)


class OwnFile:
    """A segment's file while its writer lives: the open descriptor holds the lock."""

    def __init__(self, path: Path, descriptor: Descriptor, segment: Segment) -> None:
        self.path = path
        self.segment = segment
        self._descriptor = descriptor
        self._closed = False

    def stored(self) -> int:
        """How many of its events are stored: all once the leader has deleted it."""
        if not self._closed:
            return self.segment.stored()[1]
        try:
            with opened(self.path) as descriptor:
                events: int = STORED.unpack(os.pread(descriptor, STORED.size, STORED_AT))[1]
        except FileNotFoundError:
            return self.segment.events
        return events

    def close(self) -> None:
        """First no thread can append, then the lock is free."""
        self._closed = True
        self.segment.close()
        self._descriptor.close()


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

    def confirm(self, position: int, events: int) -> None:
        """Tell the writer what is stored, so that its `flush()` can return."""
        os.pwrite(self._descriptor.number, STORED.pack(position, events), STORED_AT)

    def close(self) -> None:
        self._descriptor.close()

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()


def lock(descriptor: int) -> bool:
    """Whether the lock could be had at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def allocate(descriptor: int, size: int) -> None:
    """Reserve a file's blocks. Raises OSError (ENOSPC) where the disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        # macOS has no posix_fallocate in Python: writing zeros reserves the blocks as well.
        os.pwrite(descriptor, bytes(size), 0)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
