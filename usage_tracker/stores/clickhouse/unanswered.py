"""The block that is on its way: until its outcome is known, the very same one is sent again, and nothing else.

A server may store a block whose writer was killed, or waits no longer. So it is kept in memory and, where there is a
spool folder, in a file beside the journal, where the next leader finds it: that lasts as long as the events do.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from usage_tracker.event import Stretch

NAME = "clickhouse.block"


class Unanswered(NamedTuple):
    """A block, and the statement that inserts it."""

    stretches: list[Stretch]
    sql: str
    token: str
    block: bytes


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Unanswered).decode


class Keeper:
    """Keeps one block at a time."""

    def __init__(self, spool: Path | None) -> None:
        self._path = None if spool is None else spool / NAME
        self._kept: Unanswered | None = None
        self._looked = False

    def kept(self) -> Unanswered | None:
        """The block whose outcome isn't known, if there is one."""
        if not self._looked:
            self._looked = True
            if self._path is not None and self._kept is None:
                # what is not whole was never sent
                with suppress(OSError, msgspec.DecodeError):
                    self._kept = decode(self._path.read_bytes())
        return self._kept

    def keep(self, block: Unanswered) -> None:
        """Before it is sent. Where the disk takes nothing, it is kept in memory alone."""
        self._kept, self._looked = block, True
        if self._path is None:
            return
        with suppress(OSError):
            unready = self._path.with_suffix(".unready")
            # whoever may read the folder may lead
            descriptor = os.open(unready, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o660)
            with open(descriptor, "wb") as file:
                file.write(encode(block))
            os.replace(unready, self._path)

    def forget(self) -> None:
        """Its outcome is known."""
        self._kept = None
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def look_again(self) -> None:
        """Another process may have led meanwhile."""
        if self._path is not None and self._kept is None:
            self._looked = False
