"""A segment as a file: its writer's, which holds the lock, and as the leader sees it."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from usage_tracker.descriptors import Descriptor, never_free
from usage_tracker.journal.header import HEADER_SIZE, STORED, STORED_AT, Header
from usage_tracker.journal.reader import SegmentReader
from usage_tracker.journal.segment import Segment

FOREIGN = frozenset({errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENODEV, errno.ENXIO, errno.EPERM})
"""Why a file can't be opened that isn't ours."""
CANT_ALLOCATE = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
OPEN_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


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


def noted(descriptor: int) -> tuple[int, int]:
    """The position and the number of events that the leader noted as stored in the header."""
    position, events = STORED.unpack(os.pread(descriptor, STORED.size, STORED_AT).ljust(STORED.size, b"\0"))
    return position, events


def lock(descriptor: int) -> bool:
    """Whether the lock could be had at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def unlock(descriptor: int) -> None:
    """Also where a forked child has a copy of the descriptor, which closing ours would leave the lock to."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def allocate(descriptor: int, size: int) -> None:
    """Reserve a file's blocks. Raises OSError (ENOSPC) where the disk is full."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in CANT_ALLOCATE:
                raise
    # macOS has no posix_fallocate in Python, and musl leaves it to file systems, of which NFS 4.1 and others can't:
    # writing zeros reserves the blocks as well.
    written = 0
    while written < size:  # a disk that is about to be full takes a part
        written += os.pwrite(descriptor, bytes(size - written), written)


def open_regular(path: Path) -> int | None:
    """A descriptor for reading and, where the disk lets us, writing; None for what is gone or no file of ours. Raises
    OSError where this process or disk is in trouble."""
    try:
        descriptor = os.open(path, os.O_RDWR | OPEN_SAFELY)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in FOREIGN:
            return None
        if error.errno != errno.EROFS:
            raise
        descriptor = os.open(path, os.O_RDONLY | OPEN_SAFELY)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Raises FileNotFoundError, or another OSError for what is no file of ours."""
    descriptor = os.open(path, os.O_RDWR | OPEN_SAFELY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def share(descriptor: int, group: int | None) -> None:
    """Let a group read and write a file that this user has made. Raises OSError."""
    if group is not None and os.fstat(descriptor).st_uid == os.geteuid():
        os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, 0o660)


def write_new(path: Path, content: bytes, group: int | None) -> None:
    """Write a file that is not there yet, for this user and the group. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_SAFELY, 0o600)
    try:
        share(descriptor, group)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
    finally:
        os.close(descriptor)


def write_over(path: Path, content: bytes, group: int | None) -> None:
    """Write a file, for this user and the group, in the place of the one that may be there: all of it or nothing.
    Raises OSError."""
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        write_new(part, content, group)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
