"""What a recorded call adds to the thread that makes it: the openai SDK over a mock transport, with and without us, and
with and without each of the others that record such calls.

    python benchmarks/overhead.py [--seconds N] [--rounds N] [--write]

Each is measured in a process of its own, in turn, for so many seconds in so many rounds; within one, blocks of calls
with and without it alternate. Shipping is off and the others' exporters go nowhere, so that only the app's own thread
is measured; our events go to a journal in a temporary folder, where they survive the process, and the
others' to memory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import peers
import results

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
    events = [*(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces), b"data: [DONE]\n\n"]

    class Stream(library.SyncByteStream):
        """Event by event, as they come from a network."""

        def __iter__(self):
            yield from events

    def answer(request):
        if b'"stream":true' in request.content.replace(b" ", b""):
            return library.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream())
        return library.Response(200, headers={"content-type": "application/json"}, content=whole)

    return answer


def cpu_us(function: Callable[[], None]) -> float:
    started = time.thread_time_ns()
    function()
    return (time.thread_time_ns() - started) / 1e3


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


def measured(python: object, name: str, what: str, seconds: float) -> dict[str, float] | str:
    """What one of them adds, or why that is not known."""
    command = [str(python), str(Path(__file__).with_name("added.py")), name, what, str(seconds)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60 + 3 * seconds)
    except subprocess.TimeoutExpired:
        return "took too long"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found if found["patches"] else "patched nothing"


def compare(what: str) -> None:
    """Measure all, print the table and write it."""
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    asked = results.asked(parser)
    pythons: dict[str, tuple[object, str]] = {peers.OURS: (sys.executable, version("openai"))}
    pythons.update({peer.name: peers.python_of(peer) for peer in peers.PEERS})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    reasons = {}
    for _ in range(asked.rounds):
        for name, (python, said) in pythons.items():
            if python is None or name in reasons:
                reasons.setdefault(name, said)
                continue
            result = measured(python, name, what, asked.seconds)
            if isinstance(result, str):
                reasons[name] = result
            else:
                found[name].append(result)
    rows = []
    ours = statistics.median(each["added"] for each in found[peers.OURS])
    for name, (_, said) in pythons.items():
        if name in reasons:
            rows.append([name, reasons[name][:90], "", "", "", ""])
            continue
        added = [each["added"] for each in found[name]]
        middle = statistics.median(added)
        rows.append(
            [
                name,
                said,
                f"{statistics.median(each['bare'] for each in found[name]):.0f}",
                f"{middle:.0f} ({min(added):.0f}–{max(added):.0f})",
                f"{statistics.median(each['tenth'] for each in found[name]):.0f}",
                f"{middle / ours:.1f}×",
            ]
        )
    head = [
        "",
        "version, and the SDK's",
        "bare µs",
        "added µs (least–most)",
        "quickest tenth",
        "as a multiple of ours",
    ]
    name = "overhead" if what == "call" else "streams"
    results.publish(name, f"{results.environment()}.\n\n{results.table(head, rows)}", asked.write)


if __name__ == "__main__":
    compare("call")
