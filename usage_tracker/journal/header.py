"""The first 80 bytes of a segment, little-endian: magic, version, header size, pid, segment id, store identity,
creation time, checksum of all that; then two counters that the leader writes back, stored position and stored events.

A position counts bytes from the end of the header.
"""

from struct import Struct
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from usage_tracker.journal.frames import starts_with_record

MAGIC = b"usagejnl"
VERSION = 2
READABLE = frozenset((1, 2))
"""Version 1 has no calls that are still to be read; who only knows that leaves later ones alone."""
IDENTITY = Struct("<8sHHI16s8sQ")
CHECKSUM = Struct("<I4x")
STORED = Struct("<QQ")
STORED_AT = IDENTITY.size + CHECKSUM.size
HEADER_SIZE = STORED_AT + STORED.size + 8
ANY_STORE = bytes(8)
"""The store identity of a process that doesn't know its store, such as an app beside a sidecar."""
MOST_WRONG_BITS = 8
"""Two stores whose identities differ in so few of 64 bits are one in ten thousand millions."""


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
        if not is_whole(header):
            return None
        magic, version, size, pid, segment, store, created_at = IDENTITY.unpack_from(header)
        if magic != MAGIC or version not in READABLE or size != HEADER_SIZE:
            return None
        return cls(version, pid, UUID(bytes=segment), store, created_at)

    @classmethod
    def mended(cls, start: bytes, segment: UUID, store: bytes) -> "Header | None":
        """The header of a damaged segment, from what its file's name says. `start` is the header and the first record.

        None where it may be another store's: all but a few bits of its store have to be those of `store`.
        """
        if len(start) < HEADER_SIZE or is_whole(start[:HEADER_SIZE]) or not starts_with_record(start[HEADER_SIZE:]):
            return None
        _, _, _, pid, _, found, created_at = IDENTITY.unpack_from(start)
        wrong = (int.from_bytes(found) ^ int.from_bytes(store)).bit_count()
        if wrong > MOST_WRONG_BITS and found != ANY_STORE:
            return None
        return cls(VERSION, pid, segment, store, created_at)


def is_whole(header: bytes) -> bool:
    """Whether these are the bytes that somebody wrote as a header."""
    if len(header) < HEADER_SIZE:
        return False
    return bool(crc32(header[: IDENTITY.size]) == CHECKSUM.unpack_from(header, IDENTITY.size)[0])
