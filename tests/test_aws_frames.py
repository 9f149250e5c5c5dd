"""Amazon's binary event streams, as far as they are read."""

from anthropic_server import chunk_frame, frame
from hypothesis import given
from hypothesis import strategies as st

from usage_tracker.capture.aws_frames import AROUND, LENGTHS, LONGEST, Frame, take_frames
from usage_tracker.capture.bodies import event_in
from usage_tracker.demo.exchange import Json


def read(*pieces: bytes) -> list[Frame]:
    buffer = bytearray()
    found: list[Frame] = []
    for piece in pieces:
        buffer += piece
        found += take_frames(buffer)
    return found


@given(st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_found_however_they_are_cut(sizes: list[int]) -> None:
    sent: list[Json] = [{"type": "ping"}, {"type": "message_delta", "usage": {"output_tokens": 5}}, {}]
    rest = b"".join(map(chunk_frame, sent))
    pieces = []
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert [event_in(found) for found in read(*pieces, rest)] == sent


def test_an_exception_is_an_event_that_says_so() -> None:
    (found,) = read(frame({":message-type": "exception", ":exception-type": "throttlingException"}, {"message": "…"}))
    assert event_in(found) == {"type": "error", "error": {"type": "throttlingException"}}


def test_headers_are_read_up_to_the_first_that_is_no_text() -> None:
    (found,) = read(frame({"a": "b", "cd": "efg"}, {}).replace(b"\x02cd\x07", b"\x02cd\x06"))
    assert found == Frame({"a": "b"}, b"{}")


def test_a_header_that_is_no_unicode_is_read_as_far_as_it_is() -> None:
    (found,) = read(frame({"ab": "cd"}, {}).replace(b"\x02ab", b"\x02\xffb").replace(b"\x02cd", b"\x02\xffd"))
    assert found.headers == {"\ufffdb": "\ufffdd"}


def test_a_frame_is_waited_for_as_long_as_it_may_be_one() -> None:
    for length, waits in ((LONGEST, True), (LONGEST + 1, False), (AROUND, True), (AROUND - 1, False)):
        buffer = bytearray(LENGTHS.pack(length, 0))
        assert list(take_frames(buffer)) == []
        assert bool(buffer) is waits


def test_what_a_frame_holds_may_be_anything() -> None:
    for payload in ({}, {"bytes": 5}, {"bytes": "no base64!"}, {"bytes": "W10="}):
        assert [event_in(found) for found in read(frame({}, payload))] == [{}]


@given(st.lists(st.binary(max_size=40)))
def test_what_is_no_such_stream_gives_no_error(pieces: list[bytes]) -> None:
    for found in read(*pieces):
        event_in(found)
