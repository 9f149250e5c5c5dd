"""Reading a segment: records in order, over what is damaged, and the ids of events."""

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID, SafeUUID
from zlib import crc32

import msgspec

from usage_tracker.event import CallKind, Origin, Told, UsageEvent, event_number
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
from usage_tracker.providers.alike_calls import HOUR, TOGETHER_AT_MOST, Gathered, pattern_of_record
from usage_tracker.providers.patterns import Patterns, patterns_of_event, patterns_of_kind
from usage_tracker.providers.told import UNKNOWN_ORIGIN, event_of, kind_by_layout, unread
from usage_tracker.threads import give_way

RECORDED = frozenset((CALL, EVENT))

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
    alike: Sequence[Gathered]
    """More events."""
    size: int
    """How many events were found."""


class Finding:
    """What is found while a segment is read."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self.corrupt: list[tuple[int, bytes]] = []
        self.alike: list[Gathered] = []
        self.open: dict[tuple[object, ...], Gathered] = {}
        """Of these, who still takes calls, by what they have to have in common."""
        self.size = 0
        """How many events there are in both."""


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
        self._patterns: dict[int, Patterns] = {}
        """By the number of a kind."""
        self._torn_since: float | None = None
        self._segment = header.segment.int

    def start_at(self, position: int) -> None:
        """Go to a position, reading the origins that lie before it."""
        self.position, offset = 0, 0
        while offset < position:
            found = self.read(limit=1 << 14, ended=True, until=position)
            if found.end == offset:
                break
            self.events += found.size
            self.position = offset = found.end
        self.position = position

    def pending(self) -> bool:
        """Whether something lies at the current position."""
        return self._bytes(self.position, 2).strip(b"\0") != b""

    def read(self, limit: int, ended: bool, until: int | None = None, *, gather: bool = False) -> Read:
        """At most `limit` events from the current position on. `ended`: nobody writes to this segment any more.
        `gather`: those that are alike may come together."""
        found = Finding()
        at = self.position
        buffer, base = b"", at
        while True:
            at = self._read_whole(buffer, base, at, limit, until, found, gather)
            if found.size >= limit or (until is not None and at >= until):
                break
            give_way()
            buffer, base = self._buffered(at), at
            if starts_with_record(buffer):
                self._torn_since = None
                continue
            end = self._end_of_damage(at, buffer[: FRAME.size], ended)
            if end is None:
                break
            found.corrupt.append((at, self._bytes(at, end - at)))
            at, buffer, base = end, b"", end
        return Read(found.events, at, found.corrupt, found.alike, found.size)

    def _buffered(self, at: int) -> bytes:
        """What lies from there on, with all of the first record."""
        buffer = self._bytes(at, self.AT_ONCE)
        if len(buffer) >= FRAME.size:
            marker, length, _ = unpack_frame(buffer)
            if marker in MARKERS and len(buffer) < FRAME.size + length <= LARGEST_RECORD:
                return self._bytes(at, LARGEST_RECORD)
        return buffer

    def _end_of_damage(self, at: int, frame: bytes, ended: bool) -> int | None:
        """Where to go on behind what is no record; None where nothing is to be read, or nothing yet."""
        if len(frame) < FRAME.size or not frame.strip(b"\0"):
            return self._next_record(at) if ended else None
        if not (ended or self._waited_long_enough()):
            return None
        following = self._next_record(at)
        return at + len(self._rest(at)) if following is None and ended else following

    def _read_whole(
        self, buffer: bytes, base: int, at: int, limit: int, until: int | None, found: Finding, gather: bool
    ) -> int:
        """Take the whole records of a buffer, which lies at `base`, from `at` on; where the next record is."""
        segment, last, events = self.header.segment, len(buffer) - FRAME.size, found.events
        offset = at - base
        stop = last if until is None else min(last, until - base - 1)
        while offset <= stop and found.size < limit:
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
                if marker in RECORDED:
                    if not gather or not self._gather(marker, payload, base + offset, found):
                        origin, event = self._one(marker, payload)
                        events.append(Recorded(event_id(segment, base + offset, event.started_at), origin, event))
                    found.size += 1
                elif marker == ORIGIN:
                    number, origin = decode_origin(payload)
                    self._origins[number] = origin
                else:
                    number, kind = decode_kind(payload)
                    self._kinds[number] = kind
                    self._patterns[number] = patterns_of_kind(kind)
            except (msgspec.DecodeError, RecursionError):
                found.corrupt.append((base + offset, buffer[offset : start + length]))
            offset = start + length
            self._torn_since = None
        return base + offset

    def _gather(self, marker: bytes, payload: bytes, position: int, found: Finding) -> bool:
        """Put the call to those that it is alike; whether there are any."""
        number = number_of(payload)
        about = self._kinds.get(number) if marker == CALL else self._origins.get(number)
        if about is None:
            return False
        patterns = self._patterns[number] if isinstance(about, CallKind) else patterns_of_event(about, payload)
        read = patterns.read(payload)
        if read is None:
            with guard_told:
                patterns.learn(partial(pattern_of_record, about, payload))
            return False
        pattern, values = read
        if values is None:
            return False
        key = (pattern, values[3], values[4], values[0] // HOUR)
        gathered = found.open.get(key)
        if gathered is None or len(gathered.event_ids) >= TOGETHER_AT_MOST:
            gathered = found.open[key] = Gathered(pattern, key)
            found.alike.append(gathered)
        gathered.abouts.append(about)
        gathered.values.append(values)
        gathered.event_ids.append(event_number(self._segment, position, values[0]))
        gathered.payloads.append(payload)
        return True

    def _one(self, marker: bytes, payload: bytes) -> tuple[Origin, UsageEvent]:
        """The event of a record, and where it came from."""
        if marker == CALL:
            return self._event_of(*decode_call(payload))
        number, event = decode_event(payload)
        return self._origins.get(number, UNKNOWN_ORIGIN), event

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


def number_of(payload: bytes) -> int:
    """The first of the two things that a payload is of, as our encoder writes it; -1 where it is none of a kind or
    origin."""
    first = payload[1] if len(payload) > 3 and payload[0] == 0x92 else 0xFF
    if first < 0x80:
        return first
    return payload[2] if first == 0xCC else payload[2] << 8 | payload[3] if first == 0xCD else -1


def event_id(segment: UUID, position: int, started_at: int) -> UUID:
    # UUID's own constructor takes half a microsecond more
    made = UUID.__new__(UUID)
    set_number(made, event_number(segment.int, position, started_at))
    set_safety(made, SafeUUID.unknown)
    return made


set_number, set_safety = (vars(UUID)[name].__set__ for name in ("int", "is_safe"))
