"""The segments of a folder that whoever ships it has open: descriptors of the app, so that they are few."""

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path

from usage_tracker.forking import undivided
from usage_tracker.journal.claims import Claims
from usage_tracker.journal.files import SharedFile
from usage_tracker.journal.memory_file import MemoryFile
from usage_tracker.journal.spool import Spool

logger = logging.getLogger("usage_tracker")

OPEN_AT_MOST = 128
"""Segments that are open at a time."""


class OpenSegments:
    """Where more segments are in use than may be open, they take turns. Not thread-safe."""

    def __init__(self, spool: Spool, claims: Claims | None) -> None:
        """`claims`: where several processes ship the folder."""
        self.files: dict[Path, SharedFile] = {}
        self._spool = spool
        self._claims = claims
        self._left_alone: set[Path] = set()
        """What is not ours, or another store's."""

    def open(self, memory: list[MemoryFile]) -> list[SharedFile]:
        """Open what is new, the oldest first; not what is kept in `memory` as well. What somebody has taken away is
        kept until it is stored."""
        for path in [path for path, file in self.files.items() if file.is_lost()]:
            self.close(path)
        found = self._spool.segments()
        self._left_alone.intersection_update(found)  # another file may come under that name
        unknown = [path for path in found if path not in self.files and path not in self._left_alone]
        wanted = len(self.files) + len(unknown)
        if self._claims is not None:
            wanted = min(wanted, self._claims.fair(len(found) - len(self._left_alone)))
            self._share(wanted)
        self._make_room(wanted - OPEN_AT_MOST)
        room = min(wanted, OPEN_AT_MOST) - len(self.files)
        fresh: list[SharedFile] = []
        segments = {file.reader.header.segment for file in self.files.values()}
        segments.update(kept.reader.header.segment for kept in memory)
        for path in unknown:
            if len(fresh) >= room:
                break
            if self._claims is not None and not self._claims.take(path):
                continue
            with undivided():  # until `forget` knows of it
                opened = self._opened(path)
                if opened is not None and (opened.reader.header.segment in segments or self._spool.is_copy(opened)):
                    opened.close()  # it is looked at again when the other is done
                elif opened is not None:
                    segments.add(opened.reader.header.segment)
                    self.files[path] = opened
                    fresh.append(opened)
            if path not in self.files:
                self._give_back(path)
        return fresh

    def _opened(self, path: Path) -> SharedFile | None:
        """None for what is left alone, and where this one's disk blocks can't be read: the others' may be whole."""
        try:
            opened = self._spool.open(path)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            logger.debug("a segment can't be opened now: %s", error)
            return None
        if opened is None and os.path.lexists(path):
            self._left_alone.add(path)
        return opened

    def _make_room(self, lacking: int) -> None:
        """Close some of those that are written to, first who has the least to say."""
        if lacking > 0:
            living = [file for file in self.files.values() if not file.ended() and not file.gone()]
            living.sort(key=lambda file: file.reader.pending())
            for file in living[: min(lacking, OPEN_AT_MOST // 4)]:
                self.close(file.path)

    def _share(self, fair: int) -> None:
        """Leave to the other processes what is more than this one's part, as far as nothing of it is stored yet."""
        excess = len(self.files) - fair
        if excess > 0:
            untouched = [file for file in self.files.values() if not file.reader.position and not file.gone()]
            for file in untouched[::-1][:excess]:
                self.close(file.path)

    def _give_back(self, path: Path) -> None:
        if self._claims is not None:
            self._claims.give_back(path)

    def close(self, path: Path) -> None:
        self.files.pop(path).close()
        self._give_back(path)

    def delete(self, file: SharedFile) -> bool:
        """Whether it is gone; in a read-only folder it stays, and does no harm."""
        with suppress(OSError):
            file.delete()
            del self.files[file.path]
            self._give_back(file.path)
            return True
        return False

    def close_all(self) -> None:
        for path in list(self.files):
            self.close(path)

    def forget(self) -> None:
        """In a forked child: our copies are closed, and the locks stay the parent's."""
        files, self.files = self.files, {}
        for file in files.values():
            file.forget()
