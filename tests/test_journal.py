"""A process's journal: always somewhere to append to, and always known what became of it."""

import errno
import os
import resource
import signal
import threading
from pathlib import Path

import pytest
from journaled import ORIGIN, append_to_the_next, full_disk, kept, made, read_all
from msgspec import Raw
from msgspec.structs import replace

from usage_tracker.descriptors import identity
from usage_tracker.event import CallKind, Origin, Told
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.files import OwnFile
from usage_tracker.journal.frames import LARGEST_PAYLOAD
from usage_tracker.journal.journal import MOST_OPEN
from usage_tracker.providers.told import encode_usage
from usage_tracker.seldom import Seldom

KIND = CallKind(
    origin=ORIGIN,
    by_model=False,
    reader="openai",
    operation="chat",
    request_model="gpt-4o",
    streamed=False,
    names=("id", "usage"),
)


def called(number: int, usage: dict[str, int]) -> Told:
    """A call that is still to be read, as an app's thread keeps it."""
    return Told(number, 1.0, None, 200, 1, (("chatcmpl-1", Raw(encode_usage(usage))),))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Spool(tmp_path / "spool"))


def test_nothing_is_on_disk_before_the_first_event(journal: Journal) -> None:
    assert not journal.spool.folder.exists()
    journal.append(ORIGIN, made())
    assert len(journal.spool.segments()) == 1


def test_it_says_up_to_where_all_is_appended(journal: Journal) -> None:
    assert journal.place() == ("", 0)
    journal.append(ORIGIN, made(1))
    journal.append(ORIGIN, made(2))
    (path,) = journal.spool.segments()
    file = journal.spool.open(path)
    assert file is not None
    assert journal.place() == (path.stem, file.reader.read(10, ended=False).end)
    file.close()


def test_a_full_segment_is_followed_by_a_larger_one(journal: Journal) -> None:
    for number in range(50_000):
        journal.append(ORIGIN, made(number))
    sizes = sorted(path.stat().st_size for path in journal.spool.segments())
    assert [round(size / (1 << 20), 1) for size in sizes] == [1, 2, 4]
    assert sorted(read_all(journal.spool)) == list(range(50_000))
    assert (journal.captured(), journal.pending(), journal.dropped) == (50_000, 50_000, 0)


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


def test_an_event_counts_though_its_segment_is_replaced_while_it_is_written(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(ORIGIN, made(0))
    segment = journal._current.segment  # type: ignore[union-attr]
    write = segment._write

    def written_and_replaced(frame: bytes) -> int:
        try:
            return write(frame)
        finally:
            journal.close()

    monkeypatch.setattr(segment, "_write", written_and_replaced)
    journal.append(ORIGIN, made(1))
    assert read_all(journal.spool) == [0, 1]
    assert (journal.captured(), journal.dropped) == (2, 0)


def test_an_event_too_large_is_kept_without_its_raw_usage(journal: Journal) -> None:
    event = made(7)
    event.raw = {"a": "x" * LARGEST_PAYLOAD}
    journal.append(ORIGIN, event)
    assert read_all(journal.spool) == [7]


def test_a_call_is_read_by_who_ships_it(journal: Journal) -> None:
    journal.append_call(KIND, called(7, {"prompt_tokens": 41, "completion_tokens": 12}))
    journal.append_call(KIND, called(8, {"prompt_tokens": 42, "completion_tokens": 13}))
    for event, number in zip(kept(journal.spool), (7, 8), strict=True):
        assert (event.started_at, event.operation, event.request_model) == (number, "chat", "gpt-4o")
        assert (event.usage.input_tokens, event.usage.output_tokens) == (number + 34, number + 5)
    assert (journal.captured(), journal.pending(), journal.dropped) == (2, 2, 0)


@pytest.mark.guarded_errors_expected
def test_a_call_that_nobody_can_read_is_a_call_all_the_same(journal: Journal) -> None:
    journal.append_call(replace(KIND, reader="no longer there"), called(7, {"prompt_tokens": 41}))
    [event] = kept(journal.spool)
    assert (event.started_at, event.operation, event.request_model) == (7, "chat", "gpt-4o")
    assert event.usage.input_tokens is None


def test_a_call_too_large_to_be_read_later_is_read_at_once(journal: Journal) -> None:
    usage = {"prompt_tokens": 41, **dict.fromkeys(map(str, range(LARGEST_PAYLOAD // 4)), 1)}
    journal.append_call(KIND, called(7, usage))
    [event] = kept(journal.spool)
    assert (event.started_at, event.usage.input_tokens, event.response_id) == (7, 41, "chatcmpl-1")
    assert (journal.captured(), journal.dropped) == (1, 0)


def test_what_stays_too_large_is_dropped_and_counted(journal: Journal) -> None:
    enormous = "x" * LARGEST_PAYLOAD
    journal.append(Origin(sdk="openai", user_id=enormous), made(1))
    journal.append(ORIGIN, replace(made(2), model=enormous))
    journal.append(ORIGIN, made(3))
    assert read_all(journal.spool) == [3]
    assert (journal.captured(), journal.dropped) == (1, 2)


def test_the_spools_bound_drops_the_newest_and_counts_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(Spool(tmp_path / "spool", max_bytes=1 << 20))
    for number in range(30_000):
        journal.append(ORIGIN, made(number))
    found = read_all(journal.spool)
    assert found[0] == 0
    assert 0 < len(found) < 30_000
    assert journal.dropped == 30_000 - len(found)
    assert len([record for record in caplog.records if "its bound" in record.message]) == 1


def test_a_full_disk_leaves_memory_and_comes_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full_disk)
        for number in range(1_000):
            journal.append(ORIGIN, made(number))
    assert journal.captured() == journal.pending() == 1_000
    in_memory = [each for kept in journal.memory for each in kept.reader.read(10**6, False).events]
    assert [each.event.started_at for each in in_memory] == list(range(1_000))
    assert {each.origin for each in in_memory} == {ORIGIN}
    assert not journal.memory[-1].ended(), "there may be more to come"
    assert "No space left" in caplog.text


def test_a_disk_that_takes_events_again_gets_them(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full_disk)
        journal.append(ORIGIN, made(1))
    monkeypatch.setattr("usage_tracker.journal.journal.RETRY_SECONDS", 0.0)
    journal._retry_at = 0.0
    journal.put_on_disk()
    journal.append(ORIGIN, made(2))
    assert sorted(read_all(journal.spool)) == [1, 2]
    assert (journal.pending(), journal.only_in_memory()) == (2, 0)


def test_memory_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(Spool, "create", full_disk)
    monkeypatch.setattr("usage_tracker.journal.memory_file.MEMORY_SEGMENT", 1 << 16)
    for number in range(20_000):
        journal.append(ORIGIN, made(number))
    assert len(journal.memory) == 4
    assert journal.captured() + journal.dropped == 20_000
    assert journal.dropped > 0
    journal._warning = Seldom()
    journal.append(ORIGIN, made())
    assert "4 segments wait in memory; new events are dropped" in caplog.messages[-1]


def test_what_neither_disk_nor_memory_takes_is_counted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_memory(*_: object, **__: object) -> object:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("mmap.mmap", no_memory)
    for number in range(3):
        journal.append(ORIGIN, made(number))
    assert (journal.captured(), journal.dropped) == (0, 3)
    journal._warning = Seldom()
    journal.append(ORIGIN, made())
    assert "there is no memory for the journal" in caplog.messages[-1]


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
    file.confirm(file.reader.read(3, ended=True).end, 3)
    file.delete()
    assert journal.drained()


def test_a_disk_that_is_back_drops_nothing_while_segments_fill(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.journal.journal.FIRST_SEGMENT", 1 << 16)
    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full_disk)
        journal.append(ORIGIN, made())
    journal._retry_at = 0.0
    for number in range(5_000):
        journal.append(ORIGIN, made(number))
    assert (journal.dropped, journal.only_in_memory(), len(read_all(journal.spool))) == (0, 0, 5_001)


def test_events_in_memory_go_to_disk_at_the_end_where_it_takes_them(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full_disk)
        disk.setattr(Spool, "restore", lambda *_: full_disk(journal.spool, 0))
        journal.append(ORIGIN, made(1))
        journal.close()
        assert journal.only_in_memory() == 1
    journal.close()
    assert (journal.only_in_memory(), journal.pending(), read_all(journal.spool)) == (0, 1, [1])
    (path,) = journal.spool.segments()
    assert path.stat().st_size < 1000
    path.unlink()
    assert journal.drained()


class TestTakenAway:
    """Somebody removes or moves the folder while the process runs."""

    @pytest.fixture(autouse=True)
    def taken(self, journal: Journal, tmp_path: Path) -> Path:
        for number in range(3):
            journal.append(ORIGIN, made(number))
            journal.close()
        journal.append(ORIGIN, made(3))
        return journal.spool.folder.rename(tmp_path / "elsewhere")

    def test_what_is_not_stored_is_put_back(self, journal: Journal) -> None:
        journal.put_on_disk()
        assert sorted(read_all(journal.spool)) == [0, 1, 2, 3]
        assert journal.pending() == 4

    def test_what_is_stored_is_not(self, journal: Journal, taken: Path) -> None:
        for path in taken.glob("*.seg"):
            file = Spool(taken).open(path)
            assert file is not None
            file.confirm(file.reader.read(1, ended=False).end, 1)
        journal.put_on_disk()
        assert read_all(journal.spool) == []
        assert journal.drained()

    def test_new_events_go_to_the_new_folder(self, journal: Journal) -> None:
        journal.put_on_disk()
        journal.append(ORIGIN, made(4))
        assert sorted(read_all(journal.spool)) == [0, 1, 2, 3, 4]

    def test_memory_follows_a_segment_that_fills_right_after_the_disk_refused_another(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("usage_tracker.journal.journal.RETRY_SECONDS", 1000.0)
        monkeypatch.setattr(Spool, "create", full_disk)
        journal.put_on_disk()
        append_to_the_next(journal)
        assert (journal.dropped, journal.only_in_memory()) == (0, 1)

    def test_it_is_put_back_at_the_end_at_the_latest(self, journal: Journal) -> None:
        journal.close()
        assert sorted(read_all(journal.spool)) == [0, 1, 2, 3]

    def test_few_files_stay_open_for_that(self, journal: Journal) -> None:
        before = len(os.listdir("/dev/fd"))
        journal.put_on_disk()
        for number in range(50):
            journal.append(ORIGIN, made(number))
            journal.close()
        assert len(os.listdir("/dev/fd")) <= before + MOST_OPEN
        assert journal.pending() == 54


def test_a_damaged_record_keeps_nobody_waiting(journal: Journal) -> None:
    for number in range(3):
        journal.append(ORIGIN, made(number))
    path = journal.spool.segments()[0]
    content = path.read_bytes()
    with path.open("r+b") as damaged:
        damaged.seek(content.index(b"chat"))
        damaged.write(b"CHAT")
    journal.close()
    file = journal.spool.open(path)
    assert file is not None
    found = file.reader.read(10, ended=True)
    assert len(found.events) == 2
    file.confirm(found.end, 2)
    assert journal.drained()


def test_a_child_that_forgets_leaves_the_lock_to_its_parent(journal: Journal) -> None:
    journal.append(ORIGIN, made())
    file = journal.spool.open(journal.spool.segments()[0])
    assert file is not None
    child = os.fork()
    if child == 0:
        journal.forget()
        os._exit(0)
    os.waitpid(child, 0)
    assert not file.ended()
    journal.close()
    assert file.ended()


def test_a_closed_segment_has_ended_also_where_a_child_still_has_it_open(journal: Journal) -> None:
    """Such as one that was forked by other means than Python's."""
    journal.append(ORIGIN, made())
    file = journal.spool.open(journal.spool.segments()[0])
    assert file is not None
    child = os.fork()
    if child == 0:
        signal.pause()
    journal.close()
    assert file.ended()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_an_app_without_a_descriptor_left_is_told_that_what_waits_may_not_be_stored(journal: Journal) -> None:
    for number in range(MOST_OPEN + 4):
        journal.append(ORIGIN, made(number))
        journal.close()
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert (journal.pending(), journal.drained()) == (MOST_OPEN + 4, False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def close_all_of(journal: Journal) -> None:
    """As a program does that closes whatever is open; what is mapped stays so."""
    files = {own._descriptor._identity for own in (journal._current, *journal._closed) if isinstance(own, OwnFile)}
    for number in range(3, 1024):
        if identity(number) in files:
            os.close(number)


def test_an_app_that_has_closed_our_files_is_told_what_waits(journal: Journal) -> None:
    journal.append(ORIGIN, made(0))
    journal.close()
    journal.append(ORIGIN, made(1))
    close_all_of(journal)
    journal.append(ORIGIN, made(2))
    assert (journal.pending(), journal.drained()) == (3, False)
    journal.close()
    assert journal.pending() == 3
    assert sorted(read_all(journal.spool)) == [0, 1, 2]


def test_what_is_taken_away_after_the_app_has_closed_our_files_is_put_back(journal: Journal) -> None:
    """As by a leader where a lock ends with its descriptors, which is not so on Linux."""
    journal.append(ORIGIN, made(0))
    [path] = journal.spool.segments()
    close_all_of(journal)
    path.unlink()
    journal.append(ORIGIN, made(1))
    journal.put_on_disk()
    journal.append(ORIGIN, made(2))
    assert sorted(read_all(journal.spool)) == [0, 1, 2]
    journal.close()


def test_many_short_programs_have_room_while_the_store_is_away(tmp_path: Path) -> None:
    """A segment that its process closes takes no more than what was appended to it."""
    for number in range(40):
        journal = Journal(Spool(tmp_path / "spool", max_bytes=4 << 20))
        journal.append(ORIGIN, made(number))
        journal.close()
        assert journal.dropped == 0
    assert sorted(read_all(journal.spool)) == list(range(40))
    assert journal.spool.size() < 40 * 1000
