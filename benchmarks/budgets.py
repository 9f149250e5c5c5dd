"""What budgets add to a call: a patched call without any, with some, and the check and the settling by themselves.

    python benchmarks/budgets.py [--rounds N]

Prints the median CPU time of a call of the openai SDK over a mock transport, captured by a process without budgets and
by one that has three, all of which apply, interleaved; and, by themselves in a loop, of the check, of reading the few
numbers that a call has used, and of adding those. What a strict budget reserves is a transaction, here in SQLite or
where TRACKER_DSN says.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import deque
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

from overhead import Sdk, cpu_us

BLOCK = 12
WARM_UP = 3


def view(*budgets):
    from usage_tracker.budgets.accounts import start_of
    from usage_tracker.budgets.view import View

    now = time.time() + 10**6  # it stays fresh for as long as this runs
    return View(read_at=now, budgets=list(budgets), used={}, since={each.name: start_of(each, now) for each in budgets})


def three():
    from usage_tracker.budgets.budget import Budget

    said = {"on_limit": "block", "per": "month"}
    return [
        Budget(name="dollars", limit=Decimal(10**6), **said),
        Budget(name="users", limit=Decimal(10**6), each="user", **said),
        Budget(name="tokens", limit=Decimal(10**12), measure="tokens", **said),
    ]


def ns(function, count=20_000, rounds=7):
    """The least of several medians: other processes only ever add."""
    found = []
    for _ in range(rounds):
        started = time.thread_time_ns()
        for _ in range(count):
            function()
        found.append((time.thread_time_ns() - started) / count)
    return min(found)


def empty():
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        import usage_tracker
        from usage_tracker import tracker

        usage_tracker.install(ship=False, spool_dir=f"{folder}/spool", app="benchmark", user="u-1")
        sdk = Sdk()
        assert tracker.installed is not None
        pipeline = tracker.installed.pipeline()
        recorder, kept = pipeline.recorder, []
        recorder.tell = lambda *call: kept.append(call)
        sdk.call()
        recorder.tell = pipeline.tell
        kind, told = kept[0]
        off, on = view(), view(*three())
        times: dict[str, list[float]] = {"off": [], "on": []}
        for number in range(rounds):
            for side in ("off", "on") if number % 2 else ("on", "off"):
                pipeline.enforcing._view = None
                pipeline.enforcing.use(on if side == "on" else off)
                times[side] += [cpu_us(sdk.call) for _ in range(BLOCK + WARM_UP)][WARM_UP:]
        low, high = (statistics.median(times[side]) for side in ("off", "on"))
        print(f"a call without budgets      {low:8.1f} µs")
        print(f"a call with three           {high:8.1f} µs   × {high / low:.3f}")

        pipeline.enforcing._view = None
        pipeline.enforcing.use(on)
        gate = recorder.gate
        from usage_tracker.capture.admission import hold_of
        from usage_tracker.capture.call import Call
        from usage_tracker.capture.recorder import Client
        from usage_tracker.providers import openai
        from usage_tracker.providers.answer import Request
        from usage_tracker.providers.counts import counts_of

        call = Call(openai, recorder, Client("openai", "api.openai.com"), Request("chat", "gpt-4o-mini"), False)
        call.kind = kind
        base = ns(empty)
        checked = ns(partial(hold_of, call, None)) - base
        gate._accounts._entries = deque(maxlen=1000)  # the store's sums have the rest
        added = ns(partial(gate.told, kind, told), 5000) - base
        read = ns(partial(counts_of, kind, told[-1]), 5000) - base
        recorder.gate = None

        def nothing():
            if recorder.gate is not None:
                raise AssertionError

        print(f"budgets off: one test       {(ns(nothing) - base) / 1e3:8.3f} µs")
        print(f"the check, three budgets    {checked / 1e3:8.3f} µs")
        print(f"reading what was used       {read / 1e3:8.3f} µs")
        print(f"adding it                   {(added - read) / 1e3:8.3f} µs")
        print(f"in sum                      {(checked + added) / 1e3:8.3f} µs")
        usage_tracker.uninstall()
        print(f"a strict reservation        {reserve_us(Path(folder)):8.0f} µs   (SQLite, one caller)")


def reserve_us(folder):
    from usage_tracker.budgets.budget import Budget
    from usage_tracker.budgets.refresh import read_part
    from usage_tracker.budgets.reservation_tables import Place, Want
    from usage_tracker.budgets.reservations import Ledger
    from usage_tracker.dsn import parse_dsn
    from usage_tracker.spending import read_used
    from usage_tracker.stores import open_store

    dsn = parse_dsn(os.environ.get("TRACKER_DSN") or f"sqlite:///{folder}/usage.db")
    with closing(open_store(dsn)) as store:
        store.migrate()
    ledger = Ledger(lambda: open_store(dsn), partial(read_part, read_used))
    ledger.budgets = {"b": Budget(name="b", limit=Decimal(10**6), per="24h", on_limit="block", strict=True)}
    want = Want(Place("b", "", 0), 10**15, 1)
    found = []
    for _ in range(200):
        started = time.perf_counter()
        ledger.ask([want]).answer.result(30)
        found.append((time.perf_counter() - started) * 1e6)
    return statistics.median(found)


if __name__ == "__main__":
    main()
