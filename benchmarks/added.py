"""What one instrumentation adds, by itself: run by `overhead.py` and `stream.py` in the environment of each.

    python benchmarks/added.py NAME call|stream SECONDS

Prints JSON: medians of the CPU time of the thread that calls, without and with it, in µs. Its patches are found as the
attributes of the SDK's and the HTTP library's classes that it changed, and are put on and taken off between blocks of
calls, so that both sides see the same machine.
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time

from overhead import Sdk, cpu_us
from peers import INSTRUMENT

BLOCK, WARM_UP = 8, 3
ABSENT = object()
PATCHED = ("openai", "httpx", "httpx2")


def held() -> dict[tuple[object, str], object]:
    """Every attribute of the classes that may be patched."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PATCHED and module is not None:
            for owner in list(vars(module).values()):
                if issubclass(type(owner), type) and owner.__module__.partition(".")[0] in PATCHED:
                    found.update({(owner, key): value for key, value in vars(owner).items() if key[:2] != "__"})
    return found


class Switch:
    """The patches of what was instrumented in between."""

    def __init__(self, before, after) -> None:
        self._patches = [
            (owner, name, before.get((owner, name), ABSENT), value)
            for (owner, name), value in after.items()
            if before.get((owner, name), ABSENT) is not value and callable(value) and not name.startswith("_abc")
        ]
        self.count = len(self._patches)

    def turn(self, on: bool) -> None:
        for owner, name, without, patch in self._patches:
            if on or without is not ABSENT:
                setattr(owner, name, patch if on else without)
            elif name in vars(owner):
                delattr(owner, name)


def main() -> None:
    """Measure, and leave without waiting for anybody's exporter."""
    name, what, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    os.environ["TRACKER_SPOOL_DIR"] = tempfile.mkdtemp()
    first = Sdk()
    first.call()  # all that is imported late is there
    first.stream()
    before = held()
    INSTRUMENT[name]()
    switch = Switch(before, held())
    sdk = Sdk()
    call = getattr(sdk, what)
    sides: dict[bool, list[float]] = {False: [], True: []}
    differences = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(differences) < 3:
        medians = {}
        for on in random.sample((False, True), 2):
            switch.turn(on)
            block = [cpu_us(call) for _ in range(BLOCK + WARM_UP)][WARM_UP:]
            sides[on] += block
            medians[on] = statistics.median(block)
        differences.append(medians[True] - medians[False])
    tenth = {on: sorted(found)[len(found) // 10] for on, found in sides.items()}
    print(
        json.dumps(
            {
                "patches": switch.count,
                "bare": statistics.median(sides[False]),
                "added": statistics.median(differences),
                "tenth": tenth[True] - tenth[False],
                "blocks": len(differences),
            }
        )
    )
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
