"""What it costs to start with us, and with the others: CPU time and memory of a fresh process that imports and sets up,
and how many packages pip brings to an empty environment, and to one that has the openai SDK.

    python benchmarks/startup.py [--rounds N] [--write]
"""

import argparse
import json
import statistics
import subprocess
import sys
from importlib.metadata import version

import peers
import results

FRESH = """
import json, os, resource, sys, time
sys.path.insert(0, {benchmarks!r})
{before}
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time_ns()
{setup}
cpu = (time.process_time_ns() - started) / 1e6
print(json.dumps([cpu, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024]))
sys.stdout.flush()
os._exit(0)
"""
NEEDED = """
import json, re
from importlib.metadata import PackageNotFoundError, requires
from pip._vendor.packaging.requirements import Requirement

def needed(package, apart=()):
    found, ahead = set(), [Requirement(package)]
    while ahead:
        wanted = ahead.pop()
        name = re.sub("[-_.]+", "-", wanted.name).lower()
        if name in found or name in apart:
            continue
        try:
            more = requires(name) or []
        except PackageNotFoundError:
            continue
        found.add(name)
        ahead += [r for r in map(Requirement, more) if r.marker is None or r.marker.evaluate({{"extra": ""}})]
    return found

found = needed({package!r}, {{"openai"}})
print(json.dumps([len(found), len(found - needed("openai"))]))
"""


def run(python: object, script: str) -> object:
    done = subprocess.run([str(python), "-c", script], check=False, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    asked = results.asked(parser)
    here = str(results.RESULTS.parent)
    sides = [(peers.OURS, "usage-tracker-llm", sys.executable, version("usage-tracker-llm"))]
    sides += [(peer.name, peer.package, *peers.python_of(peer)) for peer in peers.PEERS]
    times: dict[str, list[list[float]]] = {name: [] for name, *_ in sides}
    for _ in range(asked.rounds):
        for name, _, python, _ in sides:
            # the SDK is imported before: what counts is what is added to an app that has it
            setup = "import usage_tracker.auto" if name == peers.OURS else f"INSTRUMENT[{name!r}]()"
            before = (
                "from peers import INSTRUMENT" if name == peers.OURS else "import openai; from peers import INSTRUMENT"
            )
            if python is not None and (found := run(python, FRESH.format(benchmarks=here, setup=setup, before=before))):
                times[name].append(found)
    rows = []
    for name, package, python, said in sides:
        if not times[name]:
            rows.append([name, said if python is None else "failed", "", "", ""])
            continue
        cpu, memory = zip(*times[name], strict=True)
        needed = run(python, NEEDED.format(package=package))
        spread = f"{statistics.median(cpu):.0f} ({min(cpu):.0f}–{max(cpu):.0f})"
        packages = map(str, needed) if isinstance(needed, list) else ["not known"] * 2
        rows.append([name, spread, f"{statistics.median(memory):.1f}", *packages])
    head = ["", "CPU ms (least–most)", "memory MB", "packages, itself among them", "beside the openai SDK"]
    text = (
        "A fresh process. Ours is `import usage_tracker.auto`, which loads the rest when the app imports an SDK; the\n"
        f"others' setting up comes after the SDK is imported, which is not counted.\n\n{results.table(head, rows)}"
    )
    results.publish("startup", f"{results.environment()}, {asked.rounds} rounds.\n\n{text}", asked.write)


if __name__ == "__main__":
    main()
