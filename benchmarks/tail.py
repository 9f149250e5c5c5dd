"""How long a call waits for us where other threads need the processor: 8 threads that call, 2 that only compute.

    python benchmarks/tail.py [--calls N] [--write]

What is timed, by the clock, is what runs of ours: from the call's beginning until the SDK is called, and from its
answer until the app has it. The SDK is replaced by a function that returns an answer that it gave before, and computes
a little in between; as much other work, without us, shows what the machine itself adds. Segments of the journal are a
thirtieth as large as an app's, so that a run has several of them. In one row they are made when they are needed, and
not before by another thread.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import results
from overhead import Sdk

WORK = 200
WARM_UP = 500
SEGMENT = 1 << 18


def burn() -> None:
    while True:
        sum(range(1000))


def segments_made() -> int:
    return sum(path.suffix == ".seg" for path in Path(os.environ["TRACKER_SPOOL_DIR"]).iterdir())


def crowded(function, inner, calls):
    """Percentiles of the times, in µs, that eight threads took for it."""
    found: list[int] = []

    def timed():
        me = threading.get_ident()
        for _ in range(calls):
            started = time.perf_counter_ns()
            function()
            found.append(time.perf_counter_ns() - started - inner[me])
            time.sleep(0.0005)

    threads = [threading.Thread(target=timed) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found.sort()
    return [found[min(len(found) - 1, int(len(found) * part))] / 1e3 for part in (0.5, 0.99, 0.999, 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    asked = results.asked(parser)
    calls = asked.calls
    os.environ["TRACKER_SPOOL_DIR"] = tempfile.mkdtemp()
    import usage_tracker
    import usage_tracker.journal.journal as journals

    journals.FIRST_SEGMENT = journals.LARGEST_SEGMENT = SEGMENT
    usage_tracker.install(ship=False, app="benchmark")
    sdk = Sdk()
    kept: list[tuple] = []
    patched = sdk._ours["request"]
    original = patched.__wrapped__

    def keep(client, *args, **kwargs):
        kept.append((client, args, kwargs, original(client, *args, **kwargs)))
        return kept[-1][-1]

    sdk._base.request = keep
    sdk.call()
    client, args, kwargs, answer = kept[0]
    process = sdk._ours["_process_response"]
    inner: dict[int, int] = {}

    class Response:
        status_code, headers = 200, {}

    def answering(client, *args, **kwargs):
        started = time.perf_counter_ns()
        sum(range(WORK))
        inner[threading.get_ident()] = time.perf_counter_ns() - started
        return answer

    from usage_tracker.patched import Patched

    ours = Patched(answering)
    ours.switch(patched._self_around.func)
    around_response = process._self_around.func
    passing = lambda *args, **kwargs: answer  # noqa: E731  stands for the SDK's own

    def tracked():
        bound = ours.__get__(client, type(client))
        around_response(passing, client, (), {"response": Response, "retries_taken": 0})
        bound(*args, **kwargs)

    def control():
        answering(client)
        sum(range(WORK * 3))  # about as long as ours

    for _ in range(WARM_UP):
        tracked()
    for _ in range(2):
        threading.Thread(target=burn, daemon=True).start()
    rows, look_ahead = [], journals.Journal.look_ahead
    for name, function, looks in (
        ("as much other work, without us", control, look_ahead),
        ("ours", tracked, look_ahead),
        ("ours, segments made when they are needed", tracked, lambda journal: None),
    ):
        journals.Journal.look_ahead = looks
        before = segments_made()
        rows.append(
            [name, *(f"{value:,.0f}" for value in crowded(function, inner, calls)), str(segments_made() - before)]
        )
    usage_tracker.uninstall()
    text = results.table(["added wall time, µs", "median", "p99", "p99.9", "longest", "segments begun"], rows)
    said = f"{results.environment()}, 8 threads and 2 that compute, {8 * calls:,} calls each."
    results.publish("tail", f"{said}\n\n{text}", asked.write)


if __name__ == "__main__":
    main()
