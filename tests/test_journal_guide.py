"""A program that knows nothing but docs/journal.md reads what a journal holds."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from patch_orders import journaled

import usage_tracker
from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal.frames import FRAME, LARGEST_PAYLOAD
from usage_tracker.journal.header import HEADER_SIZE, IDENTITY, MAGIC, STORED_AT, VERSION

GUIDE = (Path(__file__).parent.parent / "docs" / "journal.md").read_text(encoding="utf-8")


def test_its_program_reads_a_segment(tmp_path: Path) -> None:
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool", app="shop")
    for number in range(3):
        with usage_tracker.attribute(project=f"p-{number % 2}"):
            usage_tracker.record(
                provider="acme", model="acme-7b", response_id=f"r-{number}", duration_ms=250.0, input_tokens=number
            )
    usage_tracker.uninstall()
    names: dict[str, Any] = {}
    [program] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    exec(program, names)
    [segment] = (tmp_path / "spool").glob("*.seg")
    read = [
        (msgspec.convert(origin, Origin), msgspec.convert(event, UsageEvent))
        for origin, event in names["calls"](segment)
    ]
    assert read == journaled(tmp_path / "spool")
    assert [(origin.project, event.response_id) for origin, event in read] == [
        ("p-0", "r-0"),
        ("p-1", "r-1"),
        ("p-0", "r-2"),
    ]
    assert str(UUID(bytes=segment.read_bytes()[16:32])) == segment.stem


def test_it_names_each_file_of_the_folder(tmp_path: Path) -> None:
    dsn, spool = f"sqlite:///{tmp_path}/usage.db", tmp_path / "spool"
    environ = {**os.environ, "TRACKER_DSN": dsn, "TRACKER_SPOOL_DIR": str(spool)}
    budget = [sys.executable, "-m", "usage_tracker", "budget", "set", "all", "--limit", "1"]
    subprocess.run(budget, env=environ, check=True, capture_output=True)
    program = (
        "import os, openai, usage_tracker.auto, usage_tracker\n"
        "usage_tracker.record(provider='acme', model='acme-7b', input_tokens=1)\n"
        "usage_tracker.flush(60)\n"
        "print(*os.listdir(os.environ['TRACKER_SPOOL_DIR']))"
    )
    listed = subprocess.run([sys.executable, "-c", program], env=environ, check=True, capture_output=True, text=True)
    there = {re.sub(r"[0-9a-f]{8}[0-9a-f-]{8,}", "ID", name) for name in listed.stdout.split()}
    assert {"ID.seg", "leader.lock", "budgets.json", "sdks-ID.json"} <= there
    assert there <= set(re.findall(r"^\| `([^`]+)` \|", GUIDE, re.MULTILINE))


def test_its_tables_have_the_sizes_that_are_written() -> None:
    rows = [tuple(map(int, row)) for row in re.findall(r"^\| (\d+) \| (\d+) \|", GUIDE, re.MULTILINE)]
    assert all(before[0] + before[1] == after[0] for before, after in pairwise(rows))
    assert rows[-1][0] + rows[-1][1] == HEADER_SIZE
    assert (rows[7][0], rows[8][0]) == (IDENTITY.size, STORED_AT)
    assert f"`{MAGIC.decode()}`" in GUIDE
    assert f"version: {VERSION}" in GUIDE
    sizes = [int(size) for size in re.findall(r"^\| (\d+) \| [mlC]", GUIDE, re.MULTILINE)]
    assert sum(sizes) == FRAME.size
    assert f"{LARGEST_PAYLOAD >> 10} KiB" in GUIDE
