"""The background thread of a process that doesn't ship: it looks at what one that ships looks at between batches."""

import threading
from collections.abc import Callable

from usage_tracker.guard import guarded
from usage_tracker.threads import start_lasting

LOOK_SECONDS = 0.5


class Looking:
    """Calls `look` every LOOK_SECONDS, once it was started."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread, once. Raises RuntimeError where none can start."""
        if self._thread is None:
            self._thread = start_lasting("look", self._run, self._stopping)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            with guarded("look"):
                self._look()
            stopping.wait(LOOK_SECONDS)

    def stop(self) -> None:
        """Without waiting for the thread."""
        self._stopping.set()

    def forget(self) -> None:
        """In a forked child: there is no thread here."""
        self._thread, self._stopping = None, threading.Event()
