"""Clocks, host names and containers."""

import os
import sys
from signal import SIGKILL

from faults.bench import PREAMBLE, Bench
from faults.cases import case


@case("clock set back and forth")
def clock(bench: Bench) -> None:
    for _ in range(2):
        bench.start(
            """
import itertools, random
real, real_ns, jump = time.time, time.time_ns, [0]
time.time = lambda: real() + jump[0]
time.time_ns = lambda: real_ns() + jump[0] * 10**9
def jumps():
    for jump[0] in itertools.cycle([3600, -3600, 86400 * 1000, -86400 * 1000, 0, -int(real()) + 1, 86400 * 365 * 100]):
        time.sleep(0.05)
threading.Thread(target=jumps, daemon=True).start()
work()
"""
        )
    bench.more_calls(400)
    bench.recover()


@case("host renamed")
def renamed(bench: Bench) -> None:
    bench.start(
        """
rename_host("first")
threading.Timer(0.3, rename_host, ["second"]).start()
work()
"""
    )
    bench.start()
    bench.more_calls(300)
    bench.recover()


def in_container(bench: Bench, source: str) -> tuple[str, ...]:
    """The command of an app with processes and a host name of its own."""
    script = bench.folder / f"contained_{len(bench.apps)}.py"
    script.write_text(source)
    as_root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *as_root, "--pid", "--uts", "--fork", "--kill-child", sys.executable, str(script))


@case("two containers with one spool volume; one killed -9")
def containers(bench: Bench) -> None:
    for name in ("first", "second"):
        source = f"{PREAMBLE}\nrename_host({name!r})\nwork()"
        bench.start(fresh=True, command=in_container(bench, source))
        bench.more_calls(50)
    bench.more_calls(100)
    bench.apps[0].send(SIGKILL)
    bench.apps[0].wait()
    bench.unclaimed = 1
    bench.more_calls(100)
    bench.recover()
