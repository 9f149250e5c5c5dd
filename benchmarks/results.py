"""The sections of RESULTS.md that the benches write."""

import argparse
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def environment() -> str:
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"Python {platform.python_version()}, openai {version('openai')}, {os.cpu_count()} cores, {load}"


def table(head: list[str], rows: list[list[str]]) -> str:
    line = "|---|" + "--:|" * (len(head) - 1)
    return "\n".join(["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows)])


def asked(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line says, with whether it is to be written: a short try is no result."""
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def publish(name: str, text: str, write: bool) -> None:
    """Print a section and, where asked, put it where RESULTS.md has its place."""
    print(text)
    if not write:
        return
    whole, by = RESULTS.read_text(), f"benchmarks/{Path(sys.argv[0]).name}"
    section = f"<!-- {name}: written by {by} -->\n\n{text}\n\n<!-- /{name} -->"
    place = re.compile(rf"<!-- {name}: written by .*?<!-- /{name} -->", re.DOTALL)
    if place.search(whole):
        RESULTS.write_text(place.sub(lambda _: section, whole))
