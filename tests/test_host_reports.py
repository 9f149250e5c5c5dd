"""What hosts tell the store of themselves, and what the dashboard makes of it."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dashboard_server import dashboard, filled
from migrated import migrated
from spooled import Place, TenCents, append, ids

from usage_tracker import host_reports, sdk_coverage
from usage_tracker.choke_points import ChokePoint
from usage_tracker.config import Settings, load_settings
from usage_tracker.host_reports import HostReport, HostReporting, encode
from usage_tracker.patching import State
from usage_tracker.sdk_coverage import CoverageNotes, Sdk, covered, read_notes
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store
from usage_tracker.stores.hosts import Said, put_report, read_reports
from usage_tracker.web.health import host_lines

CREATE = ChokePoint("acme", "json", "JSONEncoder.encode", "stainless", "request")
LATER = ChokePoint("acme", "json", "NoSuch.thing", "stainless", "request")
OTHER = ChokePoint("other", "no_such_module", "f", "stainless", "request")
STATES: dict[ChokePoint, State] = {CREATE: "patched", LATER: "shape unknown", OTHER: "not imported"}
ACME = Sdk("acme", json.__version__, 1, ("json.NoSuch.thing",))  # type: ignore[attr-defined]  # it has one


@pytest.fixture(params=["sqlite", "postgres"])
def any_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    dsn = "sqlite:///:memory:" if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    with migrated(dsn) as store:
        yield store


def settings_of(place: Place) -> Settings:
    return load_settings(dsn=f"sqlite:///{place.file}", spool_dir=place.spool_folder, host="box-1", app="shop")


def told(**fields: Any) -> Said:
    ago = fields.pop("ago", 10.0)
    return Said("box-1", "/spool", timedelta(seconds=ago), encode(HostReport(pid=1, **fields)).decode())


def test_a_row_for_each_host_and_folder_is_put_in_the_place_of_the_one_before(any_store: Store) -> None:
    put_report(any_store, "b", "/one", '{"pid": 1}')
    put_report(any_store, "b", "/two", '{"pid": 2}')
    put_report(any_store, "a", "/one", '{"pid": 3}')
    put_report(any_store, "b", "/one", '{"pid": 4}')
    found = read_reports(any_store)
    assert [(said.host, said.spool, json.loads(said.report)["pid"]) for said in found] == [
        ("a", "/one", 3), ("b", "/one", 4), ("b", "/two", 2),
    ]  # fmt: skip
    assert all(said.ago < timedelta(minutes=1) for said in found)


def test_a_folder_whose_name_is_no_text_is_told_all_the_same(any_store: Store) -> None:
    put_report(any_store, "b", "/home/j\udcffrg/spool", "{}")
    assert [said.spool for said in read_reports(any_store)] == ["/home/j\ufffdrg/spool"]


def test_a_leader_tells_what_waits_and_for_how_long(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_reports, "FIRST_SECONDS", 0.0)
    append(place.journal, 7)
    store = place.open()
    store.migrate()
    HostReporting(settings_of(place), place.spool())(store)
    [said] = read_reports(store)
    report = json.loads(said.report)
    assert (said.host, said.spool) == ("box-1", str(place.spool_folder))
    assert (report["app"], report["pid"]) == ("shop", os.getpid())
    assert report["waiting"] == 7
    assert report["oldest_seconds"] > 0
    assert 0 < report["spool_bytes"] < report["spool_max_bytes"]
    store.close()


def test_it_tells_no_more_than_once_a_minute_and_once_more_at_its_end(
    any_store: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    monkeypatch.setattr(host_reports, "put_report", lambda *words: put.append(words[-1]))
    reporting = HostReporting(settings_of(place), place.spool())
    reporting(any_store)
    assert not put, "a program that ends at once has nothing to tell"
    monkeypatch.setattr(host_reports, "FIRST_SECONDS", 0.0)
    reporting = HostReporting(settings_of(place), place.spool())
    for _ in range(5):
        reporting(any_store)
    assert len(put) == 1
    reporting(any_store, last=True)
    assert [json.loads(text).get("ended", False) for text in put] == [False, True]


def test_where_the_store_does_not_take_it_events_are_shipped_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_reports, "FIRST_SECONDS", 0.0)
    store = place.open()
    store.migrate()
    store.change(lambda execute: execute("DROP TABLE host_report", []))
    store.close()
    append(place.journal, 3)
    spool = place.spool()
    assert spool.lead()
    shipper = Shipper(spool, place.open, TenCents(), 100, chore=HostReporting(settings_of(place), spool))
    while shipper.step():
        pass
    shipper.close()
    assert place.stored() == ids(3)


def test_what_is_told_of_sdks_is_what_this_process_has_imported() -> None:
    assert covered(STATES) == [ACME]


def test_processes_that_are_alike_leave_one_note(tmp_path: Path) -> None:
    for _ in range(3):
        CoverageNotes(tmp_path, None, lambda: STATES).note()
    CoverageNotes(tmp_path, None, lambda: {CREATE: "patched"}).note()
    assert len(list(tmp_path.glob("sdks-*.json"))) == 2
    assert set(read_notes(tmp_path)) == {ACME, Sdk("acme", ACME.version, 1)}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_note_that_could_not_be_written_to_its_end_is_written_by_the_next_process(tmp_path: Path) -> None:
    """As on a full disk, or where the process ended in the middle of it."""
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        CoverageNotes(tmp_path, None, lambda: STATES).note()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    CoverageNotes(tmp_path, None, lambda: STATES).note()
    assert read_notes(tmp_path) == [ACME]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_that_imported_no_sdk_leaves_none(tmp_path: Path) -> None:
    CoverageNotes(tmp_path, None, lambda: {OTHER: "not imported"}).note()
    CoverageNotes(tmp_path / "no-such-folder", None, lambda: STATES).note()
    assert not list(tmp_path.iterdir())


def test_notes_of_processes_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    CoverageNotes(tmp_path, None, lambda: STATES).note()
    [path] = tmp_path.iterdir()
    ago = time.time() - sdk_coverage.ALIVE_SECONDS - 1
    os.utime(path, (ago, ago))
    assert read_notes(tmp_path) == []
    assert path.exists()
    ago = time.time() - sdk_coverage.KEPT_SECONDS - 1
    os.utime(path, (ago, ago))
    assert read_notes(tmp_path) == []
    assert not path.exists()


def test_a_note_that_is_no_note_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "sdks-0000.json").write_text("{")
    (tmp_path / "sdks-0001.json").symlink_to("/etc/passwd")
    assert read_notes(tmp_path) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (told(ago=600), "silent for 10 minutes"),
        (told(ago=600, ended=True, waiting=3), "ended with events waiting"),
        (told(waiting=5, oldest_seconds=900.0), "wait for longer"),
        (told(spool_bytes=95, spool_max_bytes=100), "nearly full"),
        (told(dropped=12), "it has dropped 12 events"),
        (told(refused=True), "refused"),
        (told(corrupt=True), "unreadable"),
        (told(sdks=[Sdk("openai", "9.0", 1, ("openai.x.y",))]), "openai 9.0 is not watched at openai.x.y"),
    ],
)
def test_what_is_wrong_with_a_host_is_said(said: Said, words: str) -> None:
    [line] = host_lines([said])
    assert words in line.wrong


def test_a_host_that_is_well_and_one_that_has_ended_are_no_trouble() -> None:
    reports = [told(waiting=4, oldest_seconds=0.5, sdks=[Sdk("openai", "1.2", 4)]), told(ago=9000, ended=True)]
    lines = host_lines([*reports, Said("newer", "/", timedelta(), '{"pid": "of another kind"}')])
    assert [line.wrong for line in lines] == ["", ""]
    assert lines[0].sdks == [("openai 1.2: 4 places", False)]


PROGRAM = """
import time
import usage_tracker
from usage_tracker import host_reports
host_reports.FIRST_SECONDS = 0.2
usage_tracker.install(app="shop", host="box-7")
import openai
usage_tracker.record(provider="openai", model="gpt-4o", input_tokens=1, output_tokens=1)
usage_tracker.flush()
print("stored", flush=True)
input()
"""


def test_a_program_that_runs_is_seen_on_the_page_of_health_with_its_sdks(tmp_path: Path) -> None:
    dsn = filled(tmp_path / "usage.db", [])
    environment = {**os.environ, "TRACKER_DSN": dsn, "TRACKER_BATCH_SECONDS": "0.1", "TRACKER_EXIT_TIMEOUT": "60"}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert program.stdout is not None
    try:
        assert program.stdout.readline() == "stored\n"
        with dashboard(dsn) as running, running.client() as client:
            deadline = time.monotonic() + 100
            shown = ""
            while "openai " not in shown and time.monotonic() < deadline:
                time.sleep(0.2)
                shown = " ".join(re.sub(r"<[^>]*>", " ", client.get("/health").text).split())
            assert "box-7 · shop" in shown
            assert re.search(r"openai \d+\.\d+\.\d+: \d+ places", shown)
            assert str(program.pid) in shown
            program.communicate("\n", timeout=30)
            while "ended in good order" not in shown and time.monotonic() < deadline:
                time.sleep(0.2)
                shown = client.get("/health").text
            assert "ended in good order" in shown
    finally:
        program.kill()
        program.wait()
