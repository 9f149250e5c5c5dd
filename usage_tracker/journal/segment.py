"""One journal segment as its writer has it: a preallocated buffer to which framed, checksummed records are appended."""

import itertools
import mmap
import os
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from uuid import UUID, uuid4
from zlib import crc32

from usage_tracker.event import CallKind, Origin, UsageEvent
from usage_tracker.journal.frames import (
    EVENT,
    FRAME,
    KIND,
    LARGEST_PAYLOAD,
    LARGEST_RECORD,
    ORIGIN,
    encode,
    framed,
    starts_with_record,
)  # fmt: skip
from usage_tracker.journal.header import HEADER_SIZE, STORED, STORED_AT, VERSION, Header

MOST_ORIGINS = 4096
"""A segment takes no more of them: writer and reader remember each, and with a session for every call they are many."""


PACK = FRAME.pack
NO_TURN: AbstractContextManager[object] = nullcontext()


class Segment:
    """The segment that this process appends to.

    `append` is one `mmap.write` of one bytes object: a single C call that holds the GIL, so threads need no lock; on a
    free-threaded build they take one.
    """

    def __init__(self, buffer: mmap.mmap, store: bytes, pid: int, segment: UUID | None = None) -> None:
        self.id = segment or uuid4()
        self.name = str(self.id)
        self._buffer = buffer
        self._write = buffer.write
        self._numbers: dict[Origin | CallKind, int] = {}
        self._next_number = itertools.count()
        self._lock = threading.RLock()
        """Re-entrant: the garbage collector may end a stream, and so append, wherever it runs."""
        self._events = itertools.count()
        self._turn = None if getattr(sys, "_is_gil_enabled", lambda: True)() else self._lock
        self._end: int | None = None
        buffer.write(Header(VERSION, pid, self.id, store, time.time_ns()).pack())

    def append(self, origin: Origin, event: UsageEvent) -> None:
        """Write one event. Raises ValueError where the segment is full or closed, or the event too large."""
        self.write(EVENT, origin, event)

    def write(self, marker: bytes, about: Origin | CallKind, content: object) -> None:
        """Write an event, or a call that is still to be read (CALL, its kind, the fields of `Told`). Raises as `append`
        does."""
        # the frame is made here, and not by `framed`: a function's call costs the app's thread up to a microsecond
        number = self._numbers.get(about)
        if number is None:
            number = self._introduce(about)
        payload = encode((number, content))
        if len(payload) > LARGEST_PAYLOAD:
            raise ValueError("record too large")
        frame = PACK(marker, len(payload), crc32(payload)) + payload
        write = self._write
        if self._turn is None:
            write(frame)
        else:
            with self._turn:
                write(frame)
        next(self._events)

    def _introduce(self, about: Origin | CallKind) -> int:
        with self._lock:
            number = self._numbers.get(about)
            if number is None:
                if len(self._numbers) >= MOST_ORIGINS:
                    raise ValueError("the segment has all the origins that it takes")
                number = next(self._next_number)
                with self._turn or NO_TURN:
                    self._write(framed(KIND if isinstance(about, CallKind) else ORIGIN, encode((number, about))))
                self._numbers[about] = number
        return number

    @property
    def events(self) -> int:
        """How many events were appended."""
        return counted(self._events)

    @property
    def position(self) -> int:
        """Where the next record will be."""
        return self._buffer.tell() - HEADER_SIZE if self._end is None else self._end

    @property
    def sealed(self) -> bool:
        """Whether no thread can append any more."""
        return self._end is not None

    def filled(self) -> float:
        """How much of what it takes was appended, from 0 to 1. Raises ValueError once closed."""
        return max(self._buffer.tell() / len(self._buffer), len(self._numbers) / MOST_ORIGINS)

    def stored(self) -> tuple[int, int]:
        """The position and the number of events that the shipper has confirmed. Raises ValueError once closed."""
        position, events = STORED.unpack(self._buffer[STORED_AT : STORED_AT + STORED.size])
        return position, events

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the buffer; for reading a segment that lives in memory only."""
        return self._buffer[offset : offset + size]

    def confirm(self, position: int, events: int) -> None:
        """Note what is stored; for a segment that lives in memory only."""
        self._buffer[STORED_AT : STORED_AT + STORED.size] = STORED.pack(position, events)

    def seal(self) -> None:
        """No thread can append from here on: whoever still holds this segment gets ValueError. What was appended can
        be read."""
        if self._end is None:
            with self._turn or NO_TURN:
                end = self._buffer.tell()
                self._buffer.seek(0, os.SEEK_END)
            # a thread may have come between those two
            while starts_with_record(self._buffer[end : end + LARGEST_RECORD]):
                _, length, _ = FRAME.unpack(self._buffer[end : end + FRAME.size])
                end += FRAME.size + length
            self._end = end - HEADER_SIZE
            self._numbers = {}

    def close(self) -> None:
        """Seal it and let go of the buffer."""
        self.seal()
        self._buffer.close()

    def forget(self) -> None:
        """In a forked child: let go of the parent's buffer. Its lock may be held by a thread that is not here."""
        self._buffer.close()


def counted(counter: "itertools.count[int]") -> int:
    """How often `next` was called, without calling it."""
    # from `count(7)`: copying an iterator is deprecated in Python 3.13 and an error in 3.14
    return int(repr(counter).removeprefix("count(").removesuffix(")"))
