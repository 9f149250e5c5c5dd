"""Files as the spool folder needs them: opened through no link, closed once, locked, shared with a group, and written
whole or not at all."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

FOREIGN = frozenset({errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENODEV, errno.ENXIO, errno.EPERM})
"""Why a file can't be opened that isn't ours."""
CANT_ALLOCATE = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
OPEN_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Descriptor:
    """An open file that is closed once. A fork may find it in the middle of that, and closing a number again would
    close what the app has opened under it since."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether that path is still the open file's."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


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
