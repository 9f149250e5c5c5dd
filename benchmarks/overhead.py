"""What a captured call adds: the openai SDK over a mock transport, with and without us, interleaved in one process.

    python benchmarks/overhead.py [--rounds N]

Prints the median and p99 of the CPU time that a call and a stream's chunk cost with and without capture, and the
difference. Shipping is off, so that only the app's own thread is measured; events go to a journal in a temporary
folder.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable

CHUNKS = 100


USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 0},
}
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18", "service_tier": "default"}


def answers(library):
    """A handler for the HTTP library's mock transport."""
    message = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    whole = json.dumps({**HEAD, "object": "chat.completion", "choices": [message], "usage": USAGE}).encode()
    chunk = {**HEAD, "object": "chat.completion.chunk"}
    pieces = [{**chunk, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}] * CHUNKS
    pieces.append({**chunk, "choices": [], "usage": USAGE})
    stream = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces) + b"data: [DONE]\n\n"

    def answer(request):
        if b'"stream":true' in request.content.replace(b" ", b""):
            return library.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
        return library.Response(200, headers={"content-type": "application/json"}, content=whole)

    return answer


def cpu_us(function: Callable[[], None]) -> float:
    started = time.thread_time_ns()
    function()
    return (time.thread_time_ns() - started) / 1e3


BLOCK = 12
WARM_UP = 2
"""Changing sides makes the interpreter specialise the code anew; what that costs is not part of a call."""


def measure(rounds: int, on: Callable[[], None], off: Callable[[], None], function: Callable[[], None]):
    """CPU times without and with capture, from alternating blocks of calls."""
    bare, captured = [], []
    for number in range(max(2, rounds // BLOCK)):
        for side in (bare, captured) if number % 2 else (captured, bare):
            (on if side is captured else off)()
            side.extend([cpu_us(function) for _ in range(BLOCK + WARM_UP)][WARM_UP:])
    return sorted(bare), sorted(captured)


def p99(values: list[float]) -> float:
    return values[int(len(values) * 0.99)]


class Sdk:
    """A client of the real SDK over a mock transport, with a switch for our patches."""

    def __init__(self) -> None:
        import openai

        library = __import__("httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx")
        transport = library.Client(transport=library.MockTransport(answers(library)))
        self.version = openai.__version__
        self._client = openai.OpenAI(api_key="sk-none-at-all", http_client=transport)
        self._base = openai._base_client.SyncAPIClient
        self._ours = {name: vars(self._base)[name] for name in ("request", "_process_response")}

    def on(self) -> None:
        for name, patched in self._ours.items():
            setattr(self._base, name, patched)

    def off(self) -> None:
        for name, patched in self._ours.items():
            setattr(self._base, name, patched.__wrapped__)

    def call(self) -> None:
        self._client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])

    def stream(self) -> None:
        for _ in self._client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        ):
            pass


def print_row(name: str, bare: list[float], captured: list[float], count: int = 1) -> None:
    low, high = statistics.median(bare), statistics.median(captured)
    added, tail = (high - low) / count, (p99(captured) - p99(bare)) / count
    print(f"{name:26}{low:10.1f}{high:10.1f}{added:10.2f}{high / low:8.3f}{tail:11.1f}")


def append_us(tracker, sdk: Sdk) -> float:
    """What it costs to journal one event, in a loop."""
    pipeline, kept = tracker.installed.pipeline(), []
    pipeline.recorder.listeners.append(lambda *call: kept.append(call))
    sdk.call()
    origin, event = kept[0]

    def append() -> None:
        for _ in range(1000):
            pipeline.journal.append(origin, event)

    return statistics.median(cpu_us(append) for _ in range(30)) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1500)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKER_SPOOL_DIR"] = folder
        import usage_tracker
        from usage_tracker import tracker

        usage_tracker.install(ship=False, app="benchmark")
        sdk = Sdk()
        for warm in (sdk.call, sdk.stream):
            measure(50, sdk.on, sdk.off, warm)
        print(
            f"Python {platform.python_version()}, openai {sdk.version}, {os.cpu_count()} cores, {rounds} rounds; CPU µs"
        )
        print(f"{'':26}{'bare':>10}{'captured':>10}{'added':>10}{'ratio':>8}{'p99 added':>11}")
        print_row("call", *measure(rounds, sdk.on, sdk.off, sdk.call))
        bare, captured = measure(rounds // 8, sdk.on, sdk.off, sdk.stream)
        print_row(f"stream of {CHUNKS} chunks", bare, captured)
        print(f"{'  each chunk':26}{'':20}{(statistics.median(captured) - statistics.median(bare)) / CHUNKS:10.2f}")
        sdk.on()
        print(f"{'journal append':26}{'':20}{append_us(tracker, sdk):10.2f}")
        usage_tracker.uninstall()


if __name__ == "__main__":
    main()
