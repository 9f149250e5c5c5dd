"""`usage-tracker ship` as a process."""

import gc
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from budgeted import budget
from commanding import invoke
from made_events import made_event, store_events
from receivers import Receiver
from spooled import Place, TenCents, append, ids

from usage_tracker.budgets.book import set_budget
from usage_tracker.cli import ship
from usage_tracker.cli.garbage import Garbage
from usage_tracker.journal.backlog import read_backlog
from usage_tracker.shipper import Shipper
from usage_tracker.sinks.ledger import standings
from usage_tracker.stores import Store, migrations

PROGRAM = """
import signal, sys, threading, time
from usage_tracker.cli import main

def get_the_signal():
    while signal.getsignal(signal.SIGTERM) is before:
        time.sleep(0.01)
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)

before = signal.getsignal(signal.SIGTERM)  # where coverage is measured, a handler of its own
threading.Thread(target=get_the_signal, daemon=True).start()
sys.argv[1:] = ["ship"]
main()
"""


def test_it_ends_also_where_the_system_gives_the_signal_to_another_thread(
    tmp_path: Path, own_environment: Path
) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "TRACKER_SPOOL_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "0 events shipped" in done.stderr + done.stdout


def test_garbage_is_collected_between_batches_and_the_collector_is_as_before_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.0, 59.0, 60.0, 60.0, 61.0])
    monkeypatch.setattr("usage_tracker.cli.garbage.time.monotonic", lambda: next(times))
    collected: list[bool] = []
    monkeypatch.setattr("gc.collect", lambda: collected.append(True))
    assert gc.isenabled()
    with Garbage() as garbage:
        assert not gc.isenabled()
        for expected in (0, 1, 1):
            garbage.collect()
            assert len(collected) == expected
    assert gc.isenabled()


def test_where_programs_leave_shipping_to_a_sidecar_nothing_goes_to_a_store_that_nobody_named(
    place: Place, monkeypatch: pytest.MonkeyPatch, own_environment: Path
) -> None:
    append(place.journal, 3)
    place.journal.close()
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(place.spool_folder))
    monkeypatch.setenv("TRACKER_SHIP", "off")
    for words in (["ship", "--once"], ["ship"]):
        refused = invoke(*words)
        assert refused.exit_code == 1
        assert "TRACKER_SHIP is off and no store is named" in refused.stderr
    assert not list(own_environment.rglob("*.db"))
    assert read_backlog(place.spool()).events == 3
    named = invoke("ship", "--once", "--dsn", f"sqlite:///{place.file}")
    assert (named.exit_code, named.stderr) == (0, f"3 events shipped to sqlite:///{place.file}.\n")


def test_once_it_ends_when_sinks_have_all_however_slow_they_are(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    receiver.wrong = lambda body: threading.Event().wait(2.0)
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(place.spool_folder))
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{place.file}")
    monkeypatch.setenv("TRACKER_SINKS", f"http://127.0.0.1:{receiver.port}")
    assert invoke("ship", "--once").exit_code == 0  # known from now on
    append(place.journal, 3)
    place.journal.close()
    assert invoke("ship", "--once").exit_code == 0
    with closing(place.open()) as store:
        assert [(found.events, found.waiting) for found in standings(store)] == [(3, 0)]
    assert len(receiver.posts) == 1
    receiver.close()


def test_once_it_ends_when_alerts_are_sent_however_slow_their_receiver_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is cut off is sent again, by each run that cron starts."""
    receiver = Receiver()
    receiver.wrong = lambda body: threading.Event().wait(1.5)
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(place.spool_folder))
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{place.file}")
    monkeypatch.setenv("TRACKER_ALERT_WEBHOOK", f"http://127.0.0.1:{receiver.port}")
    with closing(place.open()) as store:
        store.migrate()
        for name in ("a", "b"):
            set_budget(store, budget(name=name, limit=Decimal(1), measure="calls", per="30d"))
        store_events(store, [made_event(datetime.now(UTC))])
        assert invoke("ship", "--once").exit_code == 0
        assert [sent is not None for (sent,) in store.select("SELECT sent_at FROM budget_alert")] == [True] * 2
    receiver.close()


def test_once_the_export_that_is_asked_for_is_brought_up_to_date(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    append(place.journal, 3)
    place.journal.close()
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(place.spool_folder))
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{place.file}")
    monkeypatch.setenv("TRACKER_EXPORT_TO", str(tmp_path / "lake"))
    monkeypatch.setenv("TRACKER_EXPORT_FORMAT", "jsonl")
    assert invoke("ship", "--once").exit_code == 0
    [written] = (tmp_path / "lake").glob("day=*/*.jsonl")
    assert len(written.read_text().splitlines()) == 3
    monkeypatch.setenv("TRACKER_EXPORT_FORMAT", "csv")
    said = invoke("ship", "--once")
    assert (said.exit_code, "The export is behind: " in said.stderr) == (1, True)


def test_once_a_missing_client_of_a_sink_is_said_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "usage_tracker.sinks.nats", None)
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(place.spool_folder))
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{place.file}")
    monkeypatch.setenv("TRACKER_SINKS", "nats://127.0.0.1/usage")
    said = invoke("ship", "--once")
    assert said.exit_code == 1
    assert (caplog.messages, said.stderr.count("the sink nats needs ")) == ([], 1)


@pytest.mark.guarded_errors_expected
def test_a_sidecar_goes_on_after_an_error_of_ours(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    append(place.journal, 30)
    shipper, stopping, failures = place.shipper(batch_size=10), threading.Event(), [ValueError(), KeyError()]

    def step(*_: object) -> bool:
        if failures:
            raise failures.pop()
        if not (more := shipper.step()):
            stopping.set()
        return more

    monkeypatch.setattr(ship, "shipped", step)
    ship.ship_until(shipper, None, stopping, 0.01)
    assert place.stored() == ids(30)


def test_a_sidecar_older_than_the_schema_leaves_the_folder_to_a_newer_process_while_it_runs(place: Place) -> None:
    """All events of the host waited until it ended."""

    def open_as_older() -> Store:
        refused.set()
        migrations.refuse_newer(migrations.newest_known("sqlite") + 1, "sqlite")
        pytest.fail("it is refused")

    append(place.journal, 5)
    refused, stopping = threading.Event(), threading.Event()
    older = Shipper(place.spool(), open_as_older, TenCents(), 100)
    sidecar = threading.Thread(target=ship.ship_until, args=(older, None, stopping, 0.01))
    sidecar.start()
    try:
        assert refused.wait(20)
        newer, deadline = place.shipper(), time.monotonic() + 20
        while not newer.spool.lead():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        while newer.step():
            continue
        newer.close()
    finally:
        stopping.set()
        sidecar.join()
    assert place.stored() == ids(5)
