"""App hosts that share one Postgres: each is a spool folder of its own, with processes and a leader."""

import os
import subprocess
import sys
import time
from pathlib import Path

APP = """
import sys, usage_tracker
usage_tracker.install(app="app", project="alpha")
print("ready", flush=True)
sys.stdin.readline()
for place in range(int(sys.argv[1])):
    with usage_tracker.attribute(user=f"u-{place % 50}"):
        usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1000, output_tokens=10)
print(usage_tracker.flush(120), flush=True)
"""


def run_hosts(dsn: str, folder: Path, hosts: int, processes: int, calls: int) -> float:
    """Let each process of each host make so many calls at once; seconds until all of them are stored."""
    apps = [
        subprocess.Popen(
            [sys.executable, "-c", APP, str(calls)],
            env={
                **os.environ,
                "TRACKER_DSN": dsn,
                "TRACKER_HOST": f"host-{host}",
                "TRACKER_SPOOL_DIR": str(folder / f"host-{host}"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for host in range(hosts)
        for _ in range(processes)
    ]
    try:
        for app in apps:
            assert app.stdout is not None
            assert app.stdout.readline() == "ready\n"
        began = time.monotonic()
        for app in apps:
            assert app.stdin is not None
            app.stdin.write("\n")
            app.stdin.flush()
        for app in apps:
            assert app.stdout is not None
            assert app.stdout.readline() == "True\n"
        return time.monotonic() - began
    finally:
        for app in apps:
            app.communicate(timeout=60)
