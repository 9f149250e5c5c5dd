"""What stays in memory after many calls and streams that were left: nothing that grows with their number."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from capturing import ASK
from in_process import EVENTS, Answer, async_openai_client, openai_client

import usage_tracker
from usage_tracker import guard, tracker
from usage_tracker.capture import open_calls

ASKED: dict[str, Any] = {"model": "gpt-4o-mini", "messages": ASK}
CHAT = Answer((b"""{"id": "c-1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}""",))  # fmt: skip
CHUNK = b"""data: {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
data: "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]}\n\n"""
STREAM = Answer((CHUNK, CHUNK, b"data: [DONE]\n\n"), kind=EVENTS)


def respond(request: httpx2.Request) -> httpx2.Response:
    return (STREAM if b'"stream":true' in request.content else CHAT).response()


def call(count: int) -> None:
    """As `create` posts, without the SDK's building of types, which takes most of the time while memory is traced."""
    with openai_client(respond) as client:
        for _ in range(count):
            client.post("/chat/completions", body=ASKED, cast_to=object)


def abandon(count: int) -> None:
    with openai_client(respond) as client:
        for _ in range(count):
            next(client.chat.completions.create(**ASKED, stream=True))


def abandon_async(count: int) -> None:
    async def main() -> None:
        async with async_openai_client(respond) as client:
            for _ in range(count):
                stream = await client.chat.completions.create(**ASKED, stream=True)
                await anext(stream)
                await stream.close()
                await asyncio.sleep(0)  # as on a real connection, where the loop comes to close what was dropped

    asyncio.run(main())


ROUNDS: dict[str, tuple[Callable[[int], None], int, int]] = {
    "openai: calls": (call, 2_000, 40),
    "openai: streams that are left": (abandon, 400, 400),
    "openai: async streams that are left": (abandon_async, 400, 400),
}
"""What is done, how often, and how many bytes may be left of each. A call that is kept takes a thousand and more; other
threads of the process are counted too."""

GROWTH_MAX = 300_000
"""Bytes, of an hour's calls: ten for each, less than any object takes. What is loaded meanwhile, once, is in them."""

HOUR = 30_000
"""Calls of a busy process in an hour."""

ROUNDS_MAX = 3
SETTLED_S = 15.0
"""Longer than a batch is tried for."""


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[list[int]]:
    """How many events there were, in a list of one number that is counted up."""
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", stream_usage="always")
    assert tracker.installed is not None
    count = [0]

    def count_up(*_: object) -> None:
        count[0] += 1

    tracker.installed.pipeline().recorder.listeners.append(count_up)
    yield count
    usage_tracker.uninstall()


def held() -> int:
    """Bytes that were allocated since tracing began and are still in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize("kind", ROUNDS)
def test_what_is_held_does_not_grow_with_what_was_called(recorded: list[int], kind: str) -> None:
    act, count, bytes_each = ROUNDS[kind]
    act(10)  # what is imported and kept once is no growth, and slow to trace
    with traced():
        act(count // 10)
        rounds = grown_until_less_than(count * bytes_each, lambda: act(count))
    assert recorded == [10 + count // 10 + count * len(rounds)]
    assert open_calls == {}


def test_what_is_held_does_not_grow_while_the_store_is_away_and_the_spool_keeps_its_bound(tmp_path: Path) -> None:
    bound = 2 << 20
    errors = guard.errors.total()
    usage_tracker.install("postgresql://127.0.0.1:9/none", spool_dir=tmp_path / "spool", spool_max_bytes=bound)
    try:
        with traced():
            record(HOUR // 10)
            wait_until(lambda: usage_tracker.stats().last_error)
            rounds = grown_until_less_than(GROWTH_MAX, lambda: record(HOUR))
        found = usage_tracker.stats()
        assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) <= bound
    finally:
        usage_tracker.uninstall()
    assert found.dropped > HOUR // 10
    assert found.pending == found.captured == HOUR // 10 + HOUR * len(rounds) - found.dropped
    assert found.errors == errors


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start(1)
    try:
        yield
    finally:
        tracemalloc.stop()


def grown_until_less_than(most: int, act: Callable[[], None]) -> list[int]:
    """By how many bytes what is held grew, for each time that `act` was called: the last of them is less than `most`.

    What is kept for each call grows every time. The interpreter's table of interned names, to which each `Path` adds,
    grows once in a while, by megabytes at the end of many tests.
    """
    rounds: list[int] = []
    while not rounds or rounds[-1] >= most:
        assert len(rounds) < ROUNDS_MAX, f"{rounds} bytes were kept"
        before = held()
        act()
        deadline = time.monotonic() + SETTLED_S  # what other threads have in hand meanwhile is held
        while (grown := held() - before) >= most and time.monotonic() < deadline:
            time.sleep(0.05)
        rounds.append(grown)
    return rounds


def record(count: int) -> None:
    for _ in range(count):
        usage_tracker.record(provider="acme", model="acme-7b", response_id="r-1", input_tokens=1)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
