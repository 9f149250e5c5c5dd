"""How a process ends: past atexit, as a pool's child does, and of an interrupt."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from usage_tracker.guard import guarded


class Pools:
    """The ends of pools' children, which leave by os._exit, past atexit."""

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._at_end = at_end
        self._finalizer: Any = None
        """What calls `at_end` in a child of multiprocessing."""
        self._begins_with_us = False
        """Whether each such child is given one as it begins."""

    def end_with_them(self) -> None:
        """Where this process is such a child, or becomes one's parent, `at_end` is called by what its pool calls."""
        self._end_with_multiprocessing()
        self._end_with_celery()

    def _end_with_multiprocessing(self) -> None:
        """A child of multiprocessing has a list of finalizers instead, which it empties as it begins; then it calls
        what is to be called after a fork."""
        process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
        if process is None or util is None:
            return
        if not self._begins_with_us:
            util.register_after_fork(self, Pools._end_with_multiprocessing)
            self._begins_with_us = True
        if process.parent_process() is not None and (self._finalizer is None or not self._finalizer.still_active()):
            self._finalizer = util.Finalize(None, self._at_end, exitpriority=10)

    def _end_with_celery(self) -> None:
        """A process of Celery's pool says that it ends; its finalizers are not called.
        https://github.com/celery/billiard/blob/v4.2.1/billiard/pool.py (_do_exit)"""
        signals = sys.modules.get("celery.signals")
        if signals is not None:
            with guarded("celery"):
                signals.worker_process_shutdown.connect(
                    self._at_celerys_end, weak=False, dispatch_uid="usage_tracker: end"
                )

    def _at_celerys_end(self, **_: object) -> None:
        self._at_end()

    def forget(self) -> None:
        """In a forked child: the finalizer was the parent's."""
        self._finalizer = None


def stay_interrupted() -> None:
    """A program that an interrupt ended is to die of it, so that a shell's loop ends, too. Python notes that, and
    forgets it with the next text that is evaluated, as for each named tuple of a module that we import at the end; one
    whose evaluation is interrupted has it noted again.
    https://github.com/python/cpython/blob/v3.11.7/Python/pythonrun.c (run_eval_code_obj)"""
    traceback = getattr(sys, "last_traceback", None)
    ended = traceback is not None and traceback.tb_frame.f_back is None and not hasattr(sys, "ps1")
    if ended and getattr(sys, "last_type", None) is KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102  a text of ours
