"""The sections of RESULTS.md that the benches write."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def environment() -> str:
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"Python {platform.python_version()}, openai {version('openai')}, {os.cpu_count()} cores, {load}"


def table(head: list[str], rows: list[list[str]]) -> str:
    line = "|---|" + "--:|" * (len(head) - 1)
    return "\n".join(["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows)])


def write(name: str, by: str, text: str) -> None:
    """Print a section, and put it where RESULTS.md has its place."""
    print(text)
    whole = RESULTS.read_text()
    section = f"<!-- {name}: written by {by} -->\n\n{text}\n\n<!-- /{name} -->"
    place = re.compile(rf"<!-- {name}: written by .*?<!-- /{name} -->", re.DOTALL)
    if place.search(whole):
        RESULTS.write_text(place.sub(lambda _: section, whole))
