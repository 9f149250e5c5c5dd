"""What it takes to append to the journal, and to read what is in it: one thread, in a loop.

python benchmarks/journal.py [--rounds N] [--write]
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import results

COUNT = 2000


def ns(function, count=COUNT):
    started = time.thread_time_ns()
    for _ in range(count):
        function()
    return (time.thread_time_ns() - started) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    asked = results.asked(parser)
    from usage_tracker.event import CallKind, Origin, Told
    from usage_tracker.journal import Journal, Spool
    from usage_tracker.journal.frames import decode_call, encode
    from usage_tracker.providers.told import encode_usage, event_of, told_as_read

    usage = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
    origin = Origin(provider="openai", sdk="openai", base_host="api.openai.com", project="p", host="h", pid=1)
    names = ("id", "model", "service_tier", "usage")
    kind = CallKind(
        origin=origin, by_model=False, reader="openai", operation="chat", request_model="gpt-4o-mini", streamed=False,
        names=names,
    )  # fmt: skip
    import msgspec

    said = (("chatcmpl-" + "0" * 29, "gpt-4o-mini-2024-07-18", "default", msgspec.Raw(encode_usage(usage))),)
    told = (time.time_ns(), 812.5, None, 200, 1, said)
    read = Told(*told[:-1], said=told_as_read(said))
    _, event = event_of(kind, read)
    event.error_type = "x" * (400 - 10 - len(encode((0, event))))
    payload = encode((0, told))
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Spool(Path(folder)))
        file = os.open(f"{folder}/plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        block = b"x" * 400
        sides = {
            f"append of a call that is read later, {len(payload) + 10} bytes": lambda: journal.append_call(kind, told),
            "append of an event, 400 bytes": lambda: journal.append(origin, event),
            "`os.write` of 400 bytes to a file": lambda: os.write(file, block),
            "reading such a call when it is shipped": lambda: event_of(kind, decode_call(payload)[1]),
        }
        for _ in range(asked.rounds):
            for name, function in sides.items():
                found.setdefault(name, []).append(ns(function))
        journal.close()
        os.close(file)
    rows = [
        [name, f"{statistics.median(times) / 1e3:.2f}", f"{min(times) / 1e3:.2f}", f"{max(times) / 1e3:.2f}"]
        for name, times in found.items()
    ]
    text = results.table(["", "µs of CPU, median", "least", "most"], rows)
    results.publish("journal", f"{results.environment()}.\n\n{text}", asked.write)


if __name__ == "__main__":
    main()
