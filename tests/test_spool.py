"""The folder that all processes of one user, host and store share."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.spool import SpoolUnusable

ORIGIN = Origin(sdk="openai")
STORE, OTHER_STORE = b"store-01", b"store-02"


def journal_with(folder: Path, events: int, store: bytes = STORE) -> Journal:
    journal = Journal(Spool(folder, store))
    for number in range(events):
        journal.append(ORIGIN, UsageEvent(started_at=number, duration_ms=1.0, operation="chat"))
    return journal


def test_the_folder_and_its_files_are_private(tmp_path: Path) -> None:
    journal_with(tmp_path / "spool", 1)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").glob("*.seg")} == {0o600}


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolUnusable, match="TRACKER_SPOOL_DIR"):
        Spool(tmp_path / "spool").prepare()


def test_a_living_writers_segment_has_not_ended_and_a_closed_one_has(tmp_path: Path) -> None:
    journal = journal_with(tmp_path, 1)
    file = Spool(tmp_path, STORE).open(journal.spool.segments()[0])
    assert file is not None
    assert not file.ended()
    journal.close()
    assert file.ended()


def test_a_killed_writers_segment_has_ended(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from usage_tracker.journal import Journal, Spool;"
        "from usage_tracker.event import Origin, UsageEvent; journal = Journal(Spool(Path(sys.argv[1]), b'store-01'));"
        "journal.append(Origin(sdk='openai'), UsageEvent(started_at=5, duration_ms=1.0, operation='chat'));"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        spool = Spool(tmp_path, STORE)
        file = spool.open(spool.segments()[0])
        assert file is not None
        assert not file.ended()
        writer.send_signal(signal.SIGKILL)
    assert file.ended()
    assert [each.event.started_at for each in file.reader.read(10, ended=True).events] == [5]


def test_a_segment_of_another_store_is_left_alone(tmp_path: Path) -> None:
    journal_with(tmp_path, 1, OTHER_STORE)
    spool = Spool(tmp_path, STORE)
    assert spool.open(spool.segments()[0]) is None


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.seg").write_text("shopping list")
    assert Spool(tmp_path, STORE).open(tmp_path / "notes.seg") is None
    assert (tmp_path / "notes.seg").exists()


def test_one_leads_and_the_next_follows_when_it_is_gone(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, STORE), Spool(tmp_path, STORE)
    assert first.lead()
    assert not second.lead()
    assert second.leader() == (os.getpid(), "leading")
    first.resign()
    assert second.leader() is None
    assert second.lead()


def test_the_bell_wakes_the_leader(tmp_path: Path) -> None:
    leader = Spool(tmp_path, STORE)
    assert leader.lead()
    Spool(tmp_path, STORE).ring()
    started = time.monotonic()
    assert leader.listen(30.0)
    assert time.monotonic() - started < 5.0


def test_a_forked_child_does_not_hold_the_parents_lead(tmp_path: Path) -> None:
    parent = Spool(tmp_path, STORE)
    assert parent.lead()
    go, ready = os.pipe()
    child = os.fork()
    if child == 0:
        parent.forget()
        os.write(ready, b"!")
        time.sleep(60)
    os.read(go, 1)
    parent.resign()
    assert Spool(tmp_path, STORE).lead()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_events_that_waited_elsewhere_are_taken_over_once_their_writer_has_ended(tmp_path: Path) -> None:
    waiting = journal_with(tmp_path / "unassigned", 3, bytes(8))
    spool = Spool(tmp_path / "spool", STORE)
    assert spool.take_over(tmp_path / "unassigned") == 0
    waiting.close()
    assert spool.take_over(tmp_path / "unassigned") == 1
    assert spool.waiting() == 3
    assert not (tmp_path / "unassigned").exists()


def test_another_stores_events_are_only_adopted_when_asked_for(tmp_path: Path) -> None:
    journal_with(tmp_path / "wrong", 2, OTHER_STORE).close()
    spool = Spool(tmp_path / "spool", STORE)
    assert spool.adopt(tmp_path / "wrong") == 1
    file = spool.open(spool.segments()[0])
    assert file is not None
    assert len(file.reader.read(10, ended=True).events) == 2


def test_what_a_killed_process_left_half_made_is_cleared_by_the_next_leader(tmp_path: Path) -> None:
    left = tmp_path / "left.new"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    (tmp_path / "young.new").write_bytes(b"")
    assert Spool(tmp_path, STORE).lead()
    assert [path.name for path in tmp_path.glob("*.new")] == ["young.new"]


def test_unreadable_bytes_are_kept_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.journal.spool.KEPT_ASIDE_MAX", 10)
    Spool(tmp_path).keep_aside("segment", [(0, b"12345678"), (9, b"12345678")])
    assert [path.name for path in (tmp_path / "corrupt").iterdir()] == ["segment-0.bin"]
