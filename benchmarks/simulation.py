"""A discrete simulation of hosts, their leaders and one database: how long events wait, and what saturates first.

    python benchmarks/simulation.py [--write-scale]           the table of SCALE.md, from 1 to 10,000 hosts
    python benchmarks/simulation.py --against-a-run           and 32 real processes beside it, on this machine

Each host has a leader that takes what its spool holds, up to a batch of 5,000 events (four times as many after four
full ones), spends the client's time for it, and then the server's: a transaction waits for one of the server's cores.
With nothing waiting it rests for a second. Constants are measured by ingest.py and passed as options; nothing else is
fitted. The real run has 32 processes on one spool folder that record calls at a steady rate, one leader and a
throw-away Postgres; its lag is that of lag.py.
"""

import argparse
import heapq
import os
import random
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lag import Watching
from neighbour import environment, percentile, sidecar
from report import database, server, write_between

BATCH, BACKLOG, PAUSE = 5000, 4, 1.0
SPOOL_EVENTS = (1 << 30) // 240
"""What a spool folder holds at its bound of a gibibyte."""


class Costs(NamedTuple):
    """What shipping takes. µs are CPU time per event, ms the clock's per transaction."""

    client_us: float
    server_us: float
    transaction_ms: float
    cores: int
    """Of the server."""


class Outcome(NamedTuple):
    """What a simulated time was like, all hosts together."""

    lag: list[float]
    """In seconds, of a sample of the events that were stored, the shortest first."""
    stored: float
    """Events a second."""
    server_busy: float
    """The share of the server's cores."""
    leader_busy: float
    """The share of a core of a host."""
    waiting: float
    """Events in the spool of a host at the end."""


def simulate(hosts: int, rate: float, costs: Costs, seconds: float = 60.0, seed: int = 1) -> Outcome:
    """`rate` is events a second of one host. More hosts than are simulated one by one are stood for by some of them,
    before a server that is as many times slower."""
    chance = random.Random(seed)
    told = min(hosts, 400)
    slower = hosts / told
    free = [0.0] * costs.cores
    leaders = [(chance.uniform(0, PAUSE), host) for host in range(told)]
    heapq.heapify(leaders)
    taken, full = [0.0] * told, [0] * told
    lag: list[float] = []
    stored, server, client = 0.0, 0.0, 0.0
    while leaders and leaders[0][0] < seconds:
        now, host = heapq.heappop(leaders)
        limit = BATCH * (BACKLOG if full[host] >= BACKLOG else 1)
        waits = now * rate - taken[host]
        count = min(waits, limit)
        if count < 1:
            heapq.heappush(leaders, (now + PAUSE, host))
            continue
        full[host] = full[host] + 1 if waits >= limit else 0
        prepared = now + count * costs.client_us / 1e6
        works = (count * costs.server_us / 1e6 + costs.transaction_ms / 1e3) * slower
        begins = max(prepared, heapq.heappop(free))
        ends = begins + works
        heapq.heappush(free, ends)
        first = taken[host] / rate
        lag += [ends - (first + chance.random() * count / rate) for _ in range(5)]
        taken[host] += count
        stored, server, client = stored + count, server + works, client + prepared - now
        heapq.heappush(leaders, (ends + (0 if full[host] else PAUSE), host))
    left = sum(seconds * rate - each for each in taken) / told
    return Outcome(
        sorted(lag),
        stored * slower / seconds,
        min(1.0, server / seconds / costs.cores),
        client / seconds / told,
        max(0.0, left),
    )


def first_to_saturate(outcome: Outcome, rate: float) -> str:
    if outcome.leader_busy > 0.95:
        return "a host's leader"
    if outcome.server_busy > 0.95:
        return f"the server; a spool is full after {SPOOL_EVENTS / rate / 60:,.0f} min and more"
    return "–"


def table(costs: Costs, bytes_per_event: float) -> Iterator[str]:
    yield "| hosts | events/s, each | all | a day on disk | lag p50 | p99 | server busy | leader's core | saturated |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|---|"
    for hosts in (1, 10, 100, 1000, 10_000):
        for rate in (1.0, 10.0, 100.0, 1000.0):
            outcome = simulate(hosts, rate, costs)
            lag = [percentile(outcome.lag, share) for share in (0.5, 0.99)]
            size = hosts * rate * 86_400 * bytes_per_event / 1e9
            yield (
                f"| {hosts:,} | {rate:,.0f} | {hosts * rate:,.0f} | {size:,.1f} GB | {lag[0]:.1f} s | {lag[1]:.1f} s "
                f"| {outcome.server_busy:.0%} | {outcome.leader_busy:.1%} | {first_to_saturate(outcome, rate)} |"
            )


PROGRAM = """
import sys, time
import usage_tracker
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
usage_tracker.install(app="simulated")
usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1, output_tokens=9)
print("ready", flush=True)
begin = float(sys.stdin.readline())
for number in range(int(rate * seconds)):
    due = begin + number / rate
    time.sleep(max(0, due - time.time()))
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=number, output_tokens=9)
print(max(0, time.time() - begin - seconds))
"""


def run_really(processes: int, rate: float, seconds: float, address: str) -> tuple[list[float], float]:
    """The lag of events by their due time, and by how much the slowest process was late in the end."""
    with database(address) as dsn, tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        with sidecar(spool, dsn), Watching(dsn) as watching:
            apps = [
                subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, str(rate), str(seconds)],
                    env=environment(spool, None, ship=False),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for _ in range(processes)
            ]
            for app in apps:
                assert app.stdout is not None
                assert app.stdout.readline() == "ready\n"
            begin, monotonic = time.time() + 1, time.monotonic() - time.time()
            for app in apps:
                assert app.stdin is not None
                print(begin, file=app.stdin, flush=True)
            late = max(float(app.communicate()[0]) for app in apps)
            made, deadline = processes * (1 + int(rate * seconds)), time.monotonic() + 60
            while (not watching.seen or watching.seen[-1][0] < made) and time.monotonic() < deadline:
                time.sleep(0.05)
    totals = [calls for calls, _ in watching.seen]
    assert totals[-1] == made, f"{made} events, but {totals[-1]} are counted"
    return (
        sorted(
            watching.seen[bisect_left(totals, place + processes)][1] - (begin + monotonic + place / rate / processes)
            for place in range(1, made - processes + 1, 7)
        ),
        late,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client-us", type=float, default=36.0)
    parser.add_argument("--server-us", type=float, default=31.0, help="with folding")
    parser.add_argument("--transaction-ms", type=float, default=2.0)
    parser.add_argument("--cores", type=int, default=8, help="of the database server")
    parser.add_argument("--bytes", type=float, default=290.0, help="of an event in the database")
    parser.add_argument("--against-a-run", action="store_true")
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--rate", type=float, default=30.0, help="events a second of each process")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--server", help="a DSN of keywords, with a dbname, whose role may create databases")
    parser.add_argument("--write-scale", action="store_true")
    options = parser.parse_args()
    costs = Costs(options.client_us, options.server_us, options.transaction_ms, options.cores)
    lines = list(table(costs, options.bytes))
    print("\n".join(lines), flush=True)
    if options.write_scale:
        write_between("scale", ["", *lines, ""], "SCALE.md")
    if options.against_a_run:
        here = costs._replace(cores=1)
        told = simulate(1, options.rate * options.processes, here, options.seconds)
        with server(options.server) as address:
            found, late = run_really(options.processes, options.rate, options.seconds, address)
        said = [
            "",
            (f"{options.processes} processes, {options.rate:g} events a second each for {options.seconds:g} s, "
            f"{os.cpu_count()} cores; the slowest process was {late:.1f} s late in the end."),
            "",
            "| lag | p50 | p99 | longest |",
            "|---|---:|---:|---:|",
        ]  # fmt: skip
        for name, lag in (("simulated", told.lag), ("measured", found)):
            said.append(f"| {name} | {' | '.join(f'{percentile(lag, share):.2f} s' for share in (0.5, 0.99, 1.0))} |")
        print("\n".join(said))
        if options.write_scale:
            write_between("run", [*said, ""], "SCALE.md")


if __name__ == "__main__":
    main()
