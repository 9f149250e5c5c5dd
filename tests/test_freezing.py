"""Handlers that are frozen once they have returned: their calls are stored by then, and they stay what they are."""

import asyncio
import inspect
import os
import pickle
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import usage_tracker
from usage_tracker import tracker


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The SQLite file of a tracker that is installed."""
    usage_tracker.install(f"sqlite:///{tmp_path}/usage.db", spool_dir=tmp_path / "spool")
    yield tmp_path / "usage.db"
    usage_tracker.uninstall()


def call() -> None:
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=10, output_tokens=1)


def stored(file: Path) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        connection.close()


class Context:
    """What AWS Lambda gives its handlers, as far as it concerns us."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@usage_tracker.flush_after(timeout=20)
def handler(event: dict[str, int], context: object = None) -> int:
    """Answers."""
    call()
    return 100 // event["by"]


@usage_tracker.flush_after(timeout=20)
async def coroutine(event: dict[str, int], context: object = None) -> int:
    call()
    await asyncio.sleep(0)
    return 100 // event["by"]


class Service:
    @usage_tracker.flush_after(timeout=20)
    def handle(self, by: int) -> int:
        call()
        return 100 // by


def test_when_it_returns_its_calls_are_stored(file: Path) -> None:
    for handled in range(1, 4):
        assert handler({"by": 5}) == 20
        assert stored(file) == handled


def test_when_it_raises_its_calls_are_stored_and_the_exception_is_its_own(file: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        handler({"by": 0})
    assert stored(file) == 1
    assert raised.value.__context__ is None


def test_methods_are_handlers_too(file: Path) -> None:
    assert Service().handle(4) == 25
    assert stored(file) == 1


def test_coroutines_are_the_same(file: Path) -> None:
    assert asyncio.run(coroutine({"by": 5})) == 20
    assert stored(file) == 1
    with pytest.raises(ZeroDivisionError):
        asyncio.run(coroutine({"by": 0}))
    assert stored(file) == 2


def test_the_loop_goes_on_while_a_coroutines_calls_are_stored(file: Path) -> None:
    call()
    assert usage_tracker.flush(20)
    writer = sqlite3.connect(file, isolation_level=None)

    async def main() -> None:
        writer.execute("BEGIN IMMEDIATE")  # until the loop has gone on, nobody else writes
        handling = asyncio.ensure_future(coroutine({"by": 5}))
        await asyncio.sleep(0.1)
        assert not handling.done()
        writer.execute("ROLLBACK")
        assert await handling == 20

    asyncio.run(main())
    writer.close()
    assert stored(file) == 2


def test_a_coroutine_that_is_cancelled_ends_as_cancelled_and_its_calls_are_stored(file: Path) -> None:
    @usage_tracker.flush_after(timeout=20)
    async def endless() -> None:
        call()
        await asyncio.sleep(60)

    async def main() -> None:
        handling = asyncio.ensure_future(endless())
        await asyncio.sleep(0.01)
        handling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handling

    asyncio.run(main())
    assert stored(file) == 1


def test_a_coroutine_that_is_closed_early_ends_there_and_then(file: Path) -> None:
    handling = coroutine({"by": 5})
    handling.send(None)
    handling.close()  # raises RuntimeError where something is awaited on the way out


def test_a_coroutine_in_no_loop_of_asyncio_is_stored_too(file: Path) -> None:
    handling = coroutine({"by": 5})
    handling.send(None)
    with pytest.raises(StopIteration) as ended:
        handling.send(None)
    assert ended.value.value == 20
    assert stored(file) == 1


def test_a_handler_stays_what_it_was() -> None:
    assert str(inspect.signature(handler)) == "(event: dict[str, int], context: object = None) -> int"
    assert (handler.__name__, handler.__doc__, handler.__module__) == ("handler", "Answers.", __name__)
    assert inspect.iscoroutinefunction(coroutine)
    assert not inspect.iscoroutinefunction(handler)
    assert pickle.loads(pickle.dumps(handler)) is handler


def test_without_install_nothing_is_done() -> None:
    assert tracker.installed is None
    assert handler({"by": 5}) == 20
    assert asyncio.run(coroutine({"by": 5})) == 20


def test_without_a_call_nothing_is_started(file: Path) -> None:
    @usage_tracker.flush_after
    def idle() -> str:
        return "done"

    assert idle() == "done"
    assert not file.exists()


def test_a_store_that_is_known_to_be_away_is_not_waited_for(tmp_path: Path) -> None:
    usage_tracker.install("postgresql://me@127.0.0.1:9/usage", spool_dir=tmp_path, exit_timeout=0)
    try:
        started = time.monotonic()
        assert handler({"by": 5}) == 20
        assert time.monotonic() - started < 10, "half of what it may take"
        assert usage_tracker.stats().pending == 1
    finally:
        usage_tracker.uninstall()


def test_where_nobody_ships_nobody_waits(tmp_path: Path) -> None:
    usage_tracker.install(ship=False, spool_dir=tmp_path)
    try:
        started = time.monotonic()
        assert handler({"by": 5}) == 20
        assert time.monotonic() - started < 10
        assert usage_tracker.stats().pending == 1
    finally:
        usage_tracker.uninstall()


@pytest.mark.parametrize(("timeout", "milliseconds"), [(0.3, 60_000), (20.0, 400)])
def test_a_store_that_hangs_is_waited_for_as_long_as_there_is_time(
    tmp_path: Path, timeout: float, milliseconds: int
) -> None:
    @usage_tracker.flush_after(timeout=timeout)
    def bounded(event: object, context: object) -> str:
        call()
        return "done"

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dsn = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/usage?connect_timeout=30"
        usage_tracker.install(dsn, spool_dir=tmp_path, exit_timeout=0)
        try:
            started = time.monotonic()
            assert bounded({}, Context(milliseconds)) == "done"
            assert 0.1 < time.monotonic() - started < 10
        finally:
            usage_tracker.uninstall()


def test_a_limit_that_is_no_number_is_refused_where_a_handler_is_defined_and_not_at_each_call() -> None:
    with pytest.raises(ValueError, match="soon"):
        usage_tracker.flush_after(timeout="soon")  # type: ignore[call-overload]  # that is the point


FROZEN = """
import os, signal, usage_tracker
usage_tracker.install()

@usage_tracker.flush_after(timeout=20)
def handler(event, context):
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=10, output_tokens=1)
    return "done"

while input():
    print(handler({}, None), flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_is_frozen_after_each_call_and_killed_in_the_end_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent),
        "TRACKER_DSN": f"sqlite:///{tmp_path}/usage.db", "TRACKER_SPOOL_DIR": str(tmp_path / "spool"),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", FROZEN], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as frozen:
        assert frozen.stdin is not None
        assert frozen.stdout is not None
        for handled in range(1, 4):
            frozen.send_signal(signal.SIGCONT)
            frozen.stdin.write("next\n")
            frozen.stdin.flush()
            assert frozen.stdout.readline() == "done\n"
            os.waitid(os.P_PID, frozen.pid, os.WSTOPPED | os.WNOWAIT)
            assert stored(tmp_path / "usage.db") == handled
        frozen.kill()
