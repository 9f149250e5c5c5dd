"""One journal segment: a preallocated buffer of framed, checksummed records.

Layout, little-endian. Header of 80 bytes: magic, version, header size, pid, segment id, store identity, creation time,
checksum of all that; then two counters that the shipper writes back, stored position and stored events. Then frames:
marker (2 bytes: origin or event), payload length (4), CRC-32 of the payload (4), payload. Zeros follow the last frame.

An event's payload is msgpack of (number of its origin, UsageEvent); an origin's is (number, Origin). A position
counts bytes from the end of the header. The checksum is not optional: a process that is killed in the middle of a
write leaves a torn record behind (5 of 60 kills did).
"""

import itertools
import mmap
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from struct import Struct
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4
from zlib import crc32

import msgspec

from usage_tracker.event import Origin, UsageEvent

MAGIC = b"usagejnl"
VERSION = 1
IDENTITY = Struct("<8sHHI16s8sQ")
CHECKSUM = Struct("<I4x")
STORED = Struct("<QQ")
STORED_AT = IDENTITY.size + CHECKSUM.size
HEADER_SIZE = STORED_AT + STORED.size + 8
FRAME = Struct("<2sII")
ORIGIN, EVENT = b"\xf5O", b"\xf5E"
LARGEST_PAYLOAD = 1 << 18
ANY_STORE = bytes(8)
"""The store identity of a process that doesn't know its store, such as an app beside a sidecar."""

encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(tuple[int, UsageEvent]).decode
decode_origin = msgspec.msgpack.Decoder(tuple[int, Origin]).decode


def check(event: UsageEvent) -> None:
    """Raises TypeError for an event with a value of another type than its field's: it could not be read again."""
    try:
        decode_event(encode((0, event)))
    except (msgspec.MsgspecError, OverflowError, UnicodeEncodeError) as error:
        raise TypeError(str(error)) from None


def framed(marker: bytes, payload: bytes) -> bytes:
    if len(payload) > LARGEST_PAYLOAD:
        raise ValueError("record too large")
    return FRAME.pack(marker, len(payload), crc32(payload)) + payload


class Header(NamedTuple):
    """Who wrote a segment, and for which store."""

    version: int
    pid: int
    segment: UUID
    store: bytes
    created_at: int

    def pack(self) -> bytes:
        identity = IDENTITY.pack(
            MAGIC, self.version, HEADER_SIZE, self.pid, self.segment.bytes, self.store, self.created_at
        )
        return (identity + CHECKSUM.pack(crc32(identity))).ljust(HEADER_SIZE, b"\0")

    @classmethod
    def unpack(cls, header: bytes) -> "Header | None":
        """None for what is not the header of a segment that this version can read."""
        if (
            len(header) < HEADER_SIZE
            or crc32(header[: IDENTITY.size]) != CHECKSUM.unpack_from(header, IDENTITY.size)[0]
        ):
            return None
        magic, version, size, pid, segment, store, created_at = IDENTITY.unpack_from(header)
        if magic != MAGIC or version != VERSION or size != HEADER_SIZE:
            return None
        return cls(version, pid, UUID(bytes=segment), store, created_at)


class Segment:
    """The segment that this process appends to.

    `append` is one `mmap.write` of one bytes object: a single C call that holds the GIL, so threads need no lock; on a
    free-threaded build they take one.
    """

    def __init__(self, buffer: mmap.mmap, store: bytes, pid: int, segment: UUID | None = None) -> None:
        self.id = segment or uuid4()
        self._buffer = buffer
        self._write = buffer.write
        self._numbers: dict[Origin, int] = {}
        self._next_number = itertools.count()
        self._lock = threading.RLock()
        """Re-entrant: the garbage collector may end a stream, and so append, wherever it runs."""
        self._events = itertools.count()
        self._turn: AbstractContextManager[object] = (
            nullcontext() if getattr(sys, "_is_gil_enabled", lambda: True)() else threading.Lock()
        )
        buffer.write(Header(VERSION, pid, self.id, store, time.time_ns()).pack())

    def append(self, origin: Origin, event: UsageEvent) -> None:
        """Write one event. Raises ValueError where the segment is full or closed, or the event too large."""
        number = self._numbers.get(origin)
        if number is None:
            number = self._introduce(origin)
        frame = framed(EVENT, encode((number, event)))
        with self._turn:
            self._write(frame)
        next(self._events)

    def _introduce(self, origin: Origin) -> int:
        with self._lock:
            number = self._numbers.get(origin)
            if number is None:
                number = next(self._next_number)
                with self._turn:
                    self._write(framed(ORIGIN, encode((number, origin))))
                self._numbers[origin] = number
        return number

    @property
    def events(self) -> int:
        """How many events were appended."""
        # from `count(7)`: copying an iterator is deprecated in Python 3.13 and an error in 3.14
        return int(repr(self._events).removeprefix("count(").removesuffix(")"))

    @property
    def position(self) -> int:
        """Where the next record will be."""
        return self._buffer.tell() - HEADER_SIZE

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

    def close(self) -> None:
        """No thread can append from here on: whoever still holds this segment gets ValueError."""
        self._buffer.close()


class Recorded(NamedTuple):
    """An event as read from a journal."""

    event_id: UUID
    origin: Origin
    event: UsageEvent


class Read(NamedTuple):
    """What `SegmentReader.read` found between two positions."""

    events: list[Recorded]
    end: int
    corrupt: list[tuple[int, bytes]]
    """(position, bytes) of what could not be read as a record."""


class Bytes(Protocol):
    """Where a reader gets a segment's bytes from: a file or this process's memory."""

    def read(self, offset: int, size: int) -> bytes: ...


class SegmentReader:
    """Reads records in order; remembers origins. The caller decides when a position counts as stored."""

    CHUNK = 1 << 18
    PATIENCE = 2.0
    """Seconds that a record of a living writer may look torn before it is taken for corrupt: it may be half-written."""

    def __init__(self, source: Bytes, header: Header) -> None:
        self.header = header
        self.position = 0
        self.events = 0
        """How many events lie before `position`, as far as this reader has moved it."""
        self._source = source
        self._origins: dict[int, Origin] = {}
        self._torn_since: float | None = None

    def start_at(self, position: int) -> None:
        """Go to a position, reading the origins that lie before it."""
        self.position, offset = 0, 0
        while offset < position:
            found = self.read(limit=1 << 14, ended=True, until=position)
            if found.end == offset:
                break
            self.events += len(found.events)
            self.position = offset = found.end
        self.position = position

    def pending(self) -> bool:
        """Whether something lies at the current position."""
        return self._bytes(self.position, 2).strip(b"\0") != b""

    def read(self, limit: int, ended: bool, until: int | None = None) -> Read:
        """At most `limit` events from the current position on. `ended`: nobody writes to this segment any more."""
        events: list[Recorded] = []
        corrupt: list[tuple[int, bytes]] = []
        at = self.position
        buffer, base = b"", at
        while len(events) < limit and (until is None or at < until):
            if len(buffer) - (at - base) < FRAME.size:
                buffer, base = self._bytes(at, self.CHUNK), at
            offset = at - base
            frame = buffer[offset : offset + FRAME.size]
            if len(frame) < FRAME.size or not frame.strip(b"\0"):
                skip = self._next_record(at) if ended and until is None else None
                if skip is None:
                    break
            else:
                marker, length, checksum = FRAME.unpack(frame)
                if marker in (EVENT, ORIGIN) and length <= LARGEST_PAYLOAD:
                    if len(buffer) - offset < FRAME.size + length:
                        buffer, base, offset = self._bytes(at, FRAME.size + LARGEST_PAYLOAD), at, 0
                    payload = buffer[offset + FRAME.size : offset + FRAME.size + length]
                    if len(payload) == length and crc32(payload) == checksum:
                        self._torn_since = None
                        if not self._take(marker, payload, at, events):
                            corrupt.append((at, frame + payload))
                        at += FRAME.size + length
                        continue
                if not (ended or self._waited_long_enough()):
                    break
                skip = self._next_record(at)
            if skip is None:
                if not ended:
                    break
                skip = at + len(self._rest(at))
            corrupt.append((at, self._bytes(at, skip - at)))
            at, buffer, base = skip, b"", skip
        return Read(events, at, corrupt)

    def _take(self, marker: bytes, payload: bytes, at: int, events: list[Recorded]) -> bool:
        try:
            if marker == ORIGIN:
                number, origin = decode_origin(payload)
                self._origins[number] = origin
            else:
                number, event = decode_event(payload)
                events.append(
                    Recorded(event_id(self.header.segment, at, event.started_at), self._origins[number], event)
                )
        except (msgspec.DecodeError, KeyError):
            return False
        return True

    def _waited_long_enough(self) -> bool:
        now = time.monotonic()
        if self._torn_since is None:
            self._torn_since = now
        return now - self._torn_since >= self.PATIENCE

    def _next_record(self, at: int) -> int | None:
        """The position of the first whole record after `at`."""
        rest = self._rest(at)
        found = 0
        while (found := rest.find(EVENT[:1], found + 1)) != -1:
            frame = rest[found : found + FRAME.size]
            if len(frame) == FRAME.size and frame[:2] in (EVENT, ORIGIN):
                _, length, checksum = FRAME.unpack(frame)
                payload = rest[found + FRAME.size : found + FRAME.size + length]
                if len(payload) == length and crc32(payload) == checksum:
                    return at + found
        return None

    def _rest(self, at: int) -> bytes:
        """All that is left, without the zeros that were never written."""
        pieces, offset = [], at
        while piece := self._bytes(offset, 1 << 20):
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces).rstrip(b"\0")

    def _bytes(self, position: int, size: int) -> bytes:
        return self._source.read(HEADER_SIZE + position, size)


def event_id(segment: UUID, position: int, started_at: int) -> UUID:
    """A UUIDv7 that follows from where the event lies, so that it is the same however often the event is read: the
    start in milliseconds, then the position (which orders events of one millisecond), then 42 bits of the segment's
    id."""
    rest = (position & 0xFFFF_FFFF) << 42 | (segment.int & ((1 << 42) - 1))
    milliseconds = (started_at // 1_000_000) & 0xFFFF_FFFF_FFFF
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (rest >> 62) << 64 | 0b10 << 62 | rest & ((1 << 62) - 1))
