"""What is in the middle of something when a process forks: the fork waits for it."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from usage_tracker import forking
from usage_tracker.forking import Undivided, undivided, undivided_for_greenlets


@contextmanager
def another_thread_in(run: Callable[[threading.Event, threading.Event], None]) -> Iterator[threading.Event]:
    """Runs it until it has set its first event; the second lets it go on."""
    inside, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(inside, go))
    thread.start()
    assert inside.wait(30)
    yield go
    go.set()
    thread.join(30)


class Stream(logging.Handler):
    """As one that writes to a buffered stream: that has a lock of its own, which the child inherits as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work = threading.Lock()
        self.inside, self.go = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        with self.at_work:
            self.inside.set()
            assert self.go.wait(30)


def test_a_child_can_write_to_what_a_thread_of_ours_was_logging_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "LONGEST_WAIT", 30.0)
    stream, logger = Stream(), logging.getLogger("usage_tracker")
    logger.addHandler(stream)
    logging_thread = threading.Thread(target=logger.warning, args=("the store is away",))
    logging_thread.start()
    assert stream.inside.wait(30)
    threading.Timer(0.05, stream.go.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if stream.at_work.acquire(timeout=1) else 1)
    _, status = os.waitpid(child, 0)
    logger.removeHandler(stream)
    logging_thread.join()
    assert status == 0


def test_nobody_inside_waits_for_another() -> None:
    undivided = Undivided()

    def stay(inside: threading.Event, go: threading.Event) -> None:
        with undivided():
            inside.set()
            go.wait(30)

    with another_thread_in(stay), another_thread_in(stay), undivided():
        assert not undivided.fork_waits


def test_while_a_fork_is_made_who_is_inside_goes_on_and_nobody_else_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "LONGEST_WAIT", 30.0)
    undivided, entered = Undivided(), threading.Event()

    def enter() -> None:
        with undivided():
            entered.set()

    def stay(inside: threading.Event, go: threading.Event) -> None:
        with undivided():
            inside.set()
            while not undivided.fork_waits:
                go.wait(0.001)
            with undivided():
                pass

    with another_thread_in(stay):
        undivided.before_fork()
        late = threading.Thread(target=enter)
        late.start()
        assert not entered.wait(0.05)
        undivided.after_fork_in_parent()
        assert entered.wait(30)
        late.join()


def test_who_is_stuck_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "LONGEST_WAIT", 0.05)
    undivided = Undivided()

    def stay(inside: threading.Event, go: threading.Event) -> None:
        with undivided():
            inside.set()
            go.wait(30)

    with another_thread_in(stay):
        undivided.before_fork()
        undivided.after_fork_in_parent()
        monkeypatch.setattr(forking, "LONGEST_WAIT", 30.0)
        began = time.monotonic()
        undivided.before_fork()
        undivided.after_fork_in_parent()
        assert time.monotonic() - began < 15


def test_a_fork_that_another_one_kept_waiting_too_long_leaves_the_entrance_to_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forking, "LONGEST_WAIT", 0.05)
    undivided = Undivided()
    undivided.before_fork()

    def fork_too() -> None:
        undivided.before_fork()
        undivided.after_fork_in_parent()

    other = threading.Thread(target=fork_too)
    other.start()
    other.join(30)
    undivided.after_fork_in_parent()
    assert not undivided._entrance._is_owned()  # type: ignore[attr-defined]


def test_who_forks_inside_goes_on_inside_in_both_processes() -> None:
    with undivided():
        child = os.fork()
        if child == 0:
            with undivided():
                os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0


@pytest.mark.parametrize(
    ("name", "monkey"),
    [
        ("gevent.monkey", SimpleNamespace(is_module_patched=lambda name: name == "threading")),
        ("eventlet.patcher", SimpleNamespace(is_monkey_patched=lambda name: name == "thread")),
    ],
)
def test_a_fork_waits_for_transactions_where_a_child_has_its_parents_threads(
    name: str, monkey: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with undivided_for_greenlets():
        assert not undivided._inside
    monkeypatch.setitem(sys.modules, name, monkey)
    with undivided_for_greenlets():
        assert undivided._inside
