"""Which process ships a segment, where a leader has several that do.

A claim is a lock on one byte of the file `claims`, at the place that the segment's name says: the system lets go of the
claims of a process that is killed, and the others take them. Claims only keep two processes from doing the same work.
That nothing is stored twice is the store's doing, which moves a segment's position for one of them.
"""

import fcntl
import hashlib
from contextlib import suppress
from pathlib import Path

from usage_tracker.journal.disk import Descriptor, is_at
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.journal.spool import Spool, identity_in_name

NAME = "claims"
PLACE_BITS = 62
"""Of what a file's offset may be."""


class Claims:
    """Those of one of so many `processes`. Locks of this kind are a process's: there is one of these in each."""

    def __init__(self, spool: Spool, processes: int) -> None:
        self._spool = spool
        self._processes = processes
        self._file: Descriptor | None = None

    def fair(self, segments: int) -> int:
        """How many of the folder's segments this process may have."""
        return -(-segments // self._processes)

    def take(self, path: Path) -> bool:
        """Whether that segment is this process's from now on. Never for long where the folder can't be used."""
        try:
            fcntl.lockf(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place_of(path))
        except (OSError, SpoolUnusable):
            return False
        return True

    def give_back(self, path: Path) -> None:
        with suppress(OSError):
            if self._file is not None:
                fcntl.lockf(self._file.number, fcntl.LOCK_UN, 1, place_of(path))

    def _opened(self) -> int:
        """The file, or the one of the folder that has come in the place of another."""
        path = self._spool.folder / NAME
        if self._file is not None and not is_at(self._file.number, path):
            self._file.close()
            self._file = None
        if self._file is None:
            self._spool.prepare()
            self._file = self._spool.open_own(path, 0)
        return self._file.number


def place_of(path: Path) -> int:
    identity = identity_in_name(path)
    name = path.name.encode("utf-8", "surrogateescape") if identity is None else identity.bytes
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) >> (64 - PLACE_BITS)
