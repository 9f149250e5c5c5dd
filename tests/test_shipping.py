"""The thread that ships: at once while a process is young, what is left at its end, and never longer than it may."""

import os
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from spooled import Place, TenCents, append

from usage_tracker.errors import StoreLost, StoreUnavailable
from usage_tracker.journal import Journal
from usage_tracker.shipper import Shipper
from usage_tracker.shipping import Shipping
from usage_tracker.stores import Store, migrations

PATIENCE = 60.0


def shipping(place: Place) -> Shipping:
    return Shipping(place.shipper(journal=place.journal), place.journal, batch_seconds=1.0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_a_young_processs_first_events_are_stored_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.shipping.YOUNG_SECONDS", 3600.0)
    thread = Shipping(place.shipper(journal=place.journal), place.journal, batch_seconds=3600.0)
    thread.start()
    for number in range(3):
        append(place.journal, 1, first=number)
        wait_until(place.journal.drained)
    assert thread.stop(time.monotonic() + PATIENCE)


def test_stopping_ships_what_is_left(place: Place) -> None:
    thread = shipping(place)
    thread.start()
    append(place.journal, 500)
    assert thread.stop(time.monotonic() + PATIENCE)
    assert len(place.stored()) == 500


def test_a_follower_takes_over_when_the_leader_is_gone(place: Place) -> None:
    leader = place.spool()
    assert leader.lead()
    thread = shipping(place)
    thread.start()
    append(place.journal, 5)
    time.sleep(0.2)
    assert not place.file.exists()
    leader.resign()
    wait_until(place.journal.drained)
    assert thread.stop(time.monotonic() + PATIENCE)


def test_stopping_is_bounded_while_the_store_hangs(place: Place) -> None:
    asked, hung = threading.Event(), threading.Event()

    class Hangs:
        def __getattr__(self, name: str) -> object:
            asked.set()
            hung.wait(PATIENCE)
            raise StoreUnavailable("away")

    thread = Shipping(
        Shipper(place.spool(), Hangs, TenCents(), 100, place.journal),  # type: ignore[arg-type]  # by duck type
        place.journal,
        1.0,
    )
    append(place.journal, 5)
    thread.start()
    assert asked.wait(PATIENCE)
    started = time.monotonic()
    assert not thread.stop(started + 0.3)
    assert time.monotonic() - started < PATIENCE / 2
    hung.set()
    assert thread.stop(time.monotonic() + PATIENCE)
    assert place.journal.pending() == 5


def test_a_store_that_was_away_is_said_to_be_back(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    away = threading.Event()
    away.set()

    def open_now() -> Store:
        if away.is_set():
            raise StoreUnavailable("no connection")
        return place.open()

    thread = Shipping(Shipper(place.spool(), open_now, TenCents(), 100, place.journal), place.journal, 1.0)
    append(place.journal, 5)
    thread.start()
    wait_until(lambda: "no connection" in caplog.text)
    wait_until(lambda: place.spool().leader() == (os.getpid(), "waiting"))
    away.clear()
    wait_until(place.journal.drained)
    wait_until(lambda: "the store is back" in caplog.text)
    assert place.spool().leader() == (os.getpid(), "leading")
    assert thread.shipper.last_error is None
    assert thread.stop(time.monotonic() + PATIENCE)
    assert len(place.stored()) == 5


def test_at_its_end_a_process_does_not_wait_for_a_leader_whose_store_is_away(place: Place) -> None:
    leader = place.spool()
    assert leader.lead()
    thread = shipping(place)
    thread.start()
    append(place.journal, 5)
    leader.say("waiting")
    started = time.monotonic()
    assert thread.stop(started + PATIENCE)
    assert time.monotonic() - started < PATIENCE / 2
    assert place.journal.pending() == 5


def test_what_never_started_has_nothing_to_stop(place: Place) -> None:
    assert shipping(place).stop(time.monotonic())


def test_who_can_not_use_the_store_any_more_leaves_the_folder_to_others_and_waits_for_none_at_its_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> Store:
        raise StoreLost("its file is closed")

    monkeypatch.setattr(place, "open", lost)
    thread = shipping(place)
    append(place.journal, 5)
    thread.start()
    wait_until(lambda: thread.shipper.last_error is not None)
    monkeypatch.undo()
    neighbour = place.spool()
    wait_until(neighbour.lead)
    neighbour.resign()
    began = time.monotonic()
    assert thread.stop(began + PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2
    assert place.journal.pending() == 5


def test_who_is_older_than_the_schema_leaves_the_folder_to_a_newer_process_while_it_runs(place: Place) -> None:
    """All events of the host waited until it ended, which may be after its spool was full."""

    def open_as_older() -> Store:
        migrations.refuse_newer(migrations.newest_known("sqlite") + 1, "sqlite")
        pytest.fail("it is refused")

    journal = Journal(place.spool())
    older = Shipping(Shipper(place.spool(), open_as_older, TenCents(), 100, journal), journal, 1.0)
    append(journal, 5)
    older.start()
    wait_until(lambda: older.shipper.last_error is not None)
    newer = shipping(place)
    append(place.journal, 5)
    newer.start()
    wait_until(lambda: place.journal.drained() and journal.drained())
    assert newer.stop(time.monotonic() + PATIENCE)
    assert older.stop(time.monotonic() + PATIENCE)
    journal.close()
    assert len(place.stored()) == 10


def test_in_a_folder_that_can_not_be_used_nobody_leads(place: Place) -> None:
    place.spool_folder.symlink_to(place.spool_folder.parent)
    thread = shipping(place)
    append(place.journal, 5)
    thread.start()
    wait_until(place.journal.drained)  # what is only in memory is shipped from there
    assert thread.stop(time.monotonic() + PATIENCE)
    assert len(place.stored()) == 5


def test_what_goes_on_in_a_forked_child_as_greenlets_do_leaves_the_folder_to_the_childs_own(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting, over, process = threading.Event(), threading.Event(), os.getpid()

    def rest() -> None:
        resting.set()
        assert over.wait(PATIENCE)

    monkeypatch.setattr("usage_tracker.shipping.rest_for_ever", rest)
    thread = shipping(place)
    thread.start()
    wait_until(lambda: thread.shipper.spool.leader() is not None)
    monkeypatch.setattr("usage_tracker.shipping.os", SimpleNamespace(getpid=lambda: process + 1))
    assert resting.wait(PATIENCE)
    monkeypatch.undo()
    over.set()
    assert thread.stop(time.monotonic() + PATIENCE)
