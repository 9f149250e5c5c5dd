"""How a record lies in a segment, little-endian: marker (2 bytes), payload length (4), CRC-32 of the payload (4),
payload. Zeros follow the last one.

An event's payload is msgpack of (number of its origin, UsageEvent); an origin's is (number, Origin). A call that was
not read yet is (number of its kind, Told's fields); a kind is (number, CallKind). The checksum is not optional: a
process that is killed in the middle of a write leaves a torn record behind (5 of 60 kills did).
"""

import re
from struct import Struct
from zlib import crc32

import msgspec

from usage_tracker.event import CallKind, Origin, Told, Usage, UsageEvent

FRAME = Struct("<2sII")
ORIGIN, EVENT, KIND, CALL = b"\xf5O", b"\xf5E", b"\xf5K", b"\xf5C"
MARKERS = frozenset((ORIGIN, EVENT, KIND, CALL))
LARGEST_PAYLOAD = 1 << 18
LARGEST_RECORD = FRAME.size + LARGEST_PAYLOAD

encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(tuple[int, UsageEvent]).decode
decode_kind = msgspec.msgpack.Decoder(tuple[int, CallKind]).decode
decode_call = msgspec.msgpack.Decoder(tuple[int, Told]).decode
decode_origin = msgspec.msgpack.Decoder(tuple[int, Origin]).decode


def check(event: UsageEvent) -> None:
    """Raises TypeError, with the name of the field, for an event with a value of another type than its field's: it
    could not be read again."""
    try:
        decode_event(encode((0, event)))
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at ")
        raise TypeError(f"{field_at(place)}: {said}") from None
    except UNWRITABLE as error:
        raise TypeError(f"{unwritable_field(event)}: {error}") from None


def field_at(place: str) -> str:
    """The field of an event, or of its usage, that msgspec calls by such a place as `$[1][13][0]`."""
    _, number, *within = map(int, re.findall(r"\[(\d+)\]", place))
    name = UsageEvent.__struct_fields__[number]
    return Usage.__struct_fields__[within[0]] if name == "usage" else name


UNWRITABLE = (TypeError, msgspec.MsgspecError, OverflowError, UnicodeEncodeError)
"""How msgspec refuses a value that it has no form for, as a number of NumPy's."""


def unwritable_field(event: UsageEvent) -> str:
    """The first field of an event, or of its usage, that holds such a value."""
    for part in (event.usage, event):
        for name in part.__struct_fields__:
            try:
                encode(getattr(part, name))
            except UNWRITABLE:
                return name
    raise AssertionError("each can be written")


def framed(marker: bytes, payload: bytes) -> bytes:
    if len(payload) > LARGEST_PAYLOAD:
        raise ValueError("record too large")
    return FRAME.pack(marker, len(payload), crc32(payload)) + payload


def starts_with_record(content: bytes) -> bool:
    """Whether a whole record is at the beginning."""
    if len(content) < FRAME.size:
        return False
    marker, length, checksum = FRAME.unpack_from(content)
    payload = content[FRAME.size : FRAME.size + length]
    return marker in MARKERS and len(payload) == length <= LARGEST_PAYLOAD and crc32(payload) == checksum
