"""The segment in which a process goes on, made before it is needed and not by the app's thread."""

import errno
import os
import subprocess
import sys
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from unittest.mock import Mock

import pytest
from journaled import ORIGIN, append_to_the_next, append_until, full_disk, made, read_all
from spooled import Place, ids

from usage_tracker.event import Origin
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.files import OwnFile
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.journal.segment import Segment
from usage_tracker.journal.spool import SpoolFull
from usage_tracker.journal.standby import Standby

OTHERS = 10**9
"""The start of events that are not counted."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Spool(tmp_path / "spool"))


LIFE = """
import sys, time
from pathlib import Path
import usage_tracker.journal.journal
from spooled import append
from usage_tracker.journal import Journal, Spool

usage_tracker.journal.journal.FIRST_SEGMENT = 1 << 16
journal, used = Journal(Spool(Path(sys.argv[1]))), sys.argv[2] == "1"
while len(journal.spool.segments()) < 2:
    append(journal, 1, journal.captured())
    journal.look_ahead()
while used and journal._standby.made:
    append(journal, 1, journal.captured())
print(journal.captured(), flush=True)
time.sleep(60)
"""


class TestReady:
    """The next segment is made before the current one is full, and not by the app's thread."""

    @pytest.fixture(autouse=True)
    def half_full(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("usage_tracker.journal.journal.FIRST_SEGMENT", 1 << 16)
        append_until(journal, 0.5)

    def test_it_is_not_made_for_a_process_that_may_never_need_it(self, tmp_path: Path) -> None:
        journal = Journal(Spool(tmp_path / "other"))
        journal.look_ahead()
        append_until(journal, 0.4)
        journal.look_ahead()
        assert len(journal.spool.segments()) == 1

    def test_the_apps_thread_goes_on_in_it_and_touches_no_file(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal.look_ahead()
        with monkeypatch.context() as disk:
            disk.setattr(Spool, "create", full_disk)
            disk.setattr(OwnFile, "close", lambda _: full_disk(journal.spool, 0))
            count = journal.captured() * 2
            while journal.captured() < count:
                journal.append(ORIGIN, made(journal.captured()))
        assert len(journal.spool.segments()) == 2
        assert sorted(read_all(journal.spool)) == list(range(count))
        assert (journal.pending(), journal.only_in_memory(), journal.dropped) == (count, 0, 0)

    def test_a_thread_goes_on_though_another_waits_for_a_disk(self, journal: Journal) -> None:
        journal.look_ahead()
        goes_on = threading.Thread(target=append_to_the_next, args=(journal,))
        with journal._lock:
            goes_on.start()
            goes_on.join(60)
            assert not goes_on.is_alive()

    def test_it_is_twice_as_large(self, journal: Journal) -> None:
        journal.look_ahead()
        first, ready = sorted(path.stat().st_size for path in journal.spool.segments())
        assert 1.9 < ready / first < 2.1

    def test_the_full_one_ends_when_somebody_looks_the_next_time(self, journal: Journal) -> None:
        first = journal.spool.open(journal.spool.segments()[0])
        assert first is not None
        journal.look_ahead()
        append_to_the_next(journal)
        assert not first.ended()
        journal.look_ahead()
        assert first.ended()

    def test_many_origins_fill_a_segment_as_well(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("usage_tracker.journal.segment.MOST_ORIGINS", 10)
        journal.close()
        for user in range(10):
            journal.append(Origin(sdk="openai", user_id=f"u-{user}"), made(journal.captured()))
        journal.look_ahead()
        assert len(journal.spool.segments()) == 3
        append_to_the_next(journal, Origin(sdk="openai", user_id="u-10"))
        assert sorted(read_all(journal.spool)) == list(range(journal.captured()))

    def test_unused_it_goes_with_its_process(self, journal: Journal) -> None:
        (first,) = journal.spool.segments()
        journal.look_ahead()
        assert len(journal.spool.segments()) == 2
        journal.close()
        assert journal.spool.segments() == [first]

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), SpoolFull("full"), SpoolUnusable("not ours")])
    def test_a_full_disk_is_left_to_who_needs_the_segment(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
    ) -> None:
        with monkeypatch.context() as disk:
            disk.setattr(Spool, "create", Mock(side_effect=error))
            journal.look_ahead()
        assert caplog.messages == []
        append_to_the_next(journal)
        assert sorted(read_all(journal.spool)) == list(range(journal.captured()))

    @pytest.mark.parametrize("ready", [False, True])
    def test_whoever_goes_on_in_it_comes_first_though_others_fill_it_at_once(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch, ready: bool
    ) -> None:
        use = journal._use

        def used_and_filled(fresh: OwnFile) -> None:
            use(fresh)
            fill(fresh.segment)

        monkeypatch.setattr(journal, "_use", used_and_filled)
        if ready:
            journal.look_ahead()
        append_to_the_next(journal)
        assert set(read_all(journal.spool)) == {OTHERS, *range(journal.captured())}
        assert journal.dropped == 0

    def test_one_that_is_in_use_is_not_deleted_though_a_signal_came_in_between(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use = journal._use

        def used_and_interrupted(fresh: OwnFile) -> None:
            use(fresh)
            raise KeyboardInterrupt

        journal.look_ahead()
        monkeypatch.setattr(journal, "_use", used_and_interrupted)
        with pytest.raises(KeyboardInterrupt):
            append_to_the_next(journal)
        monkeypatch.setattr(journal, "_use", use)
        interrupted_in = journal.captured()
        journal.append(ORIGIN, made(interrupted_in + 1))
        journal.close()
        assert sorted(read_all(journal.spool)) == list(range(interrupted_in + 2))

    def test_one_may_be_taken_into_use_while_somebody_looks_whether_it_is_there(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def looked_late(_: OwnFile) -> bool:
            append_to_the_next(journal)
            return True

        journal.look_ahead()
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(OwnFile, "gone", looked_late)
            journal.look_ahead()
        assert sorted(read_all(journal.spool)) == list(range(journal.captured()))

    def test_it_takes_no_room_that_events_may_need(self, journal: Journal) -> None:
        journal.spool.max_bytes = 3 * journal.spool.size()
        journal.look_ahead()
        assert len(journal.spool.segments()) == 1

    @pytest.mark.parametrize(("more", "made"), [(0, True), (1, False)])
    def test_it_takes_up_to_half_of_the_folder(self, tmp_path: Path, more: int, made: bool) -> None:
        spool = Spool(tmp_path / "another", max_bytes=1 << 24)
        standby = Standby(spool, nullcontext())
        standby.make((1 << 23) + more)
        assert (standby.made is not None) is made
        standby.discard()
        assert not spool.segments()

    def test_one_that_can_not_be_deleted_is_let_go_of(self, tmp_path: Path) -> None:
        standby = Standby(Spool(tmp_path / "another"), nullcontext())
        standby.make(1 << 16)
        made = standby.made
        assert made is not None
        made.path.unlink()
        made.path.mkdir()
        standby.discard()
        assert not made._descriptor.is_open()

    def test_one_that_was_taken_away_is_made_again(self, journal: Journal, tmp_path: Path) -> None:
        journal.look_ahead()
        journal.spool.folder.rename(tmp_path / "elsewhere")
        journal.put_on_disk()
        append_until(journal, 0.5)
        journal.look_ahead()
        append_to_the_next(journal)
        assert sorted(read_all(journal.spool)) == list(range(journal.captured()))

    def test_one_that_is_taken_away_in_use_is_put_back(self, journal: Journal, tmp_path: Path) -> None:
        journal.look_ahead()
        journal.spool.folder.rename(tmp_path / "elsewhere")
        append_to_the_next(journal)
        journal.put_on_disk()
        assert sorted(read_all(journal.spool)) == list(range(journal.captured()))

    def test_a_child_has_none_of_it(self, journal: Journal) -> None:
        journal.look_ahead()
        ready = journal._standby.made
        assert ready is not None
        file = journal.spool.open(ready.path)
        assert file is not None
        child = os.fork()
        if child == 0:
            journal.forget()
            journal.append(ORIGIN, made(10**6))
            append_until(journal, 0.5)
            journal.look_ahead()
            append_to_the_next(journal)
            os._exit(0 if journal.captured() < 10**6 and journal._standby.made is None else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert not file.ended(), "it is the parent's"
        append_to_the_next(journal)
        assert journal._current is ready
        assert set(read_all(journal.spool)) > set(range(journal.captured()))
        journal.close()
        assert file.ended()

    @pytest.mark.parametrize("used", [False, True])
    def test_a_killed_processs_is_collected_and_what_was_kept_is_stored_once(self, tmp_path: Path, used: bool) -> None:
        place = Place(tmp_path / "other")
        place.file.parent.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", LIFE, str(place.spool_folder), str(int(used))],
            cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            count = int(process.stdout.readline())
            process.kill()
        shipper = place.shipper(batch_size=1000)
        assert len(shipper.spool.segments()) == 2
        assert shipper.spool.lead()
        while shipper.step():
            pass
        shipper.close()
        assert place.stored() == ids(count)
        assert shipper.spool.segments() == []

    def test_threads_lose_nothing_while_another_looks_ahead(self, journal: Journal) -> None:
        first, done = journal.captured(), threading.Event()

        def look() -> None:
            while not done.wait(0.001):
                journal.look_ahead()

        def append(thread: int) -> None:
            for number in range(2_000):
                journal.append(ORIGIN, made(first + thread * 2_000 + number))

        looking = threading.Thread(target=look)
        threads = [threading.Thread(target=append, args=(thread,)) for thread in range(8)]
        for each in (looking, *threads):
            each.start()
        for each in threads:
            each.join()
        done.set()
        looking.join()
        assert sorted(read_all(journal.spool)) == list(range(first + 16_000))
        assert (journal.captured(), journal.pending(), journal.dropped) == (first + 16_000, first + 16_000, 0)


def fill(segment: Segment) -> None:
    """As other threads would, in no time."""
    with suppress(ValueError):
        while True:
            segment.append(ORIGIN, made(OTHERS))
