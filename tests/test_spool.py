"""The folder that all processes of one user, host and store share."""

import errno
import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.adoption import adopt, take_over
from usage_tracker.journal.aside import keep_aside, note_dropped, noted_dropped
from usage_tracker.journal.backlog import read_backlog
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.journal.spool import SpoolFull

ORIGIN = Origin(sdk="openai")
STORE, OTHER_STORE = b"store-01", b"store-02"


def journal_with(folder: Path, events: int, store: bytes = STORE) -> Journal:
    journal = Journal(Spool(folder, store))
    for number in range(events):
        journal.append(ORIGIN, UsageEvent(started_at=number, duration_ms=1.0, operation="chat"))
    return journal


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_what_it_makes_above_its_folder_is_for_this_user_alone(tmp_path: Path, umask: int) -> None:
    """The SQLite file, which has who called, goes beside the default folder of spools."""
    before = os.umask(umask)
    try:
        Spool(tmp_path / "share" / "usage-tracker" / "spool" / "1").prepare()
    finally:
        os.umask(before)
    made = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
    assert len(made) == 4


def test_the_folder_and_its_files_are_private(tmp_path: Path) -> None:
    spool = journal_with(tmp_path / "spool", 1).spool
    keep_aside(spool, "segment", [(0, b"12345678")])
    note_dropped(spool, 1)
    assert {path.name for path in spool.folder.rglob("*") if path.is_dir()} == {"corrupt"}
    for path in (spool.folder, *spool.folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


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


def test_segments_of_another_store_are_left_alone_and_said_to_be_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        journal_with(tmp_path, 1, OTHER_STORE)
    spool = Spool(tmp_path, STORE)
    assert [spool.open(path) for path in spool.segments()] == [None, None]
    [said] = caplog.messages
    assert said.startswith(f"{tmp_path} has events for another store, which are left alone")


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.seg").write_text("shopping list")
    assert Spool(tmp_path, STORE).open(tmp_path / "notes.seg") is None
    assert (tmp_path / "notes.seg").exists()


def test_one_leads_and_the_next_follows_when_it_is_gone(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, STORE), Spool(tmp_path, STORE)
    assert first.lead()
    assert not second.lead()
    assert second.leader() == (os.getpid(), "leading")
    first.say("waiting")
    assert second.leader() == (os.getpid(), "waiting")
    (tmp_path / "leader.lock").write_bytes(b"\xff\xfe")  # by whoever
    assert second.leader() is None
    first.say("leading")
    assert second.leader() == (os.getpid(), "leading")
    first.resign()
    assert second.leader() is None
    assert second.lead()


def open_files() -> int:
    gc.collect()  # those of earlier tests
    return len(os.listdir("/dev/fd"))


def test_who_can_lead_nothing_as_the_file_system_has_no_locks_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    spool, before = Spool(tmp_path, STORE), open_files()
    for _ in range(3):
        with pytest.raises(OSError, match="No locks"):
            spool.lead()
    assert not spool.leads()
    assert open_files() <= before


def test_a_segment_that_its_disk_can_not_read_is_not_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_with(tmp_path, 1).close()
    (path,) = Spool(tmp_path).segments()

    def damaged(descriptor: int, size: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = open_files()
    with monkeypatch.context() as disk:
        disk.setattr("os.pread", damaged)
        with pytest.raises(OSError, match="Input/output"):
            Spool(tmp_path, STORE).open(path)
    assert open_files() <= before


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system has no such call")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_where_the_file_system_can_not_reserve_blocks_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write = os.pwrite

    def fallocate(descriptor: int, offset: int, size: int) -> None:
        raise OSError(number, os.strerror(number))

    def a_part(descriptor: int, content: bytes, offset: int) -> int:
        return write(descriptor, content[: 1 << 18], offset)

    monkeypatch.setattr("os.posix_fallocate", fallocate)
    monkeypatch.setattr("os.pwrite", a_part)
    journal_with(tmp_path, 1)
    (path,) = Spool(tmp_path).segments()
    assert path.stat().st_blocks * 512 >= path.stat().st_size == 1 << 20


def test_the_bell_wakes_the_leader(tmp_path: Path) -> None:
    leader = Spool(tmp_path, STORE)
    assert leader.lead()
    Spool(tmp_path, STORE).bell.ring()
    started = time.monotonic()
    assert leader.bell.listen(30.0)
    assert time.monotonic() - started < 5.0


def test_a_bell_that_nobody_rings_is_waited_for(tmp_path: Path) -> None:
    leader = Spool(tmp_path, STORE)
    assert not leader.bell.listen(30.0), "who doesn't lead has none"
    assert leader.lead()
    started = time.monotonic()
    assert leader.bell.listen(0.2)
    assert time.monotonic() - started >= 0.15


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
    assert take_over(spool, tmp_path / "unassigned") == 0
    waiting.close()
    assert take_over(spool, tmp_path / "unassigned") == 1
    assert read_backlog(spool).events == 3
    assert not (tmp_path / "unassigned").exists()


def test_a_copy_that_comes_from_elsewhere_takes_no_segments_place(tmp_path: Path) -> None:
    spool, elsewhere = Spool(tmp_path / "spool", STORE), tmp_path / "elsewhere"
    journal = journal_with(spool.folder, 2)
    (original,) = spool.segments()
    elsewhere.mkdir()
    shutil.copy(original, elsewhere)
    journal.append(ORIGIN, UsageEvent(started_at=2, duration_ms=1.0, operation="chat"))
    journal.close()
    assert adopt(spool, elsewhere) == 1
    assert original in spool.segments()
    (copied,) = set(spool.segments()) - {original}
    for path, events, is_copy in ((original, 3, False), (copied, 2, True)):
        file = spool.open(path)
        assert file is not None
        assert len(file.reader.read(10, ended=True).events) == events
        assert spool.is_copy(file) == is_copy
        file.close()


def test_another_stores_events_are_only_adopted_when_asked_for(tmp_path: Path) -> None:
    journal_with(tmp_path / "wrong", 2, OTHER_STORE).close()
    spool = Spool(tmp_path / "spool", STORE)
    assert adopt(spool, tmp_path / "wrong") == 1
    file = spool.open(spool.segments()[0])
    assert file is not None
    assert len(file.reader.read(10, ended=True).events) == 2


def test_taking_over_makes_nobodys_events_another_stores(tmp_path: Path) -> None:
    journal_with(tmp_path / "wrong", 2, OTHER_STORE).close()
    spool = Spool(tmp_path / "spool", STORE)
    assert take_over(spool, tmp_path / "wrong") == 1
    assert spool.open(spool.segments()[0]) is None
    theirs = Spool(spool.folder, OTHER_STORE).open(spool.segments()[0])
    assert theirs is not None
    theirs.close()


def test_what_waits_is_as_old_as_its_oldest_event_in_whichever_segment(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", STORE)
    assert read_backlog(spool) == (0, None)
    for starts in ((50, 30), (20, 40), (60,)):
        journal = journal_with(spool.folder, 0)
        for start in starts:
            journal.append(ORIGIN, UsageEvent(started_at=start, duration_ms=1.0, operation="chat"))
        journal.close()
    assert read_backlog(spool) == (5, 20)


def test_what_a_killed_process_left_half_made_is_cleared_by_the_next_leader(tmp_path: Path) -> None:
    left = tmp_path / "left.new"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    (tmp_path / "young.new").write_bytes(b"")
    assert Spool(tmp_path, STORE).lead()
    assert [path.name for path in tmp_path.glob("*.new")] == ["young.new"]


def test_what_neighbours_left_half_made_is_cleared_while_a_leader_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.journal.spool.UNREADY_SECONDS", 0.0)
    leader = Spool(tmp_path, STORE)
    assert leader.lead()
    left = tmp_path / "left.new"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    assert leader.lead()
    assert not left.exists()


def test_unreadable_bytes_are_kept_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.journal.aside.KEPT_ASIDE_MAX", 10)
    keep_aside(Spool(tmp_path), "segment", [(0, b"12345678"), (9, b"12345678")])
    assert [path.name for path in (tmp_path / "corrupt").iterdir()] == ["segment-0.bin"]


def test_what_a_leader_kept_before_it_died_is_kept_as_it_is(tmp_path: Path) -> None:
    keep_aside(Spool(tmp_path), "segment", [(0, b"first")])
    keep_aside(Spool(tmp_path), "segment", [(0, b"again"), (9, b"next")])
    kept = {path.name: path.read_bytes() for path in (tmp_path / "corrupt").iterdir()}
    assert kept == {"segment-0.bin": b"first", "segment-9.bin": b"next"}


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(SpoolUnusable, match="chmod 700"):
        Spool(tmp_path).prepare()


def put_foreign_files(folder: Path) -> None:
    (folder / "a.seg").mkdir()
    os.mkfifo(folder / "b.seg")
    (folder / "c.seg").symlink_to(folder / "notes")
    (folder / "d.seg").symlink_to(folder / "d.seg")
    (folder / "e.seg").write_bytes(b"usagejnl" + bytes(1000))


def test_what_only_has_the_name_of_a_segment_is_left_alone_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "notes").write_text("private")
    put_foreign_files(tmp_path)
    spool = Spool(tmp_path)
    for _ in range(2):
        assert [spool.open(path) for path in spool.segments()] == [None] * 5
    assert [message.split(" is ")[0] for message in caplog.messages] == [str(path) for path in spool.segments()]
    assert all("no segment that this version can read; it is left alone" in message for message in caplog.messages)
    assert read_backlog(spool).events == 0
    assert take_over(Spool(tmp_path / "other"), tmp_path) == 1, "a regular file may be a damaged segment"


def test_a_segment_on_a_read_only_disk_is_read_and_nothing_is_noted_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_with(tmp_path, 2).close()
    (path,) = Spool(tmp_path).segments()
    content, real = path.read_bytes(), os.open

    def read_only(name: Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(name, flags, *mode)

    monkeypatch.setattr("usage_tracker.journal.files.os.open", read_only)
    file = Spool(tmp_path, STORE).open(path)
    assert file is not None
    found = file.reader.read(10, ended=True)
    assert len(found.events) == 2
    file.confirm(found.end, 2)
    assert path.read_bytes() == content


def test_a_file_far_larger_than_a_segment_is_left_alone(tmp_path: Path) -> None:
    journal_with(tmp_path, 1).close()
    (path,) = Spool(tmp_path).segments()
    os.truncate(path, 1 << 40)
    assert Spool(tmp_path, STORE).open(path) is None


def test_a_segment_with_a_damaged_header_is_read(tmp_path: Path) -> None:
    journal_with(tmp_path, 3).close()
    (path,) = Spool(tmp_path).segments()
    with path.open("r+b") as file:
        file.write(b"USAGE")
    opened = Spool(tmp_path, STORE).open(path)
    assert opened is not None
    assert len(opened.reader.read(10, ended=True).events) == 3
    assert Spool(tmp_path, b"\0\1another").open(path) is None


def test_who_leads_a_folder_that_is_taken_away_leads_the_next_of_that_name(tmp_path: Path) -> None:
    first, second = Spool(tmp_path / "spool", STORE), Spool(tmp_path / "spool", STORE)
    assert first.lead()
    (tmp_path / "spool").rename(tmp_path / "elsewhere")
    assert first.lead()
    assert not second.lead()
    (tmp_path / "spool").rename(tmp_path / "elsewhere again")
    assert second.lead()
    assert not first.lead()


def test_near_its_bound_segments_are_smaller_so_that_more_processes_have_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path, STORE, max_bytes=1 << 22)
    made = [spool.create(8 << 20) for _ in range(12)]
    assert made[-1].path.stat().st_size < made[0].path.stat().st_size / 4
    while spool.size() + (1 << 16) + 80 <= 1 << 22:
        made.append(spool.create(8 << 20))
    with pytest.raises(SpoolFull):
        spool.create(8 << 20)
    for own in made:
        own.close()


def test_segments_are_taken_over_from_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_with(tmp_path / "elsewhere", 2).close()

    def rename(source: object, target: object) -> None:
        if Path(str(source)).parent != Path(str(target)).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        os.replace(str(source), str(target))

    monkeypatch.setattr("usage_tracker.journal.adoption.os.rename", rename)
    spool = Spool(tmp_path / "spool", STORE)
    assert take_over(spool, tmp_path / "elsewhere") == 1
    assert read_backlog(spool).events == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_has_nothing_to_take_over_from_itself(tmp_path: Path) -> None:
    journal_with(tmp_path, 2).close()
    spool = Spool(tmp_path, STORE)
    assert take_over(spool, tmp_path) == 0
    assert read_backlog(spool).events == 2


def test_a_segment_that_can_not_be_moved_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_with(tmp_path / "elsewhere", 2).close()

    def rename(source: object, target: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("usage_tracker.journal.adoption.os.rename", rename)
    with pytest.raises(OSError, match="Read-only"):
        take_over(Spool(tmp_path / "spool", STORE), tmp_path / "elsewhere")
    assert read_backlog(Spool(tmp_path / "elsewhere", STORE)).events == 2


def test_what_comes_from_elsewhere_is_held_to_the_folders_bound(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", STORE, max_bytes=1000)
    spool.restore("a.seg", bytes(900))
    with pytest.raises(SpoolFull, match="its bound"):
        spool.restore("b.seg", bytes(200))
    assert [path.name for path in spool.segments()] == ["a.seg"]


class TestOfAGroup:
    """The folder that several users share."""

    def test_two_that_make_it_at_once_have_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        group = os.getegid()
        chown = os.chown

        def slow(path: Path, owner: int, group: int) -> None:
            chown(path, owner, group)
            if not (tmp_path / "spool").exists():  # here the other one comes first, and has put something in it
                (tmp_path / "spool").mkdir()
                (tmp_path / "spool").chmod(0o2770)
                (tmp_path / "spool" / "a.seg").touch()

        monkeypatch.setattr("usage_tracker.journal.folder.os.chown", slow)
        Spool(tmp_path / "spool", group=group).prepare()
        assert [path.name for path in tmp_path.iterdir()] == ["spool"]
        assert (tmp_path / "spool" / "a.seg").exists()

    @pytest.mark.parametrize(
        ("number", "raised"), [(errno.EPERM, SpoolUnusable), (errno.EROFS, OSError)], ids=["not in it", "read-only"]
    )
    def test_what_can_not_be_made_for_it_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception]
    ) -> None:
        def chown(path: Path, owner: int, group: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("usage_tracker.journal.folder.os.chown", chown)
        with pytest.raises(raised):
            Spool(tmp_path / "spool", group=os.getegid()).prepare()
        assert list(tmp_path.iterdir()) == []

    def test_segments_that_come_from_elsewhere_are_for_it_too(self, tmp_path: Path) -> None:
        journal_with(tmp_path / "elsewhere", 1).close()
        spool = Spool(tmp_path / "spool", STORE, group=os.getegid())
        assert take_over(spool, tmp_path / "elsewhere") == 1
        assert [path.stat().st_mode & 0o777 for path in spool.segments()] == [0o660]

    def test_what_is_set_aside_is_for_it_too(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", group=os.getegid())
        spool.prepare()
        keep_aside(spool, "a", [(0, b"x")])
        assert (spool.folder / "corrupt").stat().st_mode & 0o7777 == 0o2770
        assert {path.stat().st_mode & 0o777 for path in (spool.folder / "corrupt").iterdir()} == {0o660}


def test_what_was_dropped_is_counted_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.journal.aside.DROPS_MAX", 6)
    spool = Spool(tmp_path)
    for count in (12, 30, 7):
        note_dropped(spool, count)
    assert noted_dropped(tmp_path) == 42
    assert (tmp_path / "dropped").stat().st_mode & 0o777 == 0o600
    (tmp_path / "dropped").write_bytes("zw\u00f6lf\n5\n".encode())  # by whoever
    assert noted_dropped(tmp_path) == 5
