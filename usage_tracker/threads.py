"""Threads of ours beside the app's, and how they leave those the interpreter's lock.

A thread that wants the lock has to wait until who has it waits for something itself, or for 5 ms. A batch of a thousand
events takes 60 ms to read, price and write: meanwhile each thread of the app that has got an answer would stand still
for 5 ms. So ours work in turns.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import setcontext
from typing import TypeVar

from usage_tracker.decimals import EXACT
from usage_tracker.forking import threads_are_greenlets

Item = TypeVar("Item")

NAMED = "usage_tracker "
"""What the name of each begins with."""
THE_APPS = signal.valid_signals() - {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
"""Signals that come to no thread of ours: where the app's threads block them, as around what must not be interrupted,
they would. The others are those of a fault, and of whoever looks into it (https://docs.python.org/3/library/faulthandler.html)."""
STACK_BYTES = 1 << 20
"""The least stack: on one that is enough for an app's many small threads, what ours import ended the process."""
TURN_SECONDS = 0.001
PAUSE_SECONDS = 0.0001
"""Long enough for a thread that waits to wake up, as it would not if the lock were only let go."""


class Here(threading.local):
    """Of each thread."""

    turn_ends: float | None = None
    """By the monotonic clock; None: it is the app's, or there is no app beside it."""


here = Here()


class Lasting(threading.Thread):
    """A thread that runs for as long as the process does. A program that waits for each of its threads, by
    `threading.enumerate()`, would wait for ever for its end, as that comes when the program has ended."""

    def join(self, timeout: float | None = None) -> None:
        """Wait where it is said for how long."""
        if timeout is not None:
            super().join(timeout)


def start_thread(name: str, run: Callable[..., object], *args: object) -> threading.Thread:
    """Start a thread that the process doesn't wait for. Raises RuntimeError where none can start any more.

    At the interpreter's end Python 3.12 raises it by itself (https://github.com/python/cpython/issues/104690); before,
    `start` waits there for ever, for a thread that never runs.
    """
    return start(threading.Thread, name, run, args)


def start_lasting(name: str, run: Callable[..., object], *args: object) -> threading.Thread:
    """As `start_thread`, one that ends with the process."""
    return start(Lasting, name, run, args)


def start(
    kind: type[threading.Thread], name: str, run: Callable[..., object], args: tuple[object, ...]
) -> threading.Thread:
    if sys.is_finalizing():
        raise RuntimeError("can't start a thread at the interpreter's end")

    def beside_the_app() -> None:
        if not threads_are_greenlets():  # which run in the app's own
            signal.pthread_sigmask(signal.SIG_BLOCK, THE_APPS)
        here.turn_ends = 0.0
        setcontext(EXACT.copy())
        run(*args)

    thread = kind(target=beside_the_app, name=f"{NAMED}{name}", daemon=True)
    with stack_of(STACK_BYTES):
        thread.start()
    return thread


@contextmanager
def stack_of(least: int) -> Iterator[None]:
    """A thread that is started in here has a stack of that many bytes or more."""
    usual = threading.stack_size()
    small = 0 < usual < least
    try:
        if small:
            threading.stack_size(least)
        yield
    finally:
        if small:
            threading.stack_size(usual)


def is_left_alone() -> bool:
    """Whether the app has no thread any more, and no end of the interpreter is to come. So it is in a child that was
    forked in another thread than the main one and returns from there: it ends once all threads have, ours included."""
    living = threading.enumerate()  # with the main thread, where that waits for the others in the interpreter's end
    # not `is_alive`, which joins a thread that is over, and in such a child waits for ever with CPython 3.14
    return threading.main_thread() not in living and all(thread.name.startswith(NAMED) for thread in living)


def give_way() -> None:
    """In a thread of ours, pause if its turn is over."""
    if here.turn_ends is not None and time.monotonic() >= here.turn_ends:
        time.sleep(PAUSE_SECONDS)
        here.turn_ends = time.monotonic() + TURN_SECONDS


def in_turns(items: Iterable[Item]) -> Iterable[Item]:
    """The items, with pauses in a thread of ours: whoever takes them works on each for much less than a turn."""
    return items if here.turn_ends is None else giving_way(items)


def giving_way(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        give_way()
