"""The bell of a spool folder: a named pipe by which other processes wake its leader before the next round."""

import os
import select
from contextlib import suppress
from pathlib import Path

from usage_tracker.descriptors import Descriptor
from usage_tracker.journal.disk import OPEN_SAFELY, share


class Bell:
    """Who leads opens it to listen; anybody may ring. Where it can't be had, the leader comes with its next round."""

    def __init__(self, folder: Path, group: int | None) -> None:
        self._path = folder / "bell"
        self._group = group
        self._pipe: Descriptor | None = None

    def open(self) -> None:
        with suppress(OSError):
            if not self._path.exists():
                os.mkfifo(self._path, 0o600)
            self._pipe = Descriptor(os.open(self._path, os.O_RDWR | OPEN_SAFELY))
            share(self._pipe.number, self._group)

    def ring(self) -> None:
        """Wake the leader, if there is one."""
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | OPEN_SAFELY)
            try:
                os.write(descriptor, b"!")
            finally:
                os.close(descriptor)

    def listen(self, seconds: float) -> bool:
        """The leader's pause, until it rings. False where it is not open here and nothing was waited for."""
        pipe = self._pipe
        if pipe is None or not pipe.is_open():
            return False
        rung = select.poll()  # select() knows no descriptor beyond 1,023
        rung.register(pipe.number, select.POLLIN)
        rung.poll(seconds * 1000)
        with suppress(BlockingIOError):
            while pipe.is_open() and os.read(pipe.number, 4096):
                pass
        return True

    def close(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
