"""What shipping costs the app in whose process it runs, and what it costs beside it.

    python benchmarks/neighbour.py [--rate N] [--seconds N] [--rounds N] [--server DSN] [--write]

An app with half a million containers in its heap makes 1,000 calls a second, then as many as it can: with nobody
shipping, with its own thread shipping to a Postgres, and with `usage-tracker ship` doing it, in turn. Prints the median
of the rounds, and what it is of the app's alone. By the clock, so the machine should be quiet; a core for each of app,
shipper and server is what real hosts have, and two are enough for the order of magnitude.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import HERE, database, server, write_between

OBJECTS = 500_000
ALONE, THREAD, SIDECAR = "nobody ships", "its own thread", "`usage-tracker ship`"


def environment(spool: Path, dsn: str | None, *, ship: bool) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return kept | {"TRACKER_SPOOL_DIR": str(spool), "TRACKER_SHIP": "on" if ship else "off"} | (
        {"TRACKER_DSN": dsn} if dsn else {}
    )  # fmt: skip


@contextmanager
def sidecar(spool: Path, dsn: str) -> Iterator[None]:
    shipping = subprocess.Popen(
        [sys.executable, "-m", "usage_tracker", "ship"], env=environment(spool, dsn, ship=True),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        shipping.send_signal(signal.SIGTERM)
        shipping.wait()


def run_app(rate: float, seconds: float, settings: dict[str, str], objects: int = OBJECTS) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, HERE / "paced_app.py", str(rate), str(seconds), str(objects)],
        env=settings, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure(rate: float, seconds: float, who: str, dsn: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        if who == SIDECAR:
            with sidecar(spool, dsn):
                found = run_app(rate, seconds, environment(spool, None, ship=False))
        else:
            found = run_app(rate, seconds, environment(spool, dsn if who == THREAD else None, ship=who == THREAD))
    took = found["took_us"]
    return {
        "p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "p99.9": percentile(took, 0.999),
        "late": percentile(found["late_us"], 0.999), "own": found["own_cpu_us"], "calls_s": found["calls_s"],
    }  # fmt: skip


def rows(rounds: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    alone = {name: statistics.median(each[name] for each in rounds[ALONE]) for name in rounds[ALONE][0]}
    for who, found in rounds.items():
        middle = {name: statistics.median(each[name] for each in found) for name in alone}
        cells = [f"{middle[name]:,.0f} ({middle[name] / alone[name]:.2f}×)" for name in middle]
        yield f"| {who} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help="a DSN of keywords, with a dbname, whose role may create databases")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {ALONE: [], THREAD: [], SIDECAR: []}
    with server(options.server) as address:
        for _ in range(options.rounds):
            for who, found in rounds.items():
                with database(address) as dsn:
                    found.append(measure(options.rate, options.seconds, who, dsn))
    lines = [
        "",
        (f"{options.rate:,.0f} calls a second for {options.seconds:g} s, {OBJECTS:,} containers in the heap; Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, medians of {options.rounds} rounds; µs."),
        "",
        "| who ships | p50 of a call | p99 | p99.9 | late by, p99.9 | own CPU per call | calls a second, flat out |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows(rounds),
    ]  # fmt: skip
    print("\n".join(lines[1:]), flush=True)
    if options.write:
        write_between("neighbour", [*lines, ""])


if __name__ == "__main__":
    main()
