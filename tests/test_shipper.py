"""From the journal into the store: everything, once, whatever happens in between."""

import os
import signal
from collections.abc import Collection
from uuid import UUID

import pytest
from spooled import Place, TenCents, append, ids

from usage_tracker.errors import EventsRefused, StoreUnavailable
from usage_tracker.event import Batch
from usage_tracker.journal import Spool
from usage_tracker.journal.segment import HEADER_SIZE
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
    assert [shipper.step() for _ in range(4)] == [True, True, True, False]
    shipper.close()
    assert place.stored() == ids(250)
    store = place.open()
    assert [int(str(row[0])) for row in store.select("SELECT sum(calls) FROM by_hour")] == [250]
    store.close()


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


class Picky:
    """A store that refuses some events."""

    def __init__(self, store: Store, refused: set[str]) -> None:
        self.dialect = store.dialect
        self._store, self._refused = store, refused

    def write(self, batch: Batch) -> bool:
        if any(priced.event.response_id in self._refused for priced in batch.events):
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
    assert len(letters) == 2
    assert '"response_id": "r-17"' in letters[0]
    assert "out of range" in letters[0]


def test_damaged_bytes_cost_only_the_events_in_them(place: Place) -> None:
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
    assert len(list((place.spool_folder / "corrupt").iterdir())) == 1


def test_events_kept_in_memory_are_shipped_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Spool, size: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Spool, "create", full)
    append(place.journal, 20)
    drain(place.shipper(journal=place.journal))
    assert place.stored() == ids(20)
    assert place.journal.drained()


def test_a_backlog_of_many_segments_takes_few_descriptors(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.shipper.OPEN_AT_MOST", 4)
    for first in range(20):
        append(place.journal, 1, first)
        place.journal.close()
    shipper = place.shipper(batch_size=3)
    assert shipper.spool.lead()
    opened = 0
    while shipper.step():
        opened = max(opened, len(shipper._files))
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
