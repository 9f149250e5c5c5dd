"""The real SDKs, patched, against a local provider; and the events that they give."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

import usage_tracker
from usage_tracker import tracker
from usage_tracker.attribution import inside
from usage_tracker.budgets.view import View
from usage_tracker.capture import Call
from usage_tracker.demo.standin import StandIn
from usage_tracker.event import Origin, UsageEvent

KEY = "sk-test-0123456789-wxyz"
ASK = [{"role": "user", "content": "Say hello."}]


def since(*version: int) -> pytest.MarkDecorator:
    """Of what older versions of the openai SDK don't have."""
    installed = tuple(int(part) for part in openai.__version__.split(".")[:2])
    return pytest.mark.skipif(installed < version, reason=f"openai has it since {'.'.join(map(str, version))}")


@contextmanager
def within(call: Call) -> Iterator[Call]:
    """What an SDK does for a call of it, whose wrapper is further up."""
    token = inside.set(call)
    yield call
    inside.reset(token)


class Captured:
    """What was captured of the calls of an installed tracker."""

    def __init__(self) -> None:
        self.captured: list[tuple[Origin, UsageEvent]] = []
        assert tracker.installed is not None
        tracker.installed.pipeline().recorder.listeners.append(lambda *call: self.captured.append(call))

    def hold_to(self, view: View) -> None:
        """Hold calls to these budgets from now on."""
        assert tracker.installed is not None
        tracker.installed.pipeline().enforcing.use(view)

    def one(self) -> UsageEvent:
        """The one event since the last time."""
        return self.one_call()[1]

    def one_call(self) -> tuple[Origin, UsageEvent]:
        """The one event since the last time, with its origin."""
        calls = self.all()
        assert len(calls) == 1, f"{len(calls)} events instead of one"
        return calls[0]

    def all(self) -> list[tuple[Origin, UsageEvent]]:
        """The events since the last time."""
        gc.collect()
        calls = self.captured[:]
        self.captured.clear()
        return calls


class Capturing(Captured):
    """Clients of the openai SDK, and what was captured of their calls."""

    def __init__(self, provider: StandIn) -> None:
        super().__init__()
        self.provider = provider
        self.client = openai.OpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0)
        self.aclient = openai.AsyncOpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0)


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as provider:
        yield provider


@pytest.fixture
def captured(tmp_path: Path) -> Iterator[Captured]:
    """Captured calls, of whichever SDK, go to a journal in a temporary folder and are not shipped."""
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", app="tests")
    yield Captured()
    usage_tracker.uninstall()


@pytest.fixture
def capturing(provider: StandIn, tmp_path: Path) -> Iterator[Capturing]:
    """As `captured`, with clients of the openai SDK."""
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", app="tests", stream_usage="always")
    found = Capturing(provider)
    yield found
    found.client.close()
    usage_tracker.uninstall()
