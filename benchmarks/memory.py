"""What an app's memory grows by: to begin with, and by ten thousand calls and more, with a leader of its own and with a
store that can't be reached.

    python benchmarks/memory.py [--most N] [--write]

A process of its own for each row makes calls of the openai SDK over a mock transport. Counted are the dirty pages that
no other process shares (`Private_Dirty` of its smaps), without the journal's, which are the file system's: first from
before `install()` until a hundred calls are stored, which loads what the leader needs, then what the calls after that
add. Linux only.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import results

WARM_UP = 100
SIZES = (10_000, 100_000, 1_000_000)
STORES = {"SQLite": "sqlite:///{folder}/usage.db", "none that can be reached": "postgresql://127.0.0.1:9/none"}


def private_mb() -> float:
    """Dirty pages that no other process shares and no file has. https://docs.kernel.org/filesystems/proc.html"""
    held, named = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.partition(" ")[0]:
            named = ".seg" in line
        elif line.startswith("Private_Dirty:") and not named:
            held += int(line.split()[1])
    return held / 1024


def run(most: int, dsn: str) -> None:
    """In a process of its own: print what it grew by after each power of ten."""
    import httpx2
    from openai import OpenAI

    import usage_tracker

    usage = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
    head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    body = json.dumps({**head, "choices": [], "usage": usage}).encode()
    answer = {"content": body, "headers": {"content-type": "application/json"}}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, **answer))
    client = OpenAI(api_key="none", http_client=httpx2.Client(transport=transport))

    def call(number: int) -> None:
        with usage_tracker.attribute(user=f"user-{number % 5000}"):
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])

    def settle() -> float:
        usage_tracker.flush(30 if dsn.startswith("sqlite") else 1)
        gc.collect()
        return private_mb()

    for number in range(WARM_UP):
        call(number)
    found, before = {}, private_mb()
    usage_tracker.install(dsn, app="benchmark")
    for number in range(WARM_UP):
        call(number)
    begun = settle()
    found[0] = begun - before
    for number in range(1, most + 1):
        call(number)
        if number in SIZES:
            found[number] = settle() - begun
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    options = results.asked(parser)
    if options.dsn:
        run(options.most, options.dsn)
        return
    rows, sizes = [], [0, *(size for size in SIZES if size <= options.most)]
    for name, dsn in STORES.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"TRACKER_SPOOL_DIR": f"{folder}/spool", "TRACKER_SPOOL_MAX_BYTES": str(1 << 24)}
            command = [sys.executable, __file__, "--most", str(options.most), "--dsn", dsn.format(folder=folder)]
            done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
            if done.returncode:
                rows.append([name, *[(done.stderr.strip().splitlines() or ["failed"])[-1][:80]] * len(sizes)])
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append([name, *(f"{found[str(size)]:.1f}" for size in sizes)])
    text = results.table(["MB, with the store", "to begin with", *(f"{size:,} calls more" for size in sizes[1:])], rows)
    said = f"{results.environment()}. A spool of 16 MB, so that it is full in the second row; 5,000 users in turn."
    results.publish("memory", f"{said}\n\n{text}", options.write)


if __name__ == "__main__":
    main()
