"""Ctrl-C while a store works on a statement that takes long."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import read_sql
from usage_tracker.stores.interrupting import interruptible

ENDLESS = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgres": "SELECT pg_sleep(600)",
}


@contextmanager
def pressed() -> Iterator[None]:
    """Ctrl-C, as the terminal sends it, after a moment."""
    main = threading.main_thread().ident
    assert main is not None
    pressing = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
    pressing.start()
    try:
        yield
    finally:
        pressing.join()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_question_ends_at_once(kind: str, request: pytest.FixtureRequest) -> None:
    dsn = "sqlite:///:memory:" if kind == "sqlite" else request.getfixturevalue("postgres_dsn")
    with (
        pytest.raises(KeyboardInterrupt),
        pressed(),
        closing(read_sql(parse_dsn(dsn), ENDLESS[kind])) as rows,
    ):
        list(rows)


def test_who_waits_is_told_and_the_wakeups_of_before_come_back() -> None:
    told, before = threading.Event(), signal.set_wakeup_fd(-1)
    with pytest.raises(KeyboardInterrupt), interruptible(told.set), pressed():
        time.sleep(20)
    assert told.is_set()
    assert signal.set_wakeup_fd(before) == -1


def test_who_handles_ctrl_c_decides_what_it_ends() -> None:
    told, handled = threading.Event(), threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: handled.set())
    try:
        with interruptible(told.set), pressed():
            assert handled.wait(20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not told.is_set()


def test_elsewhere_than_in_the_main_thread_nothing_is_done() -> None:
    entered = []

    def enter() -> None:
        with interruptible(lambda: None):
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]
