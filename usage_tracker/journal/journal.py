"""This process's end of the durable queue: where captured events are appended.

The hot path is one `append` of the current segment. All else, the first segment, a full one, a full disk, a full
spool, is behind its ValueError.
"""

import logging
import mmap
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal.files import OwnFile
from usage_tracker.journal.segment import LARGEST_PAYLOAD, Header, Segment, SegmentReader, encode
from usage_tracker.journal.spool import FIRST_SEGMENT, LARGEST_SEGMENT, Spool, SpoolFull, SpoolUnusable

logger = logging.getLogger("usage_tracker")

MEMORY_SEGMENT = 4 << 20
MEMORY_SEGMENTS = 4
"""Bound of what is kept in memory while the spool can't be written."""
RETRY_SECONDS = 1.0
QUIET_SECONDS = 60.0


class MemoryFile:
    """A segment without a file, for a disk that is full or read-only: it is lost if the process is killed."""

    def __init__(self, store: bytes) -> None:
        self.path: Path | None = None
        self.segment = Segment(mmap.mmap(-1, MEMORY_SEGMENT), store, os.getpid())
        header = Header.unpack(self.segment.read(0, 1 << 10))
        assert header is not None
        self.reader = SegmentReader(self.segment, header)

    def stored(self) -> int:
        """How many of its events are stored."""
        return self.segment.stored()[1]

    def confirm(self, position: int, events: int) -> None:
        self.segment.confirm(position, events)

    def ended(self) -> bool:
        """Whether all was read is enough: it is only deleted once another segment has taken its place."""
        return False

    def close(self) -> None:
        """Nothing to release: readers still need the buffer."""


class Journal:
    """Appends events of this process. Never blocks for a store, never raises for a disk: what can't be kept is
    counted."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._start()

    def _start(self) -> None:
        self.dropped = 0
        """Events that could not be kept anywhere."""
        self.memory: list[MemoryFile] = []
        """Segments that only this process can ship."""
        self._lock = threading.RLock()
        """Re-entrant: a signal handler or the garbage collector may come back here from inside."""
        self._current: OwnFile | MemoryFile | None = None
        self._append = full
        self._closed: list[OwnFile | MemoryFile] = []
        self._captured_before = 0
        self._retry_at = 0.0
        self._quiet_until = 0.0

    def append(self, origin: Origin, event: UsageEvent) -> None:
        """Keep one event."""
        try:
            self._append(origin, event)
        except ValueError:
            self._append_with_care(origin, event)

    def _append_with_care(self, origin: Origin, event: UsageEvent) -> None:
        if len(encode((0, event))) > LARGEST_PAYLOAD - 64:
            event = msgspec.structs.replace(event, raw=None)
        if len(encode((0, origin))) > LARGEST_PAYLOAD - 64 or len(encode((0, event))) > LARGEST_PAYLOAD - 64:
            self.dropped += 1
            return
        with self._lock:
            for _ in range(2):
                try:
                    self._append(origin, event)
                except ValueError:
                    if not self._open_next():
                        break
                else:
                    return
            self.dropped += 1

    def _open_next(self) -> bool:
        """Replace the full segment; False where nothing more can be kept for now."""
        now = time.monotonic()
        if now < self._retry_at:
            return self._open_in_memory() if isinstance(self._current, MemoryFile) else False
        fresh: OwnFile | None = None
        try:
            fresh = self.spool.create(LARGEST_SEGMENT if self._current else FIRST_SEGMENT)
        except SpoolFull as reason:
            self._retry_at = now + RETRY_SECONDS
            self._warn("%s; new events are dropped until the store takes some", reason)
            return False
        except (OSError, SpoolUnusable) as reason:
            self._retry_at = now + RETRY_SECONDS
            self._warn(
                "the journal can't be written (%s); events are kept in memory, and lost if this process dies", reason
            )
            return self._open_in_memory()
        self._use(fresh)
        return True

    def _open_in_memory(self) -> bool:
        self.memory = [kept for kept in self.memory if kept.segment.stored()[0] < kept.segment.position]
        if len(self.memory) >= MEMORY_SEGMENTS:
            self._warn(
                "%d segments wait in memory; new events are dropped until the store takes some", len(self.memory)
            )
            return False
        kept = MemoryFile(self.spool.store)
        self.memory.append(kept)
        self._use(kept)
        return True

    def _use(self, fresh: OwnFile | MemoryFile) -> None:
        old, self._current = self._current, fresh
        self._append = fresh.segment.append
        if old is not None:
            self._retire(old)

    def _retire(self, own: OwnFile | MemoryFile) -> None:
        own.close()
        self._captured_before += own.segment.events
        self._closed.append(own)

    def _warn(self, message: str, detail: object) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            logger.warning(message, detail)

    def captured(self) -> int:
        """Events that this process has appended."""
        return self._captured_before + (self._current.segment.events if self._current else 0)

    def pending(self) -> int:
        """Events of this process that are not confirmed as stored yet."""
        with self._lock:
            waiting = self._current.segment.events - self._current.stored() if self._current else 0
            left = {id(own): own.segment.events - own.stored() for own in self._closed}
            self._closed = [own for own in self._closed if left.get(id(own), 1) > 0]
            return waiting + sum(count for count in left.values() if count > 0)

    def only_in_memory(self) -> int:
        """Events that are on no disk and not stored yet."""
        return sum(kept.segment.events - kept.stored() for kept in self.memory)

    def return_to_disk(self) -> None:
        """Where events are kept in memory, see whether the disk takes them again."""
        now = time.monotonic()
        if isinstance(self._current, MemoryFile) and now >= self._retry_at:
            with self._lock:
                self._retry_at = now + RETRY_SECONDS
                with suppress(OSError, SpoolFull, SpoolUnusable):
                    self._use(self.spool.create(FIRST_SEGMENT))

    def drained(self) -> bool:
        """Whether every event so far is stored."""
        return self.pending() == 0

    def close(self) -> None:
        """End the current segment, so that any leader may finish it. A later event opens a new one."""
        with self._lock:
            if isinstance(self._current, OwnFile):
                own, self._current, self._append = self._current, None, full
                self._retire(own)

    def forget(self) -> None:
        """In a forked child: the parent's segments and their events are the parent's. The lock may have been held."""
        if isinstance(self._current, OwnFile):
            self._current.close()
        self._start()


def full(origin: Origin, event: UsageEvent) -> None:
    """Stands for the segment before there is one."""
    raise ValueError("no segment yet")
