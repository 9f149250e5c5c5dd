"""A process's journal: always somewhere to append to, and always known what became of it."""

import errno
import os
import threading
from pathlib import Path

import pytest

from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.files import OwnFile
from usage_tracker.journal.segment import LARGEST_PAYLOAD

ORIGIN = Origin(sdk="openai")


def made(number: int = 0) -> UsageEvent:
    return UsageEvent(started_at=number, duration_ms=1.0, operation="chat")


def read_all(spool: Spool) -> list[int]:
    """The start of every event in the folder."""
    found = []
    for path in spool.segments():
        file = spool.open(path)
        assert file is not None
        found += [each.event.started_at for each in file.reader.read(10**6, ended=True).events]
        file.close()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Spool(tmp_path / "spool"))


def test_nothing_is_on_disk_before_the_first_event(journal: Journal) -> None:
    assert not journal.spool.folder.exists()
    journal.append(ORIGIN, made())
    assert len(journal.spool.segments()) == 1


def test_a_full_segment_is_followed_by_a_larger_one(journal: Journal) -> None:
    for number in range(20_000):
        journal.append(ORIGIN, made(number))
    sizes = sorted(path.stat().st_size for path in journal.spool.segments())
    assert sizes == [1 << 20, 8 << 20]
    assert sorted(read_all(journal.spool)) == list(range(20_000))
    assert (journal.captured(), journal.pending(), journal.dropped) == (20_000, 20_000, 0)


def test_threads_lose_nothing_while_segments_change(journal: Journal) -> None:
    def append(thread: int) -> None:
        for number in range(5_000):
            journal.append(Origin(sdk="openai", user_id=f"u-{number % 100}"), made(thread * 5_000 + number))

    threads = [threading.Thread(target=append, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_all(journal.spool)) == list(range(40_000))
    assert journal.captured() == 40_000


def test_an_event_too_large_is_kept_without_its_raw_usage(journal: Journal) -> None:
    event = made(7)
    event.raw = {"a": "x" * LARGEST_PAYLOAD}
    journal.append(ORIGIN, event)
    assert read_all(journal.spool) == [7]


def test_the_spools_bound_drops_the_newest_and_counts_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(Spool(tmp_path / "spool", max_bytes=1 << 20))
    for number in range(30_000):
        journal.append(ORIGIN, made(number))
    kept = read_all(journal.spool)
    assert kept[0] == 0
    assert 0 < len(kept) < 30_000
    assert journal.dropped == 30_000 - len(kept)
    assert len([record for record in caplog.records if "its bound" in record.message]) == 1


def full_disk(self: Spool, size: int) -> OwnFile:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_memory_and_comes_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full_disk)
        for number in range(1_000):
            journal.append(ORIGIN, made(number))
    assert journal.captured() == journal.pending() == 1_000
    assert [each.event.started_at for kept in journal.memory for each in kept.reader.read(10**6, False).events] == list(
        range(1_000)
    )
    assert "No space left" in caplog.text


def test_a_disk_that_takes_events_again_gets_them(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full_disk)
        journal.append(ORIGIN, made(1))
    monkeypatch.setattr("usage_tracker.journal.journal.RETRY_SECONDS", 0.0)
    journal._retry_at = 0.0
    journal.return_to_disk()
    journal.append(ORIGIN, made(2))
    assert read_all(journal.spool) == [2]
    assert (journal.pending(), journal.only_in_memory()) == (2, 1)


def test_memory_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "create", full_disk)
    monkeypatch.setattr("usage_tracker.journal.journal.MEMORY_SEGMENT", 1 << 16)
    for number in range(20_000):
        journal.append(ORIGIN, made(number))
    assert len(journal.memory) == 4
    assert journal.captured() + journal.dropped == 20_000
    assert journal.dropped > 0


def test_a_read_only_folder_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    journal = Journal(Spool(tmp_path / "file" / "spool"))
    journal.append(ORIGIN, made())
    assert journal.captured() == 1
    assert "kept in memory" in caplog.text


def test_a_child_writes_to_a_segment_of_its_own(journal: Journal) -> None:
    journal.append(ORIGIN, made(1))
    child = os.fork()
    if child == 0:
        journal.forget()
        journal.append(ORIGIN, made(2))
        os._exit(0 if journal.captured() == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    journal.append(ORIGIN, made(3))
    assert len(journal.spool.segments()) == 2
    assert sorted(read_all(journal.spool)) == [1, 2, 3]


def test_what_is_confirmed_is_no_longer_pending(journal: Journal) -> None:
    for number in range(3):
        journal.append(ORIGIN, made(number))
    file = journal.spool.open(journal.spool.segments()[0])
    assert file is not None
    found = file.reader.read(2, ended=False)
    file.confirm(found.end, 2)
    assert journal.pending() == 1
    journal.close()
    assert not journal.drained()
    file.delete()
    assert journal.drained()
