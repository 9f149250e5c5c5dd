"""The spool folder: segments of all processes of one user on one host that share a store.

A segment belongs to the process that holds its lock (flock). A segment whose lock is free has ended: its process has
closed it or has died, and the leader ships what is left in it and deletes it. The leader is whoever holds
`leader.lock`.
"""

import fcntl
import mmap
import os
import select
import stat
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from usage_tracker.errors import UsageTrackerError
from usage_tracker.event import PricedEvent, flatten
from usage_tracker.journal.files import Descriptor, FileSource, OwnFile, SharedFile, allocate, lock, opened
from usage_tracker.journal.segment import ANY_STORE, HEADER_SIZE, STORED, STORED_AT, Header, Segment, SegmentReader

FIRST_SEGMENT = 1 << 20
"""Most processes are short; a long one gets larger segments after its first."""
LARGEST_SEGMENT = 8 << 20
SUFFIX = ".seg"
UNREADY = ".new"
UNREADY_SECONDS = 60.0
"""Making a segment takes less."""
KEPT_ASIDE_MAX = 64 << 20


class SpoolFull(UsageTrackerError):
    """The folder has reached its bound."""


class SpoolUnusable(UsageTrackerError):
    """The folder can't be used safely: it is a symbolic link or belongs to somebody else."""


class Spool:
    """The folder and what is done with it. Raises OSError where the file system refuses."""

    def __init__(self, folder: Path, store: bytes = ANY_STORE, max_bytes: int = 1 << 30) -> None:
        self.folder = folder
        self.store = store
        """The identity of the store that this folder's events are for."""
        self.max_bytes = max_bytes
        self._leading: Descriptor | None = None
        self._bell: Descriptor | None = None
        self._creating: list[Descriptor] = []

    def prepare(self) -> None:
        """Make the folder, private to this user. Raises SpoolUnusable for a folder that others could tamper with."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.lstat(self.folder)
        if not stat.S_ISDIR(found.st_mode):
            raise SpoolUnusable(f"{self.folder} is not a folder; set TRACKER_SPOOL_DIR to one of your own")
        if found.st_uid != os.geteuid():
            raise SpoolUnusable(f"{self.folder} belongs to another user; set TRACKER_SPOOL_DIR to a folder of your own")

    def create(self, size: int) -> OwnFile:
        """A new, locked segment. Its blocks are allocated now: in a sparse file a full disk would kill the app by
        SIGBUS.

        Raises SpoolFull at the folder's bound, OSError on a full or read-only disk.
        """
        size = max(HEADER_SIZE + (1 << 16), min(size, self.max_bytes // 8))
        self.prepare()
        if self.size() + size > self.max_bytes:
            raise SpoolFull(f"{self.folder} holds {self.max_bytes} bytes, its bound (TRACKER_SPOOL_MAX_BYTES)")
        identity = uuid4()
        path = self.folder / f"{identity}{SUFFIX}"
        unready = path.with_suffix(UNREADY)
        descriptor = Descriptor(os.open(unready, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._creating.append(descriptor)
        try:
            fcntl.flock(descriptor.number, fcntl.LOCK_EX)
            allocate(descriptor.number, size)
            buffer = mmap.mmap(descriptor.number, size)
            segment = Segment(buffer, self.store, os.getpid(), identity)
            os.rename(unready, path)
        except OSError:
            descriptor.close()
            unready.unlink(missing_ok=True)
            raise
        finally:
            self._creating.remove(descriptor)
        return OwnFile(path, descriptor, segment)

    def size(self) -> int:
        """Bytes that the segments take."""
        return sum(found.st_size for _, found in self._entries((SUFFIX, UNREADY)))

    def segments(self) -> list[Path]:
        """The segments' files, oldest first as far as the file system tells."""
        entries = sorted(self._entries((SUFFIX,)), key=lambda entry: entry[1].st_ctime_ns)
        return [Path(path) for path, _ in entries]

    def _entries(self, suffixes: tuple[str, ...]) -> list[tuple[str, os.stat_result]]:
        """Paths and what the file system says of them; a leader elsewhere may delete one while we look."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.name.endswith(suffixes):
                        found.append((entry.path, entry.stat()))
        return found

    def _clear_unready(self) -> None:
        """Delete what processes left that were killed while they made a segment; nothing was written to it."""
        for path, found in self._entries((UNREADY,)):
            if time.time() - found.st_mtime > UNREADY_SECONDS:
                with suppress(FileNotFoundError), opened(Path(path)) as descriptor:
                    if lock(descriptor):
                        os.unlink(path)

    def open(self, path: Path) -> SharedFile | None:
        """A segment for reading; None where it is gone, is not a segment that we can read, or is for another store."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        header = Header.unpack(os.pread(descriptor, HEADER_SIZE, 0))
        if header is None or header.store not in (self.store, ANY_STORE):
            os.close(descriptor)
            return None
        return SharedFile(path, descriptor, header)

    def lead(self) -> bool:
        """Try to become the leader; True also where we are already."""
        if self._leading is None:
            self.prepare()
            descriptor = os.open(self.folder / "leader.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not lock(descriptor):
                os.close(descriptor)
                return False
            self._leading = Descriptor(descriptor)
            self.say("leading")
            self.open_bell()
            self._clear_unready()
        return True

    def say(self, state: str) -> None:
        """Note for others what the leader is about: `leading`, or `waiting` while the store is away."""
        if self._leading is not None:
            os.ftruncate(self._leading.number, 0)
            os.pwrite(self._leading.number, f"{os.getpid()} {state}\n".encode(), 0)

    def leader(self) -> tuple[int, str] | None:
        """The pid and state of the leader at work; None where nobody leads."""
        try:
            descriptor = os.open(self.folder / "leader.lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if lock(descriptor):
                return None
            pid, _, state = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip().partition(" ")
            return (int(pid), state) if pid.isdigit() else None
        finally:
            os.close(descriptor)

    def resign(self) -> None:
        """Stop leading: another process may at once."""
        leading, bell, self._leading, self._bell = self._leading, self._bell, None, None
        for descriptor in (leading, bell):
            if descriptor is not None:
                descriptor.close()

    def open_bell(self) -> None:
        """A named pipe by which other processes wake the leader; without it they wait for its next round."""
        path = self.folder / "bell"
        with suppress(OSError):
            if not path.exists():
                os.mkfifo(path, 0o600)
            self._bell = Descriptor(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))

    def ring(self) -> None:
        """Wake the leader, if there is one."""
        with suppress(OSError):
            descriptor = os.open(self.folder / "bell", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.write(descriptor, b"!")
            finally:
                os.close(descriptor)

    def listen(self, seconds: float) -> bool:
        """The leader's pause, until the bell rings. False where this spool has no bell and nothing was waited for."""
        if self._bell is None:
            return False
        rung = select.poll()  # select() knows no descriptor beyond 1,023
        rung.register(self._bell.number, select.POLLIN)
        rung.poll(seconds * 1000)
        with suppress(BlockingIOError):
            while os.read(self._bell.number, 4096):
                pass
        return True

    def keep_aside(self, segment: str, corrupt: list[tuple[int, bytes]]) -> None:
        """Keep unreadable bytes for a look, up to KEPT_ASIDE_MAX for the folder."""
        folder = self.folder / "corrupt"
        folder.mkdir(mode=0o700, exist_ok=True)
        kept = sum(entry.stat().st_size for entry in os.scandir(folder))
        for position, content in corrupt:
            if kept + len(content) <= KEPT_ASIDE_MAX:
                (folder / f"{segment}-{position}.bin").write_bytes(content)
                kept += len(content)

    def refuse(self, priced: PricedEvent, reason: str) -> None:
        """Write an event that the store refuses to the dead-letter file, as one JSON line with the reason."""
        import json

        line = json.dumps({"reason": reason, **flatten(priced)}, default=str, ensure_ascii=False)
        with open(self.folder / "refused.jsonl", "a", encoding="utf-8", errors="replace") as letters:
            letters.write(line + "\n")

    def waiting(self, limit: int = 1 << 62) -> int:
        """How many events of this folder are not stored yet, by what leaders noted in the segments; up to `limit`."""
        count = 0
        for path in self.segments():
            with suppress(FileNotFoundError), opened(path) as descriptor:
                header = Header.unpack(os.pread(descriptor, HEADER_SIZE, 0))
                if header is not None:
                    reader = SegmentReader(FileSource(Descriptor(descriptor)), header)
                    reader.start_at(STORED.unpack(os.pread(descriptor, STORED.size, STORED_AT))[0])
                    while (found := reader.read(min(10_000, limit - count), ended=True)).events:
                        count += len(found.events)
                        reader.position = found.end
        return count

    def adopt(self, other: Path) -> int:
        """As `take_over`, for segments that another store was meant to have: from here on they are this store's."""
        mine = self.store
        for path in Spool(other).segments():
            with opened(path) as descriptor:
                header = Header.unpack(os.pread(descriptor, HEADER_SIZE, 0))
                if header is not None and lock(descriptor):
                    os.pwrite(descriptor, header._replace(store=mine).pack()[:STORED_AT], 0)
        return self.take_over(other)

    def take_over(self, other: Path) -> int:
        """Move the ended segments of another folder here; how many. For events that waited for a usable DSN."""
        if not other.is_dir() or other == self.folder:
            return 0
        self.prepare()
        moved = 0
        for path in Spool(other).segments():
            with opened(path) as descriptor:
                if lock(descriptor):
                    os.rename(path, self.folder / path.name)
                    moved += 1
        with suppress(OSError):
            other.rmdir()
        return moved

    def forget(self) -> None:
        """In a forked child: what was open belongs to the parent. Closing our copies leaves its locks as they are."""
        self.resign()
        for descriptor in self._creating:
            descriptor.close()
        self._creating = []
