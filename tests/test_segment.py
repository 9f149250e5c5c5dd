"""A segment keeps what was appended, byte for byte, and gives back all that is whole."""

import itertools
import mmap
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import RFC_4122, UUID, SafeUUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from usage_tracker.event import Origin, Usage, UsageEvent
from usage_tracker.journal import Segment, SegmentReader
from usage_tracker.journal.frames import EVENT, FRAME, LARGEST_PAYLOAD, encode, framed
from usage_tracker.journal.header import ANY_STORE, HEADER_SIZE, VERSION, Header
from usage_tracker.journal.reader import event_id
from usage_tracker.providers.told import UNKNOWN_ORIGIN

ORIGIN = Origin(sdk="openai", provider="openai", project="alpha", tags=("tier:pro",))
OTHER = Origin(sdk="openai", user_id="u-2")


def made(number: int, **fields: object) -> UsageEvent:
    return UsageEvent(
        started_at=1_790_000_000_000_000_000 + number,
        duration_ms=1.5,
        operation="chat",
        usage=Usage(input_tokens=number),
        **fields,  # type: ignore[arg-type]  # any field of an event
    )


class Writing:
    """A segment in memory, with a reader on it."""

    def __init__(self, size: int = 1 << 16) -> None:
        self.buffer = mmap.mmap(-1, size)
        self.segment = Segment(self.buffer, ANY_STORE, os.getpid())
        header = Header.unpack(self.buffer[:HEADER_SIZE])
        assert header is not None
        self.reader = SegmentReader(self.segment, header)

    def numbers(self, limit: int = 1000, ended: bool = True) -> list[int | None]:
        found = self.reader.read(limit, ended)
        self.reader.position = found.end
        return [recorded.event.usage.input_tokens for recorded in found.events]


def test_events_come_back_in_order_with_their_origins() -> None:
    writing = Writing()
    for number in range(6):
        writing.segment.append(ORIGIN if number % 2 else OTHER, made(number))
    found = writing.reader.read(100, ended=False)
    assert [(each.event, each.origin) for each in found.events] == [
        (made(number), ORIGIN if number % 2 else OTHER) for number in range(6)
    ]
    assert found.corrupt == []


def test_units_come_back_as_they_were_counted() -> None:
    writing = Writing()
    event = made(0)
    event.usage.units = {"searches": 2, "seconds": 4.5}
    writing.segment.append(ORIGIN, event)
    [kept] = writing.reader.read(100, ended=False).events
    assert repr(kept.event.usage.units) == "{'searches': 2, 'seconds': 4.5}"


def test_an_origin_is_written_once() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(1))
    first = writing.segment.position
    writing.segment.append(ORIGIN, made(2))
    assert writing.segment.position - first < first


def test_reading_goes_on_where_the_ledger_says() -> None:
    writing = Writing()
    for number in range(10):
        writing.segment.append(ORIGIN, made(number))
    assert writing.numbers(limit=4) == [0, 1, 2, 3]
    another = SegmentReader(writing.segment, writing.reader.header)
    another.start_at(writing.reader.position)
    assert another.events == 4
    assert [each.event.usage.input_tokens for each in another.read(100, ended=False).events] == list(range(4, 10))


def test_where_the_ledger_says_is_believed_though_what_lies_before_can_not_be_read() -> None:
    writing = Writing()
    for number in range(3):
        writing.segment.append(ORIGIN, made(number))
    beyond = writing.segment.position + 1000
    writing.reader.start_at(beyond)
    assert (writing.reader.position, writing.reader.events) == (beyond, 3)
    assert writing.numbers() == []


@pytest.mark.parametrize("size", [1 << 14, 100_000])
def test_an_event_larger_than_what_is_read_at_once_comes_back_among_small_ones(size: int) -> None:
    writing = Writing(1 << 20)
    events = [made(0), made(1, raw={"words": "w" * size}), made(2), made(3, raw={"words": "w" * size}), made(4)]
    for event in events:
        writing.segment.append(ORIGIN, event)
    assert [each.event for each in writing.reader.read(100, ended=False).events] == events
    assert [each.event for each in writing.reader.read(2, ended=False).events] == events[:2]


def test_an_event_has_the_same_id_however_often_it_is_read() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(1))
    first, again = writing.reader.read(1, False).events[0], writing.reader.read(1, False).events[0]
    assert first.event_id == again.event_id
    assert first.event_id.version == 7


def test_ids_are_ordered_within_a_millisecond() -> None:
    segment = Writing().segment.id
    assert event_id(segment, 100, 5_000_000) < event_id(segment, 200, 5_000_000) < event_id(segment, 0, 6_000_000)


@given(st.uuids(), st.integers(0, 2**33), st.integers(-(10**18), 10**21))
def test_an_id_is_a_version_7_uuid_of_start_place_and_segment(segment: UUID, position: int, started_at: int) -> None:
    made = event_id(segment, position, started_at)
    assert (made.version, made.variant, made.is_safe) == (7, RFC_4122, SafeUUID.unknown)
    assert made.int >> 80 == started_at // 1_000_000 % 2**48
    assert (made.int >> 64 & 0xFFF) << 20 | made.int >> 42 & 0xF_FFFF == position % 2**32
    assert made.int % 2**42 == segment.int % 2**42
    assert UUID(str(made)) == made


def test_a_full_segment_refuses_and_keeps_what_it_has() -> None:
    writing = Writing(size=4096)

    def fill() -> None:
        for number in itertools.count():
            writing.segment.append(ORIGIN, made(number))

    with pytest.raises(ValueError, match="out of range"):
        fill()
    assert writing.segment.events > 10
    assert writing.numbers() == list(range(writing.segment.events))


def test_a_closed_segment_refuses() -> None:
    writing = Writing()
    writing.segment.close()
    with pytest.raises(ValueError, match="closed"):
        writing.segment.append(ORIGIN, made(1))


def test_an_event_larger_than_a_reader_accepts_is_refused() -> None:
    writing = Writing(size=4 * LARGEST_PAYLOAD)
    with pytest.raises(ValueError, match="too large"):
        writing.segment.append(ORIGIN, made(1, raw={"a": "x" * LARGEST_PAYLOAD}))


def torn(writing: Writing, at: int, length: int = 4) -> None:
    writing.buffer[HEADER_SIZE + at : HEADER_SIZE + at + length] = b"\xff" * length


def test_a_damaged_record_is_skipped_up_to_the_next_good_one_and_its_bytes_kept() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    damaged = writing.segment.position
    for number in (1, 2, 3):
        writing.segment.append(ORIGIN, made(number))
    torn(writing, damaged + 20)
    found = writing.reader.read(100, ended=True)
    assert [each.event.usage.input_tokens for each in found.events] == [0, 2, 3]
    assert [position for position, _ in found.corrupt] == [damaged]


def test_what_only_begins_like_a_record_is_none() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    damaged = HEADER_SIZE + writing.segment.position
    writing.segment.append(ORIGIN, made(1, raw={"figures": [EVENT[0] - 256] * 50}))
    writing.segment.append(ORIGIN, made(2))
    assert writing.buffer[damaged:].count(EVENT[:1]) > 50
    writing.buffer[damaged + FRAME.size - 1] ^= 0xFF
    assert writing.numbers() == [0, 2]


def test_a_zeroed_page_in_the_middle_hides_nothing_behind_it() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    hole = writing.segment.position
    writing.segment.append(ORIGIN, made(1))
    end = writing.segment.position
    writing.segment.append(ORIGIN, made(2))
    writing.buffer[HEADER_SIZE + hole : HEADER_SIZE + end] = bytes(end - hole)
    assert writing.numbers() == [0, 2]


def test_a_torn_tail_ends_a_dead_writers_segment() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    tail = writing.segment.position
    writing.segment.append(ORIGIN, made(1))
    torn(writing, tail + 12)
    written = writing.buffer[HEADER_SIZE + tail : HEADER_SIZE + writing.segment.position]
    found = writing.reader.read(10, ended=True)
    assert [each.event.usage.input_tokens for each in found.events] == [0]
    assert found.corrupt == [(tail, written)], "and none of the zeros behind it"
    writing.reader.position = found.end
    assert writing.reader.read(10, ended=True).events == []


def test_a_living_writers_half_written_record_is_waited_for() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    tail = writing.segment.position
    writing.segment.append(ORIGIN, made(1))
    whole = writing.buffer[HEADER_SIZE + tail : HEADER_SIZE + writing.segment.position]
    torn(writing, tail + 12)
    assert writing.numbers(ended=False) == [0]
    writing.buffer[HEADER_SIZE + tail : HEADER_SIZE + writing.segment.position] = whole
    assert writing.numbers(ended=False) == [1]


def test_a_living_writers_record_that_stays_damaged_is_skipped_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    damaged = writing.segment.position
    writing.segment.append(ORIGIN, made(1))
    writing.segment.append(ORIGIN, made(2))
    torn(writing, damaged + 12)
    assert writing.numbers(ended=False) == [0]
    later = time.monotonic() + SegmentReader.PATIENCE + 1
    monkeypatch.setattr("usage_tracker.journal.reader.time.monotonic", lambda: later)
    assert writing.numbers(ended=False) == [2]


def test_behind_a_damaged_record_a_living_writers_next_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    damaged = writing.segment.position
    writing.segment.append(ORIGIN, made(1))
    torn(writing, damaged + 12)
    assert writing.numbers(ended=False) == [0]
    later = time.monotonic() + SegmentReader.PATIENCE + 1
    monkeypatch.setattr("usage_tracker.journal.reader.time.monotonic", lambda: later)
    found = writing.reader.read(10, ended=False)
    assert (found.end, found.events, found.corrupt) == (damaged, [], [])
    writing.segment.append(ORIGIN, made(2))
    assert writing.numbers(ended=False) == [2]


@pytest.mark.parametrize("content", [b"", b"\0" * HEADER_SIZE, b"PK\x03\x04" * 40])
def test_what_is_not_a_segment_is_not_read(content: bytes) -> None:
    assert Header.unpack(content) is None


def test_what_was_appended_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(bytes(1 << 20))
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with open(path, "r+b") as file:
            segment = Segment(mmap.mmap(file.fileno(), 1 << 20), ANY_STORE, os.getpid())
            for number in range(500):
                segment.append(ORIGIN, made(number))
            os.write(tell, b"!")
            signal.pause()
    os.read(told, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    content = path.read_bytes()

    class Content:
        def read(self, offset: int, size: int) -> bytes:
            return content[offset : offset + size]

    header = Header.unpack(content)
    assert header is not None
    assert len(SegmentReader(Content(), header).read(1000, ended=True).events) == 500


def test_origins_behind_a_damaged_stretch_are_known_to_a_reader_that_starts_after_it() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    damaged = writing.segment.position
    writing.segment.append(ORIGIN, made(1))
    end = writing.segment.position
    writing.segment.append(OTHER, made(2))
    stored = writing.segment.position
    writing.segment.append(OTHER, made(3))
    for harm in (b"\xff" * (end - damaged), bytes(end - damaged)):
        writing.buffer[HEADER_SIZE + damaged : HEADER_SIZE + end] = harm
        later = SegmentReader(writing.segment, writing.reader.header)
        later.start_at(stored)
        found = later.read(10, ended=True)
        assert [(each.origin, each.event) for each in found.events] == [(OTHER, made(3))]
        assert later.events == 2


def test_events_whose_origin_is_damaged_are_kept() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    writing.segment.append(ORIGIN, made(1))
    torn(writing, 12)
    found = writing.reader.read(10, ended=True)
    assert [(each.origin, each.event) for each in found.events] == [
        (UNKNOWN_ORIGIN, made(0)),
        (UNKNOWN_ORIGIN, made(1)),
    ]


def test_what_a_sealed_segment_has_can_be_read_and_nothing_is_added() -> None:
    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    end = writing.segment.position
    writing.segment.seal()
    with pytest.raises(ValueError, match="range"):
        writing.segment.append(ORIGIN, made(1))
    assert (writing.segment.position, writing.segment.events, writing.numbers()) == (end, 1, [0])


def test_a_thread_that_was_late_is_within_what_was_sealed() -> None:
    class Late:
        """A buffer to which a thread appends between two of our steps."""

        def __init__(self, buffer: mmap.mmap) -> None:
            self._buffer = buffer

        def tell(self) -> int:
            return self._buffer.tell()

        def seek(self, distance: int, whence: int) -> None:
            self._buffer.write(framed(EVENT, encode((0, made(1)))))
            assert (distance, whence) == (0, os.SEEK_END)
            self._buffer.seek(0, os.SEEK_END)

        def __getitem__(self, at: slice) -> bytes:
            return self._buffer[at]

    writing = Writing()
    writing.segment.append(ORIGIN, made(0))
    writing.segment._buffer = Late(writing.buffer)  # type: ignore[assignment]  # by duck type
    writing.segment.seal()
    assert writing.numbers() == [0, 1]
    assert writing.reader.position == writing.segment.position


def test_a_segment_takes_only_so_many_origins_and_forgets_them_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.journal.segment.MOST_ORIGINS", 2)
    writing = Writing()
    for user in ("u-1", "u-2", "u-1"):
        writing.segment.append(Origin(sdk="openai", user_id=user), made(0))
    with pytest.raises(ValueError, match="origins"):
        writing.segment.append(Origin(sdk="openai", user_id="u-3"), made(0))
    assert len(writing.numbers()) == 3
    writing.segment.close()
    assert writing.segment._numbers == {}


class TestDamagedHeader:
    """Any of its bits may be wrong: the file's name has the segment's id, and the folder is one store's."""

    STORE = b"store-01"

    @pytest.fixture
    def start(self) -> bytes:
        buffer = mmap.mmap(-1, 1 << 16)
        segment = Segment(buffer, self.STORE, os.getpid())
        segment.append(ORIGIN, made(0))
        self.id = segment.id
        return buffer[:1000]

    @given(st.integers(0, 8 * 52 - 1))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_it_is_mended_whichever_bit_is_wrong(self, start: bytes, bit: int) -> None:
        damaged = bytearray(start)
        damaged[bit // 8] ^= 1 << bit % 8
        assert Header.unpack(bytes(damaged)[:HEADER_SIZE]) is None
        mended = Header.mended(bytes(damaged), self.id, self.STORE)
        assert mended is not None
        assert (mended.segment, mended.version) == (self.id, VERSION)

    def test_a_whole_header_needs_no_mending(self, start: bytes) -> None:
        assert Header.mended(start, self.id, self.STORE) is None

    def test_whose_it_was_and_since_when_stays_known(self, start: bytes) -> None:
        whole, mended = Header.unpack(start[:HEADER_SIZE]), Header.mended(b"X" + start[1:], self.id, self.STORE)
        assert mended == whole
        assert (mended and mended.pid) == os.getpid()

    def test_another_stores_segment_stays_so(self, start: bytes) -> None:
        damaged = b"X" + start[1:]
        assert Header.mended(damaged, self.id, b"anothers") is None

    @pytest.mark.parametrize(("wrong", "ours"), [(0xFF, True), (0x1FF, False)])
    def test_a_store_may_differ_by_eight_bits_of_damage(self, start: bytes, wrong: int, ours: bool) -> None:
        store = (int.from_bytes(self.STORE) ^ wrong).to_bytes(8)
        mended = Header.mended(b"X" + start[1:], self.id, store)
        assert (mended and mended.store) == (store if ours else None)

    def test_a_segment_for_any_store_is_mended_for_each(self) -> None:
        buffer = mmap.mmap(-1, 1 << 16)
        segment = Segment(buffer, ANY_STORE, os.getpid())
        segment.append(ORIGIN, made(0))
        mended = Header.mended(b"X" + buffer[1:1000], segment.id, self.STORE)
        assert (mended and mended.store) == self.STORE

    def test_what_has_no_record_is_no_segment(self, start: bytes) -> None:
        assert Header.mended(b"X" + start[1:HEADER_SIZE] + b"other bytes" * 10, self.id, self.STORE) is None
        assert Header.mended(b"X", self.id, self.STORE) is None


def test_without_a_gil_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys._is_gil_enabled", lambda: False, raising=False)
    writing = Writing(1 << 20)

    def write(first: int) -> None:
        for number in range(first, first + 100):
            writing.segment.append(ORIGIN if number % 2 else OTHER, made(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, 400, 100)))
    assert writing.segment._turn is not None
    assert sorted(number or 0 for number in writing.numbers()) == list(range(400))
    writing.segment.seal()
