"""This process's end of the durable queue: where captured events are appended.

The hot path is one `write` of the current segment. All else, the first segment, a full one, a full disk, a full
spool, is behind its ValueError, and the first thing there is a segment that was made ready meanwhile.
"""

import itertools
import logging
import threading
import time
from contextlib import suppress
from typing import Any

import msgspec

from usage_tracker.event import CallKind, Origin, Told, UsageEvent
from usage_tracker.forking import undivided
from usage_tracker.journal.aside import note_dropped
from usage_tracker.journal.files import HandedOver, OwnFile
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.journal.frames import CALL, EVENT, LARGEST_PAYLOAD, encode
from usage_tracker.journal.memory_file import MemoryFile
from usage_tracker.journal.segment import counted
from usage_tracker.journal.spool import FIRST_SEGMENT, LARGEST_SEGMENT, SUFFIX, Spool, SpoolFull
from usage_tracker.journal.standby import Standby
from usage_tracker.providers.told import event_of, told_as_read
from usage_tracker.seldom import Seldom

logger = logging.getLogger("usage_tracker")

READY_AT = 0.5
"""How full a segment is when the next one is made ready: what is left lasts for seconds."""
MEMORY_SEGMENTS = 4
"""Bound of what is kept in memory while the spool can't be written."""
RETRY_SECONDS = 1.0
MOST_OPEN = 16
"""Closed segments of this process that stay open until they are stored: descriptors of the app."""
LOOKS = 5
"""How often two figures are read until both are of one moment."""


Record = tuple[bytes, Origin | CallKind, Any]
"""What a segment's `write` takes: a marker, what the record is about, and its content."""
Own = OwnFile | MemoryFile
"""What this process appends to, or has appended to."""


class Journal:
    """Appends events of this process. Never blocks for a store, never raises for a disk: what can't be kept is
    counted."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._start()

    def _start(self) -> None:
        """Also in a forked child, where the lock may be held by a thread that is not there."""
        self.dropped = 0
        """Events that could not be kept anywhere."""
        self._noted = 0
        """How many of them are noted in the spool folder."""
        self.memory: list[MemoryFile] = []
        """Segments that only this process can ship."""
        self._lock = threading.RLock()
        """Re-entrant: a signal handler or the garbage collector may come back here from inside. Who holds it may be
        waiting for a disk."""
        self._switching = threading.RLock()
        """Held while another segment becomes the current one, and never for longer."""
        self._current: Own | None = None
        self._write = full
        self._replaced: list[Own] = []
        """Full, and to be closed by the next who holds the lock."""
        self._closed: list[Own | HandedOver] = []
        self._standby = Standby(self.spool, self._switching)
        self._captured = itertools.count()
        """Its own, not the sum of the segments': a thread may have written to one and not counted it when it is
        replaced."""
        self._retry_at = 0.0
        self._at_bound = False
        """Whether the folder had reached its bound when it was last tried: memory is for a disk in trouble."""
        self._warning = Seldom()

    def append(self, origin: Origin, event: UsageEvent) -> None:
        """Keep one event."""
        try:
            self._write(EVENT, origin, event)
        except ValueError:
            self._keep_with_care(EVENT, origin, event)
        else:
            next(self._captured)

    def append_call(self, kind: CallKind, told: tuple[Any, ...]) -> None:
        """Keep a call that is still to be read, as the fields of `Told`."""
        write = self._write
        try:
            write(CALL, kind, told)
        except ValueError:
            self._keep_with_care(CALL, kind, told)
        else:
            next(self._captured)

    def _keep_with_care(self, marker: bytes, about: Origin | CallKind, content: Any) -> None:
        if self._kept_with_care(marker, about, content):
            next(self._captured)
        else:
            with self._lock:
                self.dropped += 1

    def _kept_with_care(self, marker: bytes, about: Origin | CallKind, content: Any) -> bool:
        """Whether it could be kept, in another segment or without its raw figures."""
        if too_large(content) and isinstance(about, CallKind):
            told = Told(*content)
            about, content = event_of(about, told._replace(said=told_as_read(told.said)))
            marker = EVENT
        if too_large(content):
            content = msgspec.structs.replace(content, raw=None)
        if too_large(about) or too_large(content):
            return False
        record = (marker, about, content)
        if self._taken(record) or self._taken_by_standby(record):
            return True
        with self._lock:  # somebody may have gone on while we waited for it
            return self._taken(record) or self._taken_by_standby(record) or self._taken_by_next(record)

    def _taken(self, record: Record) -> bool:
        """Whether the current segment took it."""
        try:
            self._write(*record)
        except ValueError:
            return False
        return True

    def _taken_by_standby(self, record: Record) -> bool:
        """Go on in the segment that was made ready, if there is one. No file is touched."""
        with self._switching:
            fresh = self._standby.made
            if fresh is None:
                return False
            taken = self._begun(fresh, record)
            self._standby.made = None  # only now: a child that is forked in between has to know of it
        return taken

    def _taken_by_next(self, record: Record) -> bool:
        """Go on in a segment that is made now; False where nothing more can be kept for now."""
        if time.monotonic() < self._retry_at:
            if self._at_bound and not isinstance(self._current, MemoryFile):
                return False
            return self._taken_by_memory(record)
        try:
            used = self._current.segment.position if self._current else 0
            with undivided():  # until `forget` knows of it
                taken = self._begun(self.spool.create(size_after(used)), record)
        except SpoolFull as reason:
            self._rest(reason)
            self._warn("%s; new events are dropped until the store takes some", reason)
            return False
        except (OSError, SpoolUnusable) as reason:
            self._rest(reason)
            self._warn(
                "the journal can't be written (%s); events are kept in memory, and lost if this process dies", reason
            )
            return self._taken_by_memory(record)
        self._close_replaced()
        self.put_on_disk()
        return taken

    def _rest(self, reason: Exception) -> None:
        """Leave the disk alone for a moment."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._at_bound = isinstance(reason, SpoolFull)

    def _begun(self, fresh: Own, record: Record) -> bool:
        """Go on in that segment. The record comes first, before other threads can fill it while this one waits for the
        interpreter. False where it is too small for the record."""
        try:
            fresh.segment.write(*record)
        except ValueError:
            return False
        finally:
            self._use(fresh)
        return True

    def look_ahead(self) -> None:
        """Off the app's thread, every now and then: close what was replaced and, when the current segment is half full,
        make the next one ready. Without that, it is made by whoever needs it."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._close_replaced()
            current = self._current
            if isinstance(current, OwnFile) and (filled := current.segment.filled()) >= READY_AT:
                with suppress(OSError, SpoolFull, SpoolUnusable):  # whoever needs it finds out, and says so
                    self._standby.make(size_after(int(current.segment.position / filled)))
        finally:
            self._lock.release()

    def _taken_by_memory(self, record: Record) -> bool:
        self._close_replaced()
        self._let_go_of_stored()
        if len(self.memory) >= MEMORY_SEGMENTS:
            self._warn(
                "%d segments wait in memory; new events are dropped until the store takes some", len(self.memory)
            )
            return False
        try:
            kept = MemoryFile(self.spool.store)
        except OSError as reason:
            self._warn("there is no memory for the journal (%s); new events are dropped", reason)
            return False
        self.memory.append(kept)
        taken = self._begun(kept, record)
        self._close_replaced()
        return taken

    def _write_in_memory(self, marker: bytes, about: Origin | CallKind, content: Any) -> None:
        """As a segment's `write`, where the disk may be back: not every process has a thread that would see."""
        if time.monotonic() >= self._retry_at:
            self.put_on_disk()
        if self._current is None:
            raise ValueError("no segment any more")
        self._current.segment.write(marker, about, content)

    def _use(self, fresh: Own) -> None:
        """Append to that segment from now on."""
        write = self._write_in_memory if isinstance(fresh, MemoryFile) else fresh.segment.write
        with self._switching:
            if self._current is not None and self._current is not fresh:
                self._replaced.append(self._current)
            self._current, self._write = fresh, write

    def _close_replaced(self) -> None:
        while self._replaced:
            self._retire(self._replaced[0])
            del self._replaced[0]

    def _retire(self, own: Own) -> None:
        own.close()
        self._closed.append(own)
        self._let_go_of_stored()

    def _let_go_of_stored(self) -> None:
        self.memory = [kept for kept in self.memory if kept.left() or not kept.segment.sealed]
        self._closed, closed = [own for own in self._closed if own.left()], self._closed
        waiting = [own for own in self._closed if isinstance(own, OwnFile)]
        kept_open = waiting[-MOST_OPEN:]
        for own in closed:
            if isinstance(own, OwnFile) and own not in kept_open:
                own.let_go()

    def put_on_disk(self) -> None:
        """Write to disk what is only in memory, and what somebody has taken away from the folder, as far as it takes
        it. The leader goes on there, whoever it is: the ledger knows how far each segment is stored."""
        if time.monotonic() < self._retry_at or not self._lock.acquire(blocking=False):
            return
        try:
            self._close_replaced()
            self._let_go_of_stored()
            if isinstance(self._current, MemoryFile) or (self._current and self._current.gone()):
                with undivided():
                    self._use(self.spool.create(FIRST_SEGMENT))
                self._close_replaced()
            for place, own in enumerate(self._closed):
                self._closed[place] = self._handed_over(own)
        except (OSError, SpoolFull, SpoolUnusable) as reason:
            self._rest(reason)
        finally:
            self._lock.release()

    def _handed_over(self, own: Own | HandedOver) -> Own | HandedOver:
        if isinstance(own, HandedOver) or (isinstance(own, OwnFile) and not own.astray()):
            return own
        path = self.spool.restore(f"{own.segment.id}{SUFFIX}", own.content())
        if isinstance(own, MemoryFile):
            self.memory.remove(own)
        else:
            own.let_go()
        return HandedOver(path, own.segment)

    def _warn(self, message: str, detail: object) -> None:
        if self._warning.due():
            logger.warning(message, detail)
            self._note_dropped()

    def _note_dropped(self) -> None:
        """For `usage-tracker doctor`, and whoever else comes after this process."""
        if fresh := self.dropped - self._noted:
            self._noted = self.dropped
            note_dropped(self.spool, fresh)

    def place(self) -> tuple[str, int]:
        """The segment that is appended to, and the position that is stored once all that was appended is."""
        current = self._current
        return (current.segment.name, current.segment.position) if current is not None else ("", 0)

    def captured(self) -> int:
        """Events that this process has appended."""
        return counted(self._captured)

    def pending(self) -> int:
        """Events of this process that are not confirmed as stored yet."""
        with self._lock:
            self._close_replaced()
            self._let_go_of_stored()
            return sum(own.left() for own in (self._current, *self._closed) if own)

    def captured_and_pending(self) -> tuple[int, int]:
        """Both, of one moment: other threads append meanwhile. Where they always do, what is pending is of a later
        one, so that nobody takes it for stored."""
        for _ in range(LOOKS):
            captured, pending = self.captured(), self.pending()
            if self.captured() == captured:
                break
        return max(captured, pending), pending  # an event counts as pending a step before it does as captured

    def only_in_memory(self) -> int:
        """Events that are on no disk and not stored yet."""
        return sum(kept.left() for kept in self.memory)

    def drained(self) -> bool:
        """Whether every event so far is stored."""
        return self.pending() == 0

    def close(self) -> None:
        """End the current segment, so that any leader may finish it. A later event opens a new one."""
        with self._lock:
            with self._switching:
                if self._current is not None:
                    self._replaced.append(self._current)
                self._current, self._write = None, full
            self._close_replaced()
            self._standby.discard()
            self._retry_at = 0.0
            self.put_on_disk()
            self._note_dropped()

    def forget(self) -> None:
        """In a forked child: the parent's segments and their events are the parent's."""
        parents = [self._current, self._standby.made, *self._replaced, *self._closed]
        self._start()
        for own in parents:
            if isinstance(own, OwnFile):
                own.forget()


def size_after(held: int) -> int:
    """Of the next segment: twice what the last one came to hold, in bytes."""
    return min(LARGEST_SEGMENT, max(FIRST_SEGMENT, 2 * held))


def full(marker: bytes, about: Origin | CallKind, content: Any) -> None:
    """Stands for the segment before there is one."""
    raise ValueError("no segment yet")


def too_large(content: object) -> bool:
    """Whether no segment takes it."""
    return len(encode((0, content))) > LARGEST_PAYLOAD - 64
