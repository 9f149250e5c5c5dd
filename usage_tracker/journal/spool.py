"""The spool folder: segments of all processes of one user on one host that share a store.

A segment belongs to the process that holds its lock (flock). A segment whose lock is free has ended: its process has
closed it or has died, and the leader ships what is left in it and deletes it. The leader is whoever holds
`leader.lock`.
"""

import fcntl
import logging
import mmap
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from usage_tracker.descriptors import Descriptor
from usage_tracker.errors import UsageTrackerError
from usage_tracker.forking import undivided
from usage_tracker.journal.bell import Bell
from usage_tracker.journal.disk import OPEN_SAFELY, allocate, lock, open_regular, opened, share, unlock, write_new
from usage_tracker.journal.files import OwnFile, SharedFile
from usage_tracker.journal.folder import prepare
from usage_tracker.journal.frames import LARGEST_RECORD
from usage_tracker.journal.header import ANY_STORE, HEADER_SIZE, Header
from usage_tracker.journal.segment import Segment

logger = logging.getLogger("usage_tracker")

FIRST_SEGMENT = 1 << 20
"""Most processes are short; a long one gets larger segments after its first."""
LARGEST_SEGMENT = 8 << 20
SMALLEST_SEGMENT = 1 << 16
LARGEST_FILE = 4 * LARGEST_SEGMENT
"""A file that is larger is not ours."""
SUFFIX = ".seg"
UNREADY = ".new"
UNREADY_SECONDS = 60.0
"""Making a segment takes less."""
SAME_STORE = "give the programs that share it the same TRACKER_DSN, password apart, or none where a sidecar ships"
"""What to do where a folder has events for several stores."""


class SpoolFull(UsageTrackerError):
    """The folder has reached its bound."""


class Leader(NamedTuple):
    """The process that leads a folder, as it says itself."""

    pid: int
    state: str
    """`leading`, or `waiting` while the store is away."""

    @property
    def ships(self) -> bool:
        """Whether it ships now."""
        return self.state == "leading"


class Spool:
    """The folder and what is done with it. Raises OSError where the file system refuses."""

    def __init__(
        self, folder: Path, store: bytes = ANY_STORE, max_bytes: int = 1 << 30, group: int | None = None
    ) -> None:
        self.folder = folder
        self.group = group
        """The id of the group whose members share the folder; None: it is one user's."""
        self.store = store
        """The identity of the store that this folder's events are for."""
        self.max_bytes = max_bytes
        self.bell = Bell(folder, group)
        self._leading: Descriptor | None = None
        self._told: set[Path] = set()
        self._clear_at = 0.0

    def prepare(self) -> None:
        """Make the folder. Raises SpoolUnusable for one that others could tamper with."""
        prepare(self.folder, self.group)

    def open_own(self, path: Path, flags: int) -> Descriptor:
        """A file that this user, and the group that shares the folder, may read and write."""
        descriptor = Descriptor(os.open(path, os.O_RDWR | os.O_CREAT | OPEN_SAFELY | flags, 0o600))
        try:
            share(descriptor.number, self.group)
        except OSError:
            descriptor.close()
            raise
        return descriptor

    def create(self, size: int) -> OwnFile:
        """A new, locked segment. Its blocks are allocated now: in a sparse file a full disk would kill the app by
        SIGBUS.

        Raises SpoolFull at the folder's bound, OSError on a full or read-only disk.
        """
        self.prepare()
        room = self.max_bytes - self.size()
        size = max(HEADER_SIZE + SMALLEST_SEGMENT, min(size, self.max_bytes // 8, room // 4))
        if size > room:
            raise SpoolFull(f"{self.folder} holds {self.max_bytes} bytes, its bound (TRACKER_SPOOL_MAX_BYTES)")
        identity = uuid4()
        path = self.folder / f"{identity}{SUFFIX}"
        unready = path.with_suffix(UNREADY)
        with undivided():
            descriptor = self.open_own(unready, os.O_EXCL)
            try:
                fcntl.flock(descriptor.number, fcntl.LOCK_EX)
                allocate(descriptor.number, size)
                segment = Segment(mapped(descriptor.number, size), self.store, os.getpid(), identity)
                os.rename(unready, path)
            except OSError:
                descriptor.close()
                unready.unlink(missing_ok=True)
                raise
            return OwnFile(path, descriptor, segment)

    def restore(self, name: str, content: bytes) -> Path:
        """Write the file of a segment that has ended. Raises as `create` does."""
        self.prepare()
        if self.size() + len(content) > self.max_bytes:
            raise SpoolFull(f"{self.folder} holds {self.max_bytes} bytes, its bound (TRACKER_SPOOL_MAX_BYTES)")
        path = self.folder / name
        unready = path.with_suffix(UNREADY)
        try:
            unready.unlink(missing_ok=True)
            write_new(unready, content, self.group)
            os.rename(unready, path)
        except OSError:
            with suppress(OSError):
                unready.unlink(missing_ok=True)
            raise
        return path

    def size(self) -> int:
        """Bytes that the segments take."""
        return sum(found.st_size for _, found in self._entries((SUFFIX, UNREADY)))

    def segments(self) -> list[Path]:
        """The segments' files, oldest first as far as the file system tells; what has another name than ours comes
        last."""
        entries = [(Path(path), found.st_ctime_ns) for path, found in self._entries((SUFFIX,))]
        entries.sort(key=lambda entry: (identity_in_name(entry[0]) is None, entry[1]))
        return [path for path, _ in entries]

    def is_copy(self, file: SharedFile) -> bool:
        """Whether the segment's own file is in the folder as well. A copy that was made while that was written to may
        lack what the segment has, so its end says nothing."""
        original = self.folder / f"{file.reader.header.segment}{SUFFIX}"
        return file.path != original and original.exists()

    def _entries(self, suffixes: tuple[str, ...]) -> list[tuple[str, os.stat_result]]:
        """Paths and what the file system says of them; a leader elsewhere may delete one while we look."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.name.endswith(suffixes):
                        found.append((entry.path, entry.stat(follow_symlinks=False)))
        return found

    def _clear_unready(self) -> None:
        """Delete what processes left that were killed while they made a segment; nothing was written to it."""
        for path, found in self._entries((UNREADY,)):
            if time.time() - found.st_mtime > UNREADY_SECONDS:
                with undivided(), suppress(OSError), opened(Path(path)) as descriptor:
                    if lock(descriptor):
                        os.unlink(path)

    def open(self, path: Path) -> SharedFile | None:
        """A segment for reading; None where it is gone, is not a segment that we can read, or is for another store.
        Raises OSError where this process or disk is in trouble."""
        descriptor = open_regular(path)
        if descriptor is None:
            self._tell_foreign(path)
            return None
        try:
            start = os.pread(descriptor, HEADER_SIZE + LARGEST_RECORD, 0)
        except OSError:
            os.close(descriptor)
            raise
        header = Header.unpack(start[:HEADER_SIZE])
        if header is None and (segment := identity_in_name(path)) is not None:
            header = Header.mended(start, segment, self.store)
        if header is None or os.fstat(descriptor).st_size > LARGEST_FILE:
            os.close(descriptor)
            self._tell_foreign(path)
            return None
        if not self.is_for(header):
            os.close(descriptor)
            self._tell_once(self.folder, f"has events for another store, which are left alone; {SAME_STORE}")
            return None
        return SharedFile(path, descriptor, header)

    def is_for(self, header: Header) -> bool:
        """Whether who ships to this folder's store ships that segment."""
        return header.store in (self.store, ANY_STORE)

    def _tell_foreign(self, path: Path) -> None:
        if os.path.lexists(path):
            self._tell_once(path, "is no segment that this version can read; it is left alone")

    def _tell_once(self, path: Path, what: str) -> None:
        if path not in self._told:
            self._told.add(path)
            logger.warning("%s %s", path, what)

    def lead(self) -> bool:
        """Try to become the leader; True also where we are already. Who leads a folder that was taken away starts
        again with the new one, and whose lock the app has closed, with another."""
        if self._leading is not None and not (self._leading.is_open() and self._leading.is_at(self._lock_path)):
            self.resign()
        if self._leading is None:
            self.prepare()
            with undivided():
                descriptor = self.open_own(self._lock_path, 0)
                try:
                    if lock(descriptor.number):
                        self._leading = descriptor
                finally:  # some file systems have no locks
                    if self._leading is None:
                        descriptor.close()
            if self._leading is None:
                return False
            self.say("leading")
            self.bell.open()
        if time.monotonic() >= self._clear_at:
            self._clear_at = time.monotonic() + UNREADY_SECONDS
            self._clear_unready()
        return True

    def leads(self) -> bool:
        """Whether this process is the leader."""
        return self._leading is not None

    @property
    def _lock_path(self) -> Path:
        return self.folder / "leader.lock"

    def say(self, state: str) -> None:
        """Note for others what the leader is about: `leading`, or `waiting` while the store is away."""
        with suppress(OSError):  # the disk is full
            if self._leading is not None:
                os.ftruncate(self._leading.number, 0)
                os.pwrite(self._leading.number, f"{os.getpid()} {state}\n".encode(), 0)

    def leader(self) -> Leader | None:
        """None where nobody leads."""
        with undivided(), suppress(OSError), opened(self._lock_path) as descriptor:
            if not lock(descriptor):
                pid, _, state = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip().partition(" ")
                return Leader(int(pid), state) if pid.isdigit() else None
        return None

    def resign(self) -> None:
        """Stop leading: another process may at once."""
        if self._leading is not None and self._leading.is_open():
            unlock(self._leading.number)
        self._let_go()

    def _let_go(self) -> None:
        leading, self._leading = self._leading, None
        if leading is not None:
            leading.close()
        self.bell.close()

    def forget(self) -> None:
        """In a forked child: what was open belongs to the parent. Closing our copies leaves its locks as they are."""
        self._let_go()


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """Without a descriptor of its own, from Python 3.13 on."""
    own: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    return mmap.mmap(descriptor, size, **own)


def identity_in_name(path: Path) -> UUID | None:
    """The segment that a file's name says it is."""
    try:
        return UUID(path.stem)
    except ValueError:
        return None
