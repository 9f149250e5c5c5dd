"""The thread that ships: at once while a process is young, what is left at its end, and never longer than it may."""

import threading
import time
from collections.abc import Callable

from spooled import Place, TenCents, append

from usage_tracker.errors import StoreUnavailable
from usage_tracker.shipper import Shipper
from usage_tracker.shipping import Shipping


def shipping(place: Place) -> Shipping:
    return Shipping(place.shipper(journal=place.journal), place.journal, batch_seconds=1.0)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_a_young_processs_first_events_are_stored_at_once(place: Place) -> None:
    thread = shipping(place)
    append(place.journal, 1)
    thread.start()
    wait_until(place.journal.drained)
    assert thread.stop(time.monotonic() + 5)


def test_stopping_ships_what_is_left(place: Place) -> None:
    thread = shipping(place)
    thread.start()
    append(place.journal, 500)
    assert thread.stop(time.monotonic() + 5)
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
    assert thread.stop(time.monotonic() + 5)


def test_stopping_is_bounded_while_the_store_hangs(place: Place) -> None:
    hung = threading.Event()

    class Hangs:
        def __getattr__(self, name: str) -> object:
            hung.wait(30)
            raise StoreUnavailable("away")

    thread = Shipping(
        Shipper(place.spool(), Hangs, TenCents(), 100, place.journal),  # type: ignore[arg-type]  # by duck type
        place.journal,
        1.0,
    )
    append(place.journal, 5)
    thread.start()
    time.sleep(0.1)
    started = time.monotonic()
    assert not thread.stop(started + 0.3)
    assert time.monotonic() - started < 1.0
    hung.set()
    assert place.journal.pending() == 5
