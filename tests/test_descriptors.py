"""A program that closes all its files, as daemons do, and ours with them: what it opens next, which gets their numbers,
is not touched, and its calls are recorded as before."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from usage_tracker.descriptors import Descriptor, Witness, identity
from usage_tracker.dsn import parse_dsn
from usage_tracker.report import list_events
from usage_tracker.stores import open_store

APP = """
import logging, os, sys, time
import usage_tracker, usage_tracker.budgeting
usage_tracker.budgeting.FIRST_LOOKS_SECONDS = 3600.0
logging.basicConfig(format="%(message)s")
usage_tracker.install(batch_seconds=0.05)

def call(count):
    for _ in range(count):
        usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=10, output_tokens=1)

call(5)
assert usage_tracker.flush(60)
time.sleep(1)  # until no request is under way
os.closerange(3, 4096)
files = [open(f"{sys.argv[1]}/{number}", "w+b") for number in range(40)]
for file in files:
    file.write(b"the app's")
    file.flush()
call(7)
print(usage_tracker.flush(60 if sys.argv[2] == "ships" else 2))
call(3)
usage_tracker.uninstall()
print(usage_tracker.stats().errors)
for file in files:
    file.seek(0)
    assert file.read() == b"the app's"
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "clickhouse"])
def test_what_the_app_opens_under_numbers_of_files_that_it_closed_is_left_alone(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A store over a connection is shipped to again. SQLite can't open its file again within the process."""
    file = f"sqlite:///{tmp_path}/usage.db"
    dsn: str = file if kind == "sqlite" else request.getfixturevalue(f"{kind}_dsn")
    environment = {**os.environ, "TRACKER_DSN": dsn, "TRACKER_SPOOL_DIR": str(tmp_path / "spool")}
    (tmp_path / "apps").mkdir()
    does = "ships" if dsn != file else "waits"
    command = [sys.executable, "-c", APP, str(tmp_path / "apps"), does]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [str(dsn != file), "0"], ran.stderr
    if dsn == file:
        assert "can't be used by this process any more" in ran.stderr
        ship = [sys.executable, "-m", "usage_tracker", "ship", "--once"]
        subprocess.run(ship, env=environment, capture_output=True, check=True)
    with closing(open_store(parse_dsn(dsn))) as store:
        assert len(list(list_events(store, limit=100))) == 15


def test_a_number_is_not_closed_once_it_is_anothers(tmp_path: Path) -> None:
    (tmp_path / "ours").touch()
    ours = Descriptor(os.open(tmp_path / "ours", os.O_RDONLY))
    number = ours.number
    os.close(number)
    assert (ours.is_open(), ours.is_lost()) == (False, True)
    another = os.open(tmp_path, os.O_RDONLY)
    assert another == number
    with pytest.raises(OSError, match="Bad file descriptor"):
        _ = ours.number
    ours.close()
    assert identity(another) is not None
    os.close(another)
    assert (ours.is_open(), ours.is_lost()) == (False, False)


def test_no_file_is_taken_for_a_witness() -> None:
    first, second = Witness(), Witness()
    os.dup2(second.number, number := first.number)
    assert first.is_lost()
    os.close(number)
    second.close()
