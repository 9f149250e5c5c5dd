"""Errors of ours stay ours."""

import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from usage_tracker import guard
from usage_tracker.guard import Guard, guarded
from usage_tracker.seldom import MINUTE


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "report", guard.count)
    monkeypatch.setattr(guard, "guards", {})
    guard.errors.clear()


def test_an_error_is_swallowed_counted_and_named(caplog: pytest.LogCaptureFixture) -> None:
    with guarded("extract"):
        raise KeyError("sk-secret")
    assert guard.errors["extract"] == 1
    assert guard.last_error is not None
    assert guard.last_error.startswith("extract: KeyError at ")
    assert "your application is not affected" in caplog.text


def test_what_an_error_says_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), guarded("extract"):
        raise ValueError("prompt: tell me a secret")
    assert "secret" not in caplog.text


def test_a_traceback_says_where_and_nothing_of_what(caplog: pytest.LogCaptureFixture) -> None:
    """Neither of our error nor of the app's that it came after; and some handlers show the variables of frames."""
    key, prompt = "key: sk-secret", "prompt: tell me a secret"
    with caplog.at_level(logging.DEBUG), suppress(PermissionError):
        try:
            raise PermissionError(key)
        finally:
            with guarded("extract"):
                raise ValueError(prompt)
    assert f'File "{__file__}", line ' in caplog.text
    assert "secret" not in caplog.text
    assert [record.exc_info for record in caplog.records] == [None, None]


def test_a_place_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    for _ in range(5):
        with guarded("extract"):
            raise KeyError
    clock[0] += MINUTE
    with guarded("extract"):
        raise KeyError
    assert len(caplog.records) == 2
    assert guard.errors["extract"] == 6


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_belongs_to_the_host_passes(error: type[BaseException]) -> None:
    with pytest.raises(error), guarded("extract"):
        raise error


class Limit:
    """Of how long something may take."""

    def over(self, *_: object) -> None:
        raise TimeoutError

    def __call__(self, *_: object) -> None:
        self.over()


@pytest.mark.parametrize("handler", [Limit(), Limit().over, partial(Limit.over, Limit()), lambda *_: Limit().over()])
def test_what_a_signal_handler_of_the_host_raises_passes(handler: Callable[..., None]) -> None:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(TimeoutError), guarded("extract"):
            signal.raise_signal(signal.SIGUSR1)
        assert guard.errors.total() == 0
        with guarded("extract"):
            raise TimeoutError
        assert guard.errors["extract"] == 1
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_each_place_has_one_guard() -> None:
    assert guarded("extract") is guarded("extract")
    assert isinstance(guarded("extract"), Guard)
