"""An app for benchmarks: makes calls at a steady rate, then as many as it can, and prints what each took.

    python benchmarks/paced_app.py RATE SECONDS [OBJECTS]

A call is a tenth of a millisecond of the app's own work and a recorded event. OBJECTS is how many containers the app
keeps, for a garbage collection to walk. Settings come from the environment, as for any app. Prints one line of JSON.
"""

import json
import random
import sys
import time
from typing import NamedTuple

import usage_tracker
from usage_tracker import tracker

SPINNING = 0.0005
"""Sleeping is no more exact than that."""
FLAT_OUT_SECONDS = 2.0


def work() -> None:
    """Some of an app's own work, in which it makes and drops containers as apps do."""
    text = json.dumps([{"role": "user", "content": "word " * 20, "number": number} for number in range(12)])
    json.loads(text)


def call(number: int) -> float:
    """Its time, in microseconds."""
    started = time.perf_counter_ns()
    work()
    usage_tracker.record(
        provider="openai", model="gpt-4o-mini", input_tokens=100 + number % 900, output_tokens=20, duration_ms=12.5
    )
    return (time.perf_counter_ns() - started) / 1000


class Paced(NamedTuple):
    """One of each for every call."""

    took: list[float]
    """Microseconds."""
    late: list[float]
    """Microseconds between its time and its beginning: a thread that wakes up waits for the interpreter's lock."""
    returned: list[float]
    """When it had returned, by the monotonic clock."""


def paced(rate: float, seconds: float) -> Paced:
    """Make calls; a late one at once."""
    took, late, returned, started = [], [], [], time.monotonic()
    for number in range(int(rate * seconds)):
        due = started + number / rate
        while (left := due - time.monotonic()) > 0:
            time.sleep(left - SPINNING if left > SPINNING else 0)
        late.append(-left * 1e6)
        took.append(call(number))
        returned.append(time.monotonic())
    return Paced(took, late, returned)


def flat_out(seconds: float) -> float:
    """Calls a second."""
    made, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        call(made)
        made += 1
    return made / (time.perf_counter() - started)


def main() -> None:
    rate, seconds = float(sys.argv[1]), float(sys.argv[2])
    kept = [[number] for number in range(int(sys.argv[3]) if len(sys.argv) > 3 else 0)]
    random.shuffle(kept)
    usage_tracker.install(app="paced")
    for number in range(200):
        call(number)
    time.sleep(1.0)  # prices are imported, and the first batch is stored
    before = time.thread_time()
    made = paced(rate, seconds)
    own = time.thread_time() - before
    usage_tracker.flush(30)
    fastest = flat_out(FLAT_OUT_SECONDS) if kept else None
    assert tracker.installed is not None
    print(
        json.dumps(
            {
                "took_us": sorted(made.took), "late_us": sorted(made.late), "returned": made.returned,
                "own_cpu_us": own / len(made.took) * 1e6, "calls_s": fastest,
                "warm_up": 200, "dropped": usage_tracker.stats().dropped,
            }
        ),
        flush=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
