"""Reading a segment: records in order, over what is damaged, and the ids of events."""

import time
from typing import NamedTuple, Protocol
from uuid import UUID, SafeUUID
from zlib import crc32

import msgspec

from usage_tracker.event import CallKind, Origin, Told, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.journal.frames import (
    CALL,
    EVENT,
    FRAME,
    LARGEST_PAYLOAD,
    LARGEST_RECORD,
    MARKERS,
    ORIGIN,
    decode_call,
    decode_event,
    decode_kind,
    decode_origin,
    starts_with_record,
)  # fmt: skip
from usage_tracker.journal.header import HEADER_SIZE, Header
from usage_tracker.providers.told import UNKNOWN_ORIGIN, event_of, kind_by_layout, unread
from usage_tracker.threads import give_way

guard_told = guarded("read call")
unpack_frame = FRAME.unpack_from


class Recorded(msgspec.Struct, frozen=True, gc=False):
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
    AT_ONCE = 1 << 14
    """Bytes: some hundred events, which take less than a turn beside an app's threads."""
    PATIENCE = 2.0
    """Seconds that a record of a living writer may look torn before it is taken for corrupt: it may be half-written."""

    def __init__(self, source: Bytes, header: Header) -> None:
        self.header = header
        self.position = 0
        self.events = 0
        """How many events lie before `position`, as far as this reader has moved it."""
        self._source = source
        self._origins: dict[int, Origin] = {}
        self._kinds: dict[int, CallKind] = {}
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
            at = self._read_whole(buffer, base, at, limit, until, events, corrupt)
            if len(events) >= limit or (until is not None and at >= until):
                break
            give_way()
            buffer, base = self._bytes(at, self.AT_ONCE), at
            frame = buffer[: FRAME.size]
            if len(frame) < FRAME.size or not frame.strip(b"\0"):
                skip = self._next_record(at) if ended else None
                if skip is None:
                    break
            else:
                marker, length, _ = FRAME.unpack(frame)
                if marker in MARKERS and length <= LARGEST_PAYLOAD:
                    if len(buffer) < FRAME.size + length:
                        buffer = self._bytes(at, LARGEST_RECORD)
                    if starts_with_record(buffer):
                        self._torn_since = None
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

    def _read_whole(
        self, buffer: bytes, base: int, at: int, limit: int, until: int | None,
        events: list[Recorded], corrupt: list[tuple[int, bytes]],
    ) -> int:  # fmt: skip
        """Take the whole records of a buffer, which lies at `base`, from `at` on; where the next record is."""
        segment, origins, last = self.header.segment, self._origins, len(buffer) - FRAME.size
        offset = at - base
        stop = last if until is None else min(last, until - base - 1)
        while offset <= stop and len(events) < limit:
            marker, length, checksum = unpack_frame(buffer, offset)
            start = offset + FRAME.size
            payload = buffer[start : start + length]
            if (
                len(payload) != length
                or length > LARGEST_PAYLOAD
                or marker not in MARKERS
                or crc32(payload) != checksum
            ):
                break
            try:
                if marker == EVENT:
                    number, event = decode_event(payload)
                    origin = origins.get(number, UNKNOWN_ORIGIN)
                    events.append(Recorded(event_id(segment, base + offset, event.started_at), origin, event))
                elif marker == CALL:
                    origin, event = self._event_of(*decode_call(payload))
                    events.append(Recorded(event_id(segment, base + offset, event.started_at), origin, event))
                elif marker == ORIGIN:
                    number, origin = decode_origin(payload)
                    origins[number] = origin
                else:
                    number, kind = decode_kind(payload)
                    self._kinds[number] = kind
            except (msgspec.DecodeError, RecursionError):
                corrupt.append((base + offset, buffer[offset : start + length]))
            offset = start + length
            self._torn_since = None
        return base + offset

    def _event_of(self, number: int, told: Told) -> tuple[Origin, UsageEvent]:
        """What was told, read; where that can't be, only that there was a call."""
        kind = self._kinds.get(number) or kind_by_layout(told)
        if kind is not None:
            with guard_told:
                return event_of(kind, told)
        return UNKNOWN_ORIGIN if kind is None else kind.origin, unread(kind, told)

    def _waited_long_enough(self) -> bool:
        now = time.monotonic()
        if self._torn_since is None:
            self._torn_since = now
        return now - self._torn_since >= self.PATIENCE

    def _next_record(self, at: int) -> int | None:
        """The position of the first whole record after `at`."""
        start = at + 1
        while window := self._bytes(start, self.CHUNK + LARGEST_RECORD):
            found = -1
            while (found := window.find(EVENT[:1], found + 1, self.CHUNK)) != -1:
                if starts_with_record(window[found : found + LARGEST_RECORD]):
                    return start + found
            start += self.CHUNK
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
    milliseconds = (started_at // 1_000_000) & 0xFFFF_FFFF_FFFF
    position &= 0xFFFF_FFFF
    # UUID's own constructor takes half a microsecond more
    made = UUID.__new__(UUID)
    set_number(
        made,
        milliseconds << 80
        | 0x7 << 76
        | position >> 20 << 64
        | 0b10 << 62
        | (position & 0xF_FFFF) << 42
        | segment.int & 0x3FF_FFFF_FFFF,
    )
    set_safety(made, SafeUUID.unknown)
    return made


set_number, set_safety = (vars(UUID)[name].__set__ for name in ("int", "is_safe"))
