"""Amazon's binary event streams, as Bedrock sends them: frames of headers and a payload.
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

LENGTHS = Struct(">II")
"""What a frame begins with: the length of all of it, and that of its headers. A checksum follows."""
AROUND = 16
"""Bytes of a frame that are neither headers nor payload: two lengths and two checksums."""
LONGEST = 24 << 20
"""What says that it is longer is no frame: the format allows 24 MB of payload."""
STRING = 7
"""The type of a header whose value is text."""


class Frame(NamedTuple):
    """One event; checksums are the SDK's to verify."""

    headers: dict[str, str]
    """Those that are text."""
    payload: bytes


def take_frames(buffer: bytearray) -> Iterator[Frame]:
    """Take the complete frames out of the front of `buffer`. What is no such stream is thrown away."""
    while len(buffer) >= LENGTHS.size:
        length, headers = LENGTHS.unpack_from(buffer)
        if not AROUND + headers <= length <= LONGEST:
            buffer.clear()
            return
        if len(buffer) < length:
            return
        whole = bytes(buffer[:length])
        del buffer[:length]
        yield Frame(dict(read_headers(whole[12 : 12 + headers])), whole[12 + headers : -4])


def read_headers(text: bytes) -> Iterator[tuple[str, str]]:
    """The headers up to the first that is no text; Bedrock's all are."""
    at = 0
    while at < len(text):
        name_ends = at + 1 + text[at]
        value_at = name_ends + 3
        if value_at > len(text) or text[name_ends] != STRING:
            return
        value_ends = value_at + int.from_bytes(text[name_ends + 1 : value_at], "big")
        yield text[at + 1 : name_ends].decode("utf-8", "replace"), text[value_at:value_ends].decode("utf-8", "replace")
        at = value_ends
