"""Ctrl-C while a driver waits for its file or server, in C, where Python hears of no signal until it is back."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from usage_tracker.threads import start_thread

AGAIN_SECONDS = 0.5
"""It may have come just before the statement."""


@contextmanager
def interruptible(give_up: Callable[[], None]) -> Iterator[None]:
    """In the block, Ctrl-C also calls `give_up`, from another thread; the KeyboardInterrupt comes after that. Only in
    the main thread, as no other one is sent signals, and where nobody else handles them."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    told, telling = os.pipe()
    os.set_blocking(telling, False)
    before = signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    listener = start_thread("interrupt", listen, told, give_up)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(telling)
        listener.join()
        os.close(told)


def listen(told: int, give_up: Callable[[], None]) -> None:
    """Until the other end of the pipe is closed. A signal is a byte: its number."""
    pressed = False
    while True:
        if select.select([told], [], [], AGAIN_SECONDS if pressed else None)[0]:
            signals = os.read(told, 16)
            if not signals:
                return
            pressed |= signal.SIGINT in signals
        if pressed:
            give_up()
