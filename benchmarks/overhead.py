"""What a captured call adds: the openai SDK over a mock transport, with and without us, interleaved in one process.

    python benchmarks/overhead.py [--rounds N]

Prints the median and p99 of the CPU time that a call and a stream's chunk cost with and without capture, and the
difference. Shipping is off, so that only the app's own thread is measured; events go to a journal in a temporary folder.
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


def answers(library):
    usage = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150, "prompt_tokens_details": {"cached_tokens": 0}}
    head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18", "service_tier": "default"}
    message = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    whole = json.dumps({**head, "object": "chat.completion", "choices": [message], "usage": usage}).encode()
    chunk = {**head, "object": "chat.completion.chunk"}
    pieces = [{**chunk, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}] * CHUNKS
    pieces.append({**chunk, "choices": [], "usage": usage})
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1500)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKER_SPOOL_DIR"] = folder
        import openai

        import usage_tracker
        from usage_tracker import tracker

        library = __import__("httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx")
        client = openai.OpenAI(api_key="sk-none-at-all", http_client=library.Client(transport=library.MockTransport(answers(library))))
        messages = [{"role": "user", "content": "Hello"}]
        usage_tracker.install(ship="off", app="benchmark")
        base = openai._base_client.SyncAPIClient
        ours = {name: vars(base)[name] for name in ("request", "_process_response")}

        def on() -> None:
            for name, patched in ours.items():
                setattr(base, name, patched)

        def off() -> None:
            for name, patched in ours.items():
                setattr(base, name, patched.__wrapped__)

        def call() -> None:
            client.chat.completions.create(model="gpt-4o-mini", messages=messages)

        def stream() -> None:
            for _ in client.chat.completions.create(
                model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
            ):
                pass

        def append() -> None:
            for _ in range(1000):
                journal.append(origin, event)

        for warm in (call, stream):
            measure(50, on, off, warm)
        print(f"Python {platform.python_version()}, openai {openai.__version__}, {os.cpu_count()} cores, {rounds} rounds; CPU µs")
        print(f"{'':26}{'bare':>10}{'captured':>10}{'added':>10}{'ratio':>8}{'p99 added':>11}")
        for name, function, count, repeat in (("call", call, 1, rounds), (f"stream of {CHUNKS} chunks", stream, 1, rounds // 8)):
            bare, captured = measure(repeat, on, off, function)
            low, high = statistics.median(bare), statistics.median(captured)
            print(f"{name:26}{low:10.1f}{high:10.1f}{(high - low) / count:10.2f}{high / low:8.3f}{p99(captured) - p99(bare):11.1f}")
            if function is stream:
                print(f"{'  each chunk':26}{'':10}{'':10}{(high - low) / CHUNKS:10.2f}")
        on()
        call()
        assert tracker.installed is not None
        journal = tracker.installed.pipeline().journal
        kept = []
        tracker.installed.pipeline().recorder.keep = lambda origin, event: kept.append((origin, event))
        call()
        origin, event = kept[0]
        appended = [cpu_us(append) for _ in range(30)]
        print(f"{'journal append':26}{'':10}{statistics.median(appended) / 1000:10.2f}")
        usage_tracker.uninstall()


if __name__ == "__main__":
    main()
