"""What a fork must not cut in two.

A forked child has one thread, and of all the others what they held: the lock of the stream that one was writing a line
of a log to, a module that one had half imported, SQLite's notion of which locks this process has, a file that one had
just opened and locked. So whoever is in the middle of such a thing says so, and a fork waits for that. Not for ever, as
its child might.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

LONGEST_WAIT = 2.0
LOOK_SECONDS = 0.001


class Undivided:
    """Any number of threads are inside at a time. None waits there for another, but at the entrance for a fork that is
    being made."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child, where those that were inside are not."""
        self._entrance = threading.RLock()
        self._inside: dict[object, int] = {}
        """The thread of each block. By block, as a generator may be left in another thread than it was entered in."""
        self.fork_waits = False
        """Whether those inside should make haste."""

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A fork waits for the end of the block, up to LONGEST_WAIT."""
        block, thread = object(), threading.get_ident()
        try:
            if thread in list(self._inside.values()):
                self._inside[block] = thread
            else:
                with self._entrance:
                    self._inside[block] = thread
            yield
        finally:
            self._inside.pop(block, None)

    def before_fork(self) -> None:
        """Wait until no other thread is inside, and let none in. May be called more than once for a fork."""
        deadline = time.monotonic() + LONGEST_WAIT
        if self._entrance.acquire(timeout=LONGEST_WAIT):
            try:
                self.fork_waits = True
                while (others := self._others()) and time.monotonic() < deadline:
                    time.sleep(LOOK_SECONDS)
            finally:
                self.fork_waits = False
            for block in others:  # it is stuck: the next fork need not wait for it as well
                self._inside.pop(block, None)

    def _others(self) -> list[object]:
        here = threading.get_ident()
        return [block for block, thread in list(self._inside.items()) if thread != here]

    def after_fork_in_parent(self) -> None:
        """As often as `before_fork`."""
        with suppress(RuntimeError):  # another thread's fork took too long to wait for
            self._entrance.release()


undivided = Undivided()


def undivided_for_greenlets() -> AbstractContextManager[None]:
    """As `undivided`, where a child has its parent's threads as well and what they have begun would be gone on with in
    both processes, on one connection. Elsewhere a fork needs to wait for nothing here."""
    return undivided() if threads_are_greenlets() else nullcontext()


def threads_are_greenlets() -> bool:
    """Whether gevent or eventlet has put theirs in the place of threads."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return (gevent is not None and gevent.is_module_patched("threading")) or (
        eventlet is not None and eventlet.is_monkey_patched("thread")
    )


def handle_undivided(record: logging.LogRecord) -> None:
    """In place of `Logger.handle`, which has handlers write."""
    with undivided():
        type(logger).handle(logger, record)


logger = logging.getLogger("usage_tracker")
logger.handle = handle_undivided  # type: ignore[method-assign]  # another class of the one logger would be everyone's
os.register_at_fork(
    before=undivided.before_fork,
    after_in_parent=undivided.after_fork_in_parent,
    after_in_child=undivided.start_anew,
)
