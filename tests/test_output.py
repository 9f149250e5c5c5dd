"""Where a command's data goes: whole files, links, pipes and devices that --out names."""

import os
import stat
import threading
from pathlib import Path

import click
import pytest

from usage_tracker.cli.output import write_file


def test_a_file_that_is_there_keeps_who_may_read_it(tmp_path: Path) -> None:
    target = tmp_path / "costs.csv"
    target.write_text("before")
    target.chmod(0o600)
    write_file(target, "after")
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("after", 0o600)


def test_a_link_stays_a_link_to_what_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "2026-08.csv", tmp_path / "latest.csv"
    link.symlink_to(target.name)
    for text in ("first", "second"):
        write_file(link, text)
        assert (target.read_text(), link.is_symlink()) == (text, True)


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_file(pipe, "through")
    reader.join(60)
    assert (read, pipe.is_fifo()) == (["through"], True)


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(click.FileError, match="No such file"):
        write_file(tmp_path / "none" / "costs.csv", "text")
    assert os.listdir(tmp_path) == []
