"""Threads of ours."""

import decimal
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from types import SimpleNamespace

import pytest
from spooled import Place, append, ids

from usage_tracker import threads
from usage_tracker.threads import give_way, in_turns, start_lasting, start_thread

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


def test_a_program_that_waits_for_all_its_threads_ends() -> None:
    """By `join()` of whatever `threading.enumerate()` gives, as many scripts do."""
    ended = threading.Event()
    thread = start_lasting("test", ended.wait)
    assert thread in threading.enumerate()
    thread.join()
    assert thread.is_alive()
    ended.set()
    thread.join(60)
    assert not thread.is_alive()


def test_the_apps_signals_do_not_come_to_it() -> None:
    """Else one that all of the app's threads block would end the program in the middle of what must be whole."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    blocked: list[int] = []
    start_thread("test", lambda: blocked.extend(signal.pthread_sigmask(signal.SIG_BLOCK, ()))).join()
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1} <= set(blocked)
    assert signal.SIGSEGV not in blocked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_where_threads_are_greenlets_the_apps_one_thread_blocks_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A greenlet runs in it."""
    monkey = SimpleNamespace(is_module_patched=lambda name: name == "threading")
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    blocked: list[set[int]] = []
    start_thread("test", lambda: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))).join()
    assert blocked == [before]


def test_its_stack_is_large_enough_where_the_apps_are_small() -> None:
    least = 1 << 15 if sys.version_info < (3, 14) else 53_248
    script = f"import threading; from usage_tracker.threads import start_thread; threading.stack_size({least})\n"
    script += "start_thread('test', __import__, 'genai_prices').join(); print(threading.stack_size())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (f"{least}\n", "", 0)


def test_its_decimals_do_not_depend_on_those_of_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decimal.DefaultContext, "prec", 3)
    seen: list[Decimal] = []
    start_thread("test", lambda: seen.append(Decimal("1234.5678") + 1)).join()
    assert seen == [Decimal("1235.5678")]


def test_at_the_interpreters_end_none_is_started_and_nothing_waits() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"refused", b"")


class TestTurns:
    """Threads of ours leave the app's the interpreter's lock every now and then."""

    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(threads, "TURN_SECONDS", 0.0)

    @pytest.fixture
    def slept(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Which thread has slept, as often as it has."""
        slept: list[str] = []
        monkeypatch.setattr(time, "sleep", lambda _: slept.append(threading.current_thread().name))
        return slept

    def test_ours_pause_between_two_things(self, slept: list[str]) -> None:
        seen: list[int] = []
        start_thread("test", lambda: seen.extend(in_turns(range(3)))).join()
        assert (seen, slept) == ([0, 1, 2], ["usage_tracker test"] * 3)

    def test_the_apps_never_do_nor_a_process_that_only_ships(self, slept: list[str]) -> None:
        things = [1, 2, 3]
        assert in_turns(things) is things
        give_way()
        assert slept == []

    def test_one_that_has_just_paused_goes_on(self, slept: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(threads, "TURN_SECONDS", 60.0)
        start_thread("test", lambda: list(in_turns(range(1000)))).join()
        assert len(slept) == 1

    def test_a_batch_is_read_priced_and_written_in_turns(self, place: Place, slept: list[str]) -> None:
        append(place.journal, 50)
        place.journal.close()
        shipper = place.shipper()
        assert shipper.spool.lead()
        start_thread("test", shipper.step).join()
        assert place.stored() == ids(50)
        assert len(slept) > 50, "once for each row that is written, and in between"
        shipper.close()
