"""`usage-tracker doctor`: what it finds, for people and for programs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from commanding import invoke
from made_events import made_event, store_events
from migrated import migrated
from rights import CAN_BE_SHUT, SHUT_OUT
from test_sidecar import as_user

from usage_tracker import choke_points, tracker
from usage_tracker.cli.doctor import as_lines
from usage_tracker.cli.doctor_store import examine_partitions, examine_server
from usage_tracker.cli.findings import Finding, Findings
from usage_tracker.config import load_settings
from usage_tracker.config_file import config_path
from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.journal.aside import note_dropped, noted_dropped
from usage_tracker.journal.header import ANY_STORE
from usage_tracker.stores import Store
from usage_tracker.stores.description import Description, Partition

DOCUMENT = (Path(__file__).parent.parent / "docs" / "doctor.md").read_text()


@pytest.fixture(autouse=True)
def no_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One SDK, so that it need not import them all."""
    monkeypatch.setenv("TRACKER_SDKS", "openai")


@pytest.fixture
def store(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("TRACKER_DSN", dsn)
    with migrated(dsn) as found:
        yield found


def doctor(*words: str) -> Result:
    return invoke("doctor", *words)


def document() -> Any:
    result = doctor("--json")
    assert result.exit_code in (0, 5)
    return json.loads(result.stdout)


def remedies(found: Any) -> list[str]:
    return [finding["remedy"] for finding in found["findings"] if finding["remedy"]]


def test_where_all_is_well_it_says_so_and_exits_with_0(store: Store) -> None:
    result = doctor()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "No problem found."
    assert re.search(r"^  openai [\d.]+ +watched in \d+ places$", result.stdout, re.MULTILINE)
    places = re.findall(r"(\S+): (?:patched|not in this version)", doctor("-v").stdout)
    assert "openai._base_client.SyncAPIClient.request" in places
    assert len(places) == len(set(places))  # classes of different modules have the same name


def test_programs_get_every_field_that_is_documented_and_no_other(store: Store) -> None:
    found = document()
    assert (found["schema_version"], found["healthy"]) == (1, True)
    described = set(re.findall(r"`([a-z_.]+)`", "".join(re.findall(r"^\| (`[^|]*) \|", DOCUMENT, re.MULTILINE))))
    assert set(found) == {name for name in described if "." not in name} | {"schema_version"}
    assert set(found["store"]) == {name.partition(".")[2] for name in described if name.startswith("store.")}
    for name in ("python", "config", "price_data", "spool", "usage_tracker", "settings"):
        [meaning] = re.findall(rf"^\| `{name}` \| (.*) \|$", DOCUMENT, re.MULTILINE)
        assert set(found[name]) <= set(re.findall(r"`(\w+)`", meaning)), name


def test_the_facts_are_those_of_the_store(store: Store) -> None:
    at_work = document()["store"]
    assert at_work["there"] is True
    assert at_work["schema"]["missing"] == []
    assert at_work["schema"]["newest"] == at_work["schema"]["known"]
    assert at_work["server"].startswith("SQLite 3" if store.dialect.name == "sqlite" else "PostgreSQL ")
    assert at_work["bytes"] > 10_000
    assert abs(at_work["clock_skew_seconds"]) < 60
    assert len(at_work["partitions"]) == (0 if store.dialect.name == "sqlite" else 6)
    assert at_work["events_since"] is None


def test_a_server_that_only_reads_is_no_problem_for_who_reads_but_said(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DSN", f"{postgres_dsn} options='-c default_transaction_read_only=on'")
    found = document()
    assert (found["healthy"], found["store"]["read_only"]) == (True, True)
    assert "it only reads, as a replica does, and programs can't store there" in doctor().stdout


def test_a_schema_that_is_older_or_newer_comes_with_what_to_do(store: Store) -> None:
    table = f"{store.dialect.prefix}schema_migration"
    newest = document()["store"]["schema"]["newest"]
    store.change(lambda execute: execute(f"DELETE FROM {table} WHERE number = {int(newest[:4])}", ()))
    older = document()
    assert older["store"]["schema"]["missing"] == [newest]
    assert any("usage-tracker migrate" in remedy for remedy in remedies(older))
    store.change(lambda execute: execute(f"INSERT INTO {table} (number, name) VALUES (9999, '9999_future')", ()))
    assert any("upgrade usage_tracker" in remedy for remedy in remedies(document()))


def test_what_was_pruned_is_said(store: Store) -> None:
    now = datetime.now(UTC)
    store_events(store, [made_event(now - timedelta(days=90)), made_event(now - timedelta(days=1))])
    assert sum(store.prune(now - timedelta(days=60))) == 1
    found = document()
    assert found["healthy"] is True
    assert found["store"]["events_since"] is not None
    assert "earlier ones were pruned" in doctor().stdout


def test_counts_that_contradict_each_other_are_said_and_are_no_problem_of_this_machine(store: Store) -> None:
    store_events(store, [made_event(), made_event(flags=("sum_mismatch",))])
    found = document()
    assert found["store"]["counts"] == {"calls": 2, "contradicting": 1}
    result = doctor()
    assert result.exit_code == 0
    assert "in 1 of the newest 2 calls; `usage-tracker events --where flag=sum_mismatch` lists them" in result.stdout


def test_a_variable_that_is_no_setting_is_noted_with_the_one_that_may_be_meant(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACKER_TEST_DSN", raising=False)
    for name in ("PROJET", "PROJECT", "TZ", "SERVE_VIEWER_TOKEN", "XQ"):
        monkeypatch.setenv(f"TRACKER_{name}", "UTC")
    result = doctor()
    assert result.exit_code == 0
    assert re.findall("TRACKER_.*", result.stdout) == [
        "TRACKER_PROJET is no setting, nobody reads it; did you mean TRACKER_PROJECT?",
        "TRACKER_XQ is no setting, nobody reads it",
    ]
    assert document()["settings"]["unknown"] == ["TRACKER_PROJET", "TRACKER_XQ"]


def test_a_journal_that_could_not_be_written_is_found_before_the_first_call(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    environ = {**os.environ, "HOME": str(tmp_path), "TRACKER_SPOOL_DIR": str(closed / "usage"), "TRACKER_SHIP": "off"}
    said = subprocess.run(
        [*as_user(20001, 20001), sys.executable, "-m", "usage_tracker", "doctor", "--json"],
        env=environ, check=False, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    assert json.loads(said)["spool"]["problem"] == f"{closed} can't be written by this user"


def test_where_programs_do_not_ship_it_is_said_who_does_and_to_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("TRACKER_SHIP", "off")
    monkeypatch.delenv("TRACKER_DSN", raising=False)
    record = "import usage_tracker.auto as _, usage_tracker; usage_tracker.record(provider='acme', model='m')"
    subprocess.run([sys.executable, "-c", record], check=True)
    said = doctor().stdout
    assert "none now, and programs don't ship where TRACKER_SHIP is off" in said
    assert "to the store of TRACKER_DSN: run it where that is set" in said
    assert "this store" not in said


def test_in_a_narrow_terminal_lines_break_between_words_and_never_in_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        Finding("store", "cannot be reached from here", "start it, or name another"),
        Finding("spool", "x" * 50, "`usage-tracker ship --once --from x` ships it"),
    ]
    monkeypatch.setenv("COLUMNS", "30")
    assert "".join(as_lines(findings)).splitlines()[:7] == [
        "! store  cannot be reached",
        "         from here",
        "         → start it, or name",
        "           another",
        f"! spool  {'x' * 50}",
        "         → `usage-tracker ship --once --from x`",
        "           ships it",
    ]


def test_a_store_that_is_away_exits_with_5_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DSN", "postgresql://me:geheim@127.0.0.1:9/usage")
    result = doctor()
    assert result.exit_code == 5
    assert "can't be reached" in result.stdout
    assert "geheim" not in result.stdout + result.stderr + doctor("--json").stdout
    assert "Connection refused" in document()["store"]["problem"]


def test_settings_that_cannot_be_used_are_said_and_the_rest_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_BATCH_SIZE", "many")
    found = document()
    assert "TRACKER_BATCH_SIZE" in found["settings"]["problem"]
    assert found["store"] is None
    assert [sdk["name"] for sdk in found["sdks"]] == ["openai"], "as what can be used of them says"


@pytest.mark.parametrize("line", ['batch_size = "many"', "bach_size = 5"])
def test_events_that_wait_until_settings_are_mended_are_found_where_they_wait(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (config := tmp_path / "config.toml").write_text(f'spool_dir = "{tmp_path}/spool"\n{line}\n')
    monkeypatch.setenv("TRACKER_CONFIG", str(config))
    record = "import usage_tracker.auto as _, usage_tracker; usage_tracker.record(provider='acme', model='m')"
    subprocess.run([sys.executable, "-c", record], check=True, capture_output=True)
    spool = document()["spool"]
    assert (spool["folder"], spool["waiting"]) == (f"{tmp_path}/spool", 1)


def test_an_sdk_that_nobody_knows_is_a_finding_like_any_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [point for point in choke_points.CHOKE_POINTS if point.sdk == "openai"]
    monkeypatch.setattr(tracker, "CHOKE_POINTS", ours)  # so that it need not import them all
    monkeypatch.setenv("TRACKER_SDKS", "opnai")
    found = document()
    assert "TRACKER_SDKS names 'opnai'" in found["settings"]["problem"]
    assert any("known SDKs are openai" in remedy for remedy in remedies(found))
    assert found["store"]["there"]
    assert [sdk["name"] for sdk in found["sdks"]] == ["openai"]
    monkeypatch.setenv("TRACKER_BATCH_SIZE", "many")
    assert "TRACKER_BATCH_SIZE" in document()["settings"]["problem"], "one after the other"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes a user whom the machine doesn't know")
def test_a_user_without_a_home_is_told_of_settings_as_well(tmp_path: Path) -> None:
    """As in containers."""
    # without coverage's own words, as that user can't write into the checkout
    environ = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("COVERAGE")}
    command = [*as_user(54321, 54321), sys.executable, "-m", "usage_tracker", "doctor"]
    for setting, said in (
        ({"TRACKER_BATCH_SIZE": "many"}, "TRACKER_BATCH_SIZE='many' is not a number"),
        ({"TRACKER_CONFIG": "~/settings.toml"}, "TRACKER_CONFIG: there is no ~/settings.toml"),
    ):
        done = subprocess.run(command, env=environ | setting, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (5, "")
        assert said in " ".join(done.stdout.split())


@pytest.mark.skipif(not CAN_BE_SHUT, reason="root may enter every folder")
def test_who_may_not_enter_their_home_is_told_what_there_is_without_it(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event()])
    (home := tmp_path / "of-root").mkdir(mode=0)
    environ, own_spool = {**os.environ, "HOME": str(home)}, {"TRACKER_SPOOL_DIR": str(tmp_path / "spool")}

    def said(words: str, more: dict[str, str]) -> tuple[int, str, str]:
        command = [*SHUT_OUT, sys.executable, "-m", "usage_tracker", *words.split()]
        done = subprocess.run(command, env=environ | more, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout.rstrip().splitlines()[-1], done.stderr

    assert said("doctor", own_spool) == (0, "No problem found.", "")
    assert said("doctor", {}) == (5, "2 problems found.", "")
    assert said("report --since all --by status", {})[::2] == (0, "")


def test_alerts_and_sinks_that_cannot_be_used_are_each_said_and_the_store_is_examined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKER_ALERT_WEBHOOK", "nowhere")
    monkeypatch.setenv("TRACKER_SINKS", "nothing")
    found = document()
    for name in ("TRACKER_ALERT_WEBHOOK", "TRACKER_SINKS"):
        assert name in found["settings"]["problem"]
        assert any(name in remedy for remedy in remedies(found))
    assert found["store"] is not None


def test_an_export_that_cannot_be_made_is_said_and_where_it_can_nothing_is_made_yet(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_EXPORT_TO", str(tmp_path / "lake"))
    found = document()
    assert (found["export"], found["healthy"]) == (
        {"address": str(tmp_path / "lake"), "format": "parquet", "problem": None},
        True,
    )
    assert not (tmp_path / "lake").exists()
    monkeypatch.setenv("TRACKER_EXPORT_TO", "s3://key:s3cret@lake/usage")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    found = document()
    assert remedies(found) == [found["export"]["problem"]]
    assert "pip install 'usage-tracker-llm[export]'" in found["export"]["problem"]
    assert "s3cret" not in doctor().output


def test_a_config_file_is_named_and_told_where_others_can_read_it(tmp_path: Path) -> None:
    path = config_path()
    path.parent.mkdir(parents=True)
    path.write_text(f'dsn = "sqlite:///{tmp_path}/usage.db"\n')
    path.chmod(0o644)
    assert any(remedy.startswith(f"chmod 600 {path}") for remedy in remedies(document()))
    path.chmod(0o600)
    assert document()["healthy"] is True
    path.write_text("nonsense")
    assert "is no TOML" in document()["config"]["problem"]


def test_what_waits_in_the_journal_and_what_was_dropped_is_counted() -> None:
    settings = load_settings()
    assert settings.dsn is not None
    journal = Journal(Spool(settings.spool_dir, bytes.fromhex(settings.dsn.identity)))
    journal.append(Origin(sdk="openai"), UsageEvent(started_at=1, duration_ms=1.0, operation="chat"))
    journal.close()
    note_dropped(Spool(settings.spool_dir), 3)
    note_dropped(Spool(settings.spool_dir), 4)
    found = document()
    assert (found["spool"]["waiting"], found["spool"]["dropped"], found["spool"]["leader"]) == (1, 7, None)
    assert any("usage-tracker ship --once" in remedy for remedy in remedies(found))
    assert any("TRACKER_SPOOL_MAX_BYTES" in remedy for remedy in remedies(found))


def test_events_for_another_store_than_that_of_who_ships_them_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a program beside a sidecar names the same store in another way."""
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")
    settings = load_settings()
    assert settings.dsn is not None
    sidecar = Spool(settings.spool_dir, bytes.fromhex(settings.dsn.identity))
    assert sidecar.lead()
    try:
        for store, found in ((ANY_STORE, False), (sidecar.store, False), (bytes(7) + b"\1", True)):
            journal = Journal(Spool(settings.spool_dir, store))
            journal.append(Origin(sdk="openai"), UsageEvent(started_at=1, duration_ms=1.0, operation="chat"))
            assert any("the same TRACKER_DSN" in remedy for remedy in remedies(document())) is found
            journal.close()
    finally:
        sidecar.resign()


def test_a_journal_that_drops_notes_it_for_whoever_comes_after(tmp_path: Path) -> None:
    journal = Journal(Spool(tmp_path / "spool", max_bytes=1))
    for _ in range(5):
        journal.append(Origin(sdk="openai"), UsageEvent(started_at=1, duration_ms=1.0, operation="chat"))
    journal.close()
    assert (journal.dropped, noted_dropped(tmp_path / "spool")) == (5, 5)


class TestThresholds:
    NOW = datetime(2026, 8, 15, tzinfo=UTC)

    def examine(self, skew: float = 0.0, unfolded: int = 0, *partitions: Partition) -> list[str]:
        findings, facts = Findings(), dict[str, object]()
        seen = Description("PostgreSQL 15", self.NOW, 1, unfolded, list(partitions))
        examine_server(seen, timedelta(seconds=skew), findings, facts)
        examine_partitions(seen, findings, facts)
        return [f"{line.what}: {line.found}" for line in findings.lines if line.remedy]

    def test_clocks_that_differ_are_a_problem(self) -> None:
        assert self.examine(4.0) == []
        assert self.examine(120.0) == ["clock: the store's is 120 s ahead of this machine's"]
        assert self.examine(-7200.0) == ["clock: the store's is 7,200 s behind this machine's"]

    def test_rows_that_nobody_folds_are_one(self) -> None:
        assert self.examine(0.0, 1000) == []
        assert "make" in self.examine(0.0, 10**6)[0]

    def test_a_day_without_a_partition_is_one(self) -> None:
        default = Partition("usage_event_default", None, None, 10)
        august = Partition("usage_event_2026_08", datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC), 9)
        july = Partition("usage_event_2026_07", datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC), 9)
        assert self.examine(0.0, 0, july, august, default) == []
        assert "none for today" in self.examine(0.0, 0, july, default)[0]
        assert "none for today" in self.examine(0.0, 0, default)[0]


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    assert document()["store"]["there"] is False
    assert not [path for path in Path(os.environ["HOME"]).rglob("*") if path.is_file()]
