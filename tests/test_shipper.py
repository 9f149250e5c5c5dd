"""From the journal into the store: everything, once, whatever happens in between."""

import errno
import gc
import os
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Collection
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spooled import ORIGIN, START, Place, TenCents, append, ids

from usage_tracker.errors import EventsRefused, StoreUnavailable
from usage_tracker.event import Batch, Cost, Origin, UsageEvent
from usage_tracker.journal import Journal, SegmentReader, Spool, frames
from usage_tracker.journal.files import SharedFile
from usage_tracker.journal.frames import encode, framed
from usage_tracker.journal.header import HEADER_SIZE
from usage_tracker.report import Query, run
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store


def drain(shipper: Shipper) -> None:
    assert shipper.spool.lead()
    while shipper.step():
        pass
    shipper.close()


def test_batches_are_cut_by_size_and_all_arrive_with_their_price(place: Place) -> None:
    append(place.journal, 250)
    shipper = place.shipper(batch_size=100)
    assert shipper.spool.lead()
    stored = [250 - place.journal.pending() for _ in iter(shipper.step, False)]
    assert stored == [100, 200, 250]
    shipper.close()
    assert place.stored() == ids(250)
    store = place.open()
    assert [int(str(row[0])) for row in store.select("SELECT sum(calls) FROM by_hour")] == [250]
    store.close()


def test_a_batch_of_many_segments_is_no_larger_than_one_of_one(place: Place) -> None:
    for first in range(0, 12, 3):
        append(place.journal, 3, first=first)
        place.journal.close()
    shipper = place.shipper(batch_size=5)
    assert shipper.spool.lead()
    assert [shipper.stored for _ in iter(shipper.step, False)] == [5, 10, 12, 12]
    shipper.close()


def test_the_segment_of_a_living_writer_stays_while_its_next_record_is_half_written(place: Place) -> None:
    append(place.journal, 3)
    shipper = place.shipper()
    assert shipper.spool.lead()
    assert shipper.step()
    [path] = shipper.spool.segments()
    with path.open("r+b") as file:
        file.seek(HEADER_SIZE + place.journal.place()[1])
        file.write(framed(frames.EVENT, b"half of it, as far as anybody sees")[:20])
    assert not shipper.step()
    assert path.exists()
    append(place.journal, 3, first=3)
    while shipper.step():
        pass
    shipper.close()
    assert place.stored() == ids(6)


@pytest.mark.guarded_errors_expected
def test_whatever_goes_wrong_beside_shipping_events_are_shipped(place: Place) -> None:
    class Broken:
        def load(self) -> None: ...
        def __call__(self, store: Store, *, last: bool = False) -> None:
            raise ValueError

    append(place.journal, 30)
    shipper = place.shipper(batch_size=10)
    shipper._chore = Broken()
    drain(shipper)
    assert place.stored() == ids(30)


@pytest.mark.guarded_errors_expected
def test_an_event_whose_pricing_fails_is_stored_without_a_cost(place: Place) -> None:
    class Failing(TenCents):
        def price(self, origin: Origin, event: UsageEvent) -> Cost:
            if event.response_id in ("r-0", "r-2"):
                raise ValueError
            return super().price(origin, event)

    append(place.journal, 4)
    drain(Shipper(place.spool(), place.open, Failing(), 64))
    with closing(place.open()) as store:
        found = list(store.select("SELECT response_id, cost, cost_flags FROM events ORDER BY started_at"))
    assert found == [
        ("r-0", None, '["unpriced"]'), ("r-1", 0.1, "[]"), ("r-2", None, '["unpriced"]'), ("r-3", 0.1, "[]"),
    ]  # fmt: skip


def test_batches_are_larger_while_there_is_a_backlog(place: Place) -> None:
    append(place.journal, 1000)
    shipper = place.shipper(batch_size=100)
    assert shipper.spool.lead()
    sizes: list[int] = []
    while shipper.step():
        sizes.append(shipper.stored - sum(sizes))
    append(place.journal, 150, first=1000)
    shipper.step()
    append(place.journal, 150, first=1150)
    shipper.step()
    assert sizes == [100, 100, 100, 100, 200, 400]
    assert shipper.stored == 1250
    shipper.step()
    append(place.journal, 1000, first=1300)
    again = [shipper.stored]
    while shipper.step():
        again.append(shipper.stored)
    assert [after - before for before, after in pairwise(again)] == sizes
    shipper.close()
    assert place.stored() == ids(2300)


def test_a_leader_that_comes_after_another_repeats_nothing(place: Place) -> None:
    append(place.journal, 150)
    first = place.shipper(batch_size=100)
    assert first.spool.lead()
    first.step()
    first.close()
    append(place.journal, 50, first=150)
    drain(place.shipper(batch_size=70))
    assert place.stored() == ids(200)


def test_a_leader_that_was_asleep_while_another_shipped_repeats_nothing(place: Place) -> None:
    append(place.journal, 100)
    sleepy = place.shipper(batch_size=30)
    assert sleepy.spool.lead()
    sleepy.step()
    awake = place.shipper(batch_size=1000)
    awake.step()
    while sleepy.step():
        pass
    for shipper in (sleepy, awake):
        shipper.close()
    assert place.stored() == ids(100)


def test_an_ended_segment_is_deleted_once_it_is_stored(place: Place) -> None:
    append(place.journal, 10)
    place.journal.close()
    assert not place.journal.drained()
    drain(place.shipper())
    assert place.spool().segments() == []
    assert place.journal.drained()


def test_the_segment_of_a_killed_process_is_adopted(place: Place) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        append(place.journal, 40)
        os.write(write, b"!")
        signal.pause()
    os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    drain(place.shipper())
    assert place.stored() == ids(40)
    assert place.spool().segments() == []


class Fails:
    """A store that fails at chosen writes, before or after they are committed."""

    def __init__(self, store: Store, before: Collection[int] = (), after: Collection[int] = ()) -> None:
        self.dialect = store.dialect
        self._store, self._before, self._after, self._writes = store, before, after, 0

    def write(self, batch: Batch) -> bool:
        self._writes += 1
        if self._writes in self._before:
            raise StoreUnavailable("gone before the commit")
        written = self._store.write(batch)
        if self._writes in self._after:
            raise StoreUnavailable("gone after the commit, before the answer")
        return written

    def positions(self, segments: Collection[UUID]) -> dict[UUID, int]:
        return self._store.positions(segments)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("times", [{"before": {1, 3}}, {"after": {1, 2}}, {"before": {1}, "after": {2, 3}}])
def test_a_connection_lost_around_the_commit_loses_and_doubles_nothing(
    place: Place, times: dict[str, set[int]]
) -> None:
    append(place.journal, 100)
    store = Fails(place.open(), **times)
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 30)  # type: ignore[arg-type, return-value]  # by duck type
    assert shipper.spool.lead()
    failures = 0
    more = True
    while more:
        try:
            more = shipper.step()
        except StoreUnavailable:
            failures += 1
    shipper.close()
    assert failures == len(times.get("before", ())) + len(times.get("after", ()))
    assert place.stored() == ids(100)


def test_a_store_that_does_not_say_how_far_segments_are_stored_is_asked_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(place.journal, 10)
    store = place.open()
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 30)
    with monkeypatch.context() as away:
        away.setattr(store, "positions", Mock(side_effect=StoreUnavailable("away")))
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                shipper.step()
    drain(shipper)
    assert place.stored() == ids(10)


def test_who_leads_others_that_ship_folds_at_each_round_only_while_there_is_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.shipper.COMPACTING_SECONDS", 0.0)
    store, left = place.open(), [2, 1, 0, 0]
    monkeypatch.setattr(store, "compact", lambda: left.pop(0))
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 20)
    for _ in range(9):
        shipper.attend()
    assert left == [0]
    shipper.close()


def test_rollups_that_can_not_be_folded_hold_no_event_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.shipper.COMPACT_SECONDS", 0.0)
    store = place.open()
    folding = []

    def fails() -> int:
        folding.append(1)
        raise StoreUnavailable("somebody locks the rollups")

    monkeypatch.setattr(store, "compact", fails)
    append(place.journal, 100)
    drain(Shipper(place.spool(), lambda: store, TenCents(), 30))
    assert folding
    assert place.stored() == ids(100)


def test_rollups_are_folded_now_and_then_and_at_the_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("COMPACT_SECONDS", "COMPACTING_SECONDS"):
        monkeypatch.setattr(f"usage_tracker.shipper.{pause}", 1000.0)
    store, left = place.open(), [2, 1, 0, 0]
    monkeypatch.setattr(store, "compact", lambda: left.pop(0))
    append(place.journal, 100)
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 20)
    assert shipper.spool.lead()
    while shipper.step():
        pass
    assert left == [0], "as long as there is something to fold, and not again at each batch"
    shipper.close()
    assert not left


def test_what_there_was_no_time_to_fold_is_folded_beside_shipping(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.shipper.COMPACTING_SECONDS", 0.0)
    store, left = place.open(), [3, 2, 1, 0, 0]
    monkeypatch.setattr(store, "compact", lambda: left.pop(0))
    append(place.journal, 100)
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 20)
    while shipper.step():
        pass
    assert left == [0]
    shipper.close()


def test_budgets_that_can_not_be_looked_after_hold_no_event_up_and_are_said_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    lasts: list[bool] = []

    class Failing:
        def load(self) -> None:
            """There is nothing to import."""

        def __call__(self, store: Store, *, last: bool = False) -> None:
            lasts.append(last)
            raise StoreUnavailable("no answer")

    append(place.journal, 100)
    drain(Shipper(place.spool(), place.open, TenCents(), 40, chore=Failing()))
    assert place.stored() == ids(100)
    assert lasts == [False] * (len(lasts) - 1) + [True]
    assert caplog.messages.count("budgets can't be looked after: no answer") == 1


class Picky:
    """A store that refuses some events."""

    def __init__(self, store: Store, refused: set[str | None]) -> None:
        self.dialect = store.dialect
        self._store, self._refused = store, refused

    def write(self, batch: Batch) -> bool:
        together = [name for priced in batch.alike for name in priced.calls.response_ids]
        if not self._refused.isdisjoint([*together, *(priced.event.response_id for priced in batch.events)]):
            raise EventsRefused("value out of range")
        return self._store.write(batch)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_an_event_that_the_store_refuses_is_set_aside_and_holds_nothing_up(place: Place) -> None:
    append(place.journal, 100)
    store = Picky(place.open(), {"r-17", "r-99"})
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 64)  # type: ignore[arg-type, return-value]  # by duck type
    drain(shipper)
    assert place.stored() == [each for each in ids(100) if each not in ("r-17", "r-99")]
    letters = (place.spool_folder / "refused.jsonl").read_text().splitlines()
    assert len(letters) == shipper.refused == 2
    assert '"response_id": "r-17"' in letters[0]
    assert "out of range" in letters[0]


def test_a_leader_that_sets_an_event_aside_after_another_one_did_repeats_nothing(place: Place) -> None:
    append(place.journal, 100)

    def shipper(store: Picky) -> Shipper:
        return Shipper(place.spool(), lambda: store, TenCents(), 64)  # type: ignore[arg-type, return-value]  # by duck type

    class Sleepy(Picky):
        def write(self, batch: Batch) -> bool:
            if not batch.size:
                while awake.step():
                    pass
            return super().write(batch)

    awake, sleepy = shipper(Picky(place.open(), {"r-17"})), shipper(Sleepy(place.open(), {"r-17"}))
    drain(sleepy)
    awake.close()
    assert place.stored() == [each for each in ids(100) if each != "r-17"]
    assert (sleepy.refused, awake.refused) == (1, 1)


def test_once_a_refused_event_is_out_calls_that_are_alike_come_together_again(place: Place) -> None:
    together: list[int] = []

    class Watched(Picky):
        def write(self, batch: Batch) -> bool:
            together.append(sum(len(priced.calls.event_ids) for priced in batch.alike))
            return super().write(batch)

    store = Watched(place.open(), {"r-17"})
    shipper = Shipper(place.spool(), lambda: store, TenCents(), 64)  # type: ignore[arg-type, return-value]  # by duck type
    assert shipper.spool.lead()
    for first in range(0, 400, 100):
        append(place.journal, 100, first=first)
        while shipper.step():
            pass
    shipper.close()
    assert (shipper.stored, shipper.refused) == (399, 1)
    assert together[-1] > 0


def test_a_store_that_refuses_everything_does_not_fill_the_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    append(place.journal, 20)
    store = Picky(place.open(), set(ids(20)))
    drain(Shipper(place.spool(), lambda: store, TenCents(), 64))  # type: ignore[arg-type, return-value]  # by duck type
    assert len((place.spool_folder / "refused.jsonl").read_text().splitlines()) == 20
    said = f"(value out of range); it is kept in {place.spool_folder}/refused.jsonl (1 so far)"
    assert caplog.text.count("the store refuses an event") == caplog.text.count(said) == 1


def test_events_that_together_cost_more_than_an_integer_holds_are_all_stored(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TenCents, "price", lambda *_: Cost(Decimal("6000000.25")))
    append(place.journal, 5)
    drain(place.shipper())
    assert place.stored() == ids(5)
    assert not (place.spool_folder / "refused.jsonl").exists()
    store = place.open()
    assert run(store, Query()).total.cost == Decimal("30000001.25")
    store.close()


def test_damaged_bytes_cost_only_the_events_in_them(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    append(place.journal, 10)
    place.journal.close()
    path = place.spool().segments()[0]
    content = bytearray(path.read_bytes())
    content[HEADER_SIZE + 300] ^= 0xFF
    path.write_bytes(content)
    shipper = place.shipper()
    drain(shipper)
    assert len(place.stored()) == 9
    assert shipper.corrupt == 1
    assert f"1 stretches of journal were unreadable; {place.spool_folder} keeps them" in caplog.text
    [kept] = (place.spool_folder / "corrupt").iterdir()
    assert kept.name.startswith(f"{path.stem}-")


def test_events_kept_in_memory_are_shipped_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Spool, size: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Spool, "create", full)
    append(place.journal, 20)
    drain(place.shipper(journal=place.journal))
    assert place.stored() == ids(20)
    assert place.journal.drained()


def test_a_backlog_of_many_segments_takes_few_descriptors(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.journal.open_segments.OPEN_AT_MOST", 4)
    for first in range(20):
        append(place.journal, 1, first)
        place.journal.close()
    shipper = place.shipper(batch_size=3)
    assert shipper.spool.lead()
    opened = 0
    while shipper.step():
        opened = max(opened, len(shipper._segments.files))
    shipper.close()
    assert opened <= 4
    assert sorted(place.stored()) == sorted(ids(20))


def test_who_does_not_lead_ships_its_own_memory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Spool, size: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Spool, "create", full)
    append(place.journal, 5)
    leader = place.spool()
    assert leader.lead()
    follower = place.shipper(journal=place.journal)
    assert follower.step(leading=False)
    assert not follower.step(leading=False)
    follower.close()
    assert place.stored() == ids(5)


def test_what_was_kept_in_memory_is_let_go_of_once_the_disk_is_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Spool, size: int) -> None:
        raise OSError("disk full")

    leader = place.spool()
    assert leader.lead()
    follower = place.shipper(journal=place.journal)
    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full)
        append(place.journal, 5)
        [kept] = map(weakref.ref, place.journal.memory)
        assert follower.step(leading=False)
    monkeypatch.setattr(place.journal, "_retry_at", 0.0)
    place.journal.put_on_disk()
    append(place.journal, 5, first=5)
    assert place.journal.pending() == 5
    gc.collect()
    assert kept() is None
    follower.close()
    leader.resign()
    drain(place.shipper())
    assert sorted(place.stored()) == sorted(ids(10))


def test_segments_take_turns_where_more_are_written_than_may_be_open(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage_tracker.journal.open_segments.OPEN_AT_MOST", 4)
    writers = [Journal(place.spool()) for _ in range(12)]
    shipper = place.shipper()
    assert shipper.spool.lead()
    for turn in range(24):  # each of them has something new in every turn
        for number, journal in enumerate(writers):
            append(journal, 1, 100 * number + turn)
        shipper.step()
    assert len(place.stored()) > 12 * 12
    assert all(journal.pending() < 24 for journal in writers)
    for journal in writers:
        journal.close()
    drain(shipper)
    assert len(place.stored()) == 12 * 24


def test_a_segment_that_can_not_be_read_holds_no_other_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    append(place.journal, 5)
    place.journal.close()
    append(place.journal, 5, first=5)
    broken = place.spool().segments()[0]
    whole = SegmentReader.read

    def read(self: SegmentReader, *arguments: Any, **options: Any) -> Any:
        if str(self.header.segment) == broken.stem:
            raise OSError("bad sector")
        return whole(self, *arguments, **options)

    with monkeypatch.context() as disk:
        disk.setattr(SegmentReader, "read", read)
        shipper = place.shipper()
        drain(shipper)
        assert place.stored() == ids(5, first=5)
    drain(place.shipper())
    assert place.stored() == ids(10)


def test_a_segment_whose_header_can_not_be_read_holds_no_other_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(place.journal, 5)
    place.journal.close()
    append(place.journal, 5, first=5)
    broken, read = place.spool().segments()[0].stat(), os.pread

    def read_but_one(descriptor: int, size: int, offset: int) -> bytes:
        if os.path.samestat(os.fstat(descriptor), broken):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, size, offset)

    with monkeypatch.context() as disk:
        disk.setattr("os.pread", read_but_one)
        shipper = place.shipper()
        drain(shipper)
        assert place.stored() == ids(5, first=5)
    drain(shipper)
    assert place.stored() == ids(10)


def test_a_copy_of_a_segment_is_not_shipped_twice(place: Place) -> None:
    append(place.journal, 10)
    place.journal.close()
    (original,) = place.spool().segments()
    shutil.copy(original, original.with_name("copy.seg"))
    drain(place.shipper())
    assert place.stored() == ids(10)
    assert place.spool().segments() == []


def test_a_copy_that_was_made_while_its_original_was_written_to_takes_nothing_from_that(place: Place) -> None:
    append(place.journal, 10)
    (original,) = place.spool().segments()
    copied = original.with_name("copy.seg")
    shutil.copy(original, copied)
    os.truncate(copied, HEADER_SIZE + place.journal._current.segment.position - 5)  # type: ignore[union-attr]
    original.touch()  # so that it is not the first to be looked at
    drain(place.shipper())
    append(place.journal, 5, first=10)
    place.journal.close()
    shipper = place.shipper()
    drain(shipper)
    assert place.stored() == ids(15)
    assert shipper.corrupt == 0
    assert place.spool().segments() == []


def test_what_goes_from_memory_to_disk_at_this_moment_is_in_a_batch_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Spool, size: int) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as disk:
        disk.setattr(Spool, "create", full)
        append(place.journal, 10)
    (kept,) = place.journal.memory
    place.journal.spool.restore(f"{kept.segment.id}.seg", kept.content())
    shipper = place.shipper(journal=place.journal)
    assert shipper.spool.lead()
    assert len(shipper._take(leading=True)) == 1
    shipper.step()
    assert place.stored() == ids(10)
    place.journal.close()
    drain(shipper)
    assert place.stored() == ids(10)


IMPORTS = """
import sys, threading
import usage_tracker
from usage_tracker.forking import undivided

class Tells:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread().name == "usage_tracker shipper":
            if threading.get_ident() not in undivided._inside.values():
                print(name)

usage_tracker.install(sys.argv[1], spool_dir=sys.argv[2])
sys.meta_path.insert(0, Tells())
usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
print(usage_tracker.flush(60))
"""


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_what_is_imported_for_shipping_is_imported_where_a_fork_waits_for_it(
    store: str, tmp_path: Path, own_environment: Path, request: pytest.FixtureRequest
) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db" if store == "sqlite" else request.getfixturevalue("empty_postgres_dsn")
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    words = [sys.executable, "-c", IMPORTS, dsn, str(tmp_path / "spool")]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == ["True"]


def test_a_segment_is_shipped_that_comes_under_the_name_of_what_was_left_alone(place: Place) -> None:
    append(place.journal, 3)
    place.journal.close()
    (path,) = place.spool().segments()
    content = path.read_bytes()
    path.write_text("a shopping list")
    shipper = place.shipper()
    assert shipper.spool.lead()
    assert not shipper.step()
    path.unlink()
    assert not shipper.step()
    path.write_bytes(content)
    drain(shipper)
    assert place.stored() == ids(3)


def test_what_is_taken_away_while_the_leader_reads_it_is_shipped(place: Place) -> None:
    append(place.journal, 10)
    shipper = place.shipper(batch_size=5)
    assert shipper.spool.lead()
    assert shipper.step()
    shutil.rmtree(place.spool_folder)
    append(place.journal, 5, first=10)
    while shipper.step():
        pass
    assert place.stored() == ids(15)
    place.journal.close()
    while shipper.step():
        pass
    assert shipper._segments.files == {}
    shipper.close()


def test_segments_stay_where_they_can_not_be_deleted_and_hold_nothing_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(0, 15, 5):
        append(place.journal, 5, first)
        place.journal.close()

    def read_only(self: SharedFile) -> None:
        raise PermissionError("read-only folder")

    with monkeypatch.context() as disk:
        disk.setattr(SharedFile, "delete", read_only)
        drain(place.shipper())
    assert place.stored() == ids(15)
    assert len(place.spool().segments()) == 3
    drain(place.shipper())
    assert place.spool().segments() == []


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary(),
    st.dictionaries(st.text(), st.integers(-(2**63), 2**64 - 1)), st.lists(st.text()),
)  # fmt: skip


@given(st.lists(VALUES, max_size=24), st.lists(VALUES, max_size=14), st.lists(VALUES, max_size=12))
def test_whatever_somebody_writes_into_a_record_the_shipper_gets_past_it(
    event: list[object], usage: list[object], origin: list[object]
) -> None:
    """Values of the right type where the decoder wants one, so that more of them come through it."""
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.journal.append(ORIGIN, UsageEvent(started_at=START, duration_ms=1.0, operation="chat"))
        own = place.journal._current
        assert own is not None
        own.segment._write(framed(frames.ORIGIN, encode((7, ["openai", "openai", *origin]))))
        for head in ([START, 1.0, None, "chat"], []):
            for number in (7, 8, -1):
                own.segment._write(framed(frames.EVENT, encode((number, [*head, *event]))))
        up_to_usage = [START, 1.0, None, "chat", *[None] * 3, False, None, "ok", None, None, 1]
        own.segment._write(framed(frames.EVENT, encode((0, [*up_to_usage, usage]))))
        append(place.journal, 1)
        place.journal.close()
        drain(place.shipper())
        assert "r-0" in place.stored()


def test_a_record_that_is_nested_without_end_is_set_aside(place: Place) -> None:
    append(place.journal, 1)
    own = place.journal._current
    assert own is not None
    event = encode((0, [START, 1.0, None, "chat", *[None] * 3, False, None, "ok", None, None, 1, []]))
    with_raw = event[:1] + event[1:].replace(b"\x9e", b"\x9f", 1) + b"\x81\xa1x" * 60_000 + b"\xc0"
    own.segment._write(framed(frames.EVENT, with_raw))
    append(place.journal, 1, first=1)
    place.journal.close()
    shipper = place.shipper()
    drain(shipper)
    assert place.stored() == ids(2)
    assert shipper.corrupt == 1
