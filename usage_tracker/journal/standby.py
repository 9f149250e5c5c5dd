"""The segment in which a process goes on when its current one is full, made before that and off the app's thread.

Making a file takes some ten steps, and each gives the interpreter's lock away: beside threads that compute, whoever has
an event at that moment waits 0.1 s for them.
"""

from contextlib import AbstractContextManager, suppress

from usage_tracker.forking import undivided
from usage_tracker.journal.files import OwnFile
from usage_tracker.journal.spool import Spool


class Standby:
    """At most one segment. To others it is one that nothing was written to yet, so that whoever finds it after a kill
    deletes it."""

    def __init__(self, spool: Spool, switching: AbstractContextManager[object]) -> None:
        self._spool = spool
        self._switching = switching
        """Held by who takes it into use."""
        self.made: OwnFile | None = None

    def make(self, size: int) -> None:
        """Make it, unless it is there or the folder is half full: what is left then is for events. Raises as
        `Spool.create` does."""
        made = self.made  # it may be taken into use at any moment
        if made is not None and made.gone():
            self.discard()
        if self.made is None and self._spool.size() + size <= self._spool.max_bytes // 2:
            with undivided():  # until `forget` knows of it
                self.made = self._spool.create(size)

    def discard(self) -> None:
        """It isn't needed any more."""
        with self._switching:
            made, self.made = self.made, None
        if made is not None:
            if not made.segment.position:  # or a signal came while it was taken into use
                with suppress(OSError):  # in a read-only folder it stays for the next leader; or it is gone
                    made.path.unlink()
            made.close()
            made.let_go()
