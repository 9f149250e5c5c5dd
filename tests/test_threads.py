"""Threads of ours."""

import subprocess
import sys

from usage_tracker.threads import start_thread

LATE = """
import os
from usage_tracker.threads import start_thread

class Late:
    def __init__(self):
        self.start, self.write = start_thread, os.write

    def __del__(self):
        try:
            self.start("late", print)
        except RuntimeError:
            self.write(1, b"refused")

late = Late()
"""


def test_what_it_runs_gets_its_arguments() -> None:
    seen: list[object] = []
    start_thread("test", seen.extend, [1, 2]).join()
    assert seen == [1, 2]


def test_at_the_interpreters_end_none_is_started_and_nothing_waits() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"refused", b"")
