"""Threads of ours beside the app's."""

import sys
import threading
from collections.abc import Callable


def start_thread(name: str, run: Callable[..., object], *args: object) -> threading.Thread:
    """Start a thread that the process doesn't wait for. Raises RuntimeError where none can start any more.

    At the interpreter's end Python 3.12 raises it by itself (https://github.com/python/cpython/issues/104690); before,
    `start` waits there for ever, for a thread that never runs.
    """
    if sys.is_finalizing():
        raise RuntimeError("can't start a thread at the interpreter's end")
    thread = threading.Thread(target=run, args=args, name=f"usage_tracker {name}", daemon=True)
    thread.start()
    return thread
