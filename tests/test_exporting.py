"""The export that the leader keeps up to date, and what is said where it can't."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_events import made_event, store_events

from usage_tracker.config import load_settings
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import ConfigError
from usage_tracker.exporting import Exporting, Plan, open_exporter
from usage_tracker.stores import Store, open_store


def filled(tmp_path: Path) -> tuple[Store, str]:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    store = open_store(parse_dsn(dsn))
    store.migrate()
    store_events(store, [made_event()])
    return store, dsn


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_leader_exports_every_so_many_minutes(tmp_path: Path) -> None:
    store, dsn = filled(tmp_path)
    settings = load_settings(dsn=dsn, export_to=str(tmp_path / "lake"), export_minutes=0.01)
    exporting = Exporting(settings)
    exporting.load()
    exporting.look()
    until(lambda: list((tmp_path / "lake").rglob("*.parquet")))
    store_events(store, [made_event(), made_event()])
    from pyarrow import dataset

    def rows() -> int:
        exporting.look()
        return int(dataset.dataset(tmp_path / "lake", format="parquet").count_rows())

    until(lambda: rows() == 3)
    store.close()


def test_it_exports_as_what_the_settings_say(tmp_path: Path) -> None:
    store, dsn = filled(tmp_path)
    asked = {"TRACKER_DSN": dsn, "TRACKER_EXPORT_TO": str(tmp_path / "lake"), "TRACKER_EXPORT_FORMAT": "csv"}
    Exporting(load_settings(asked)).look()
    until(lambda: list((tmp_path / "lake").rglob("*.csv")))
    store.close()


def test_a_round_that_fails_is_said_once_and_the_next_makes_it_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, dsn = filled(tmp_path)
    place = tmp_path / "lake"
    place.write_text("not a folder")
    exporting = Exporting(load_settings(dsn=dsn, export_to=str(place), export_minutes=0.01))
    with caplog.at_level(logging.WARNING, "usage_tracker"):
        exporting.look()
        until(lambda: caplog.messages)
    assert caplog.messages[0] == "the export is behind: Not a directory"
    place.unlink()

    def is_good() -> bool:
        exporting.look()
        return any(place.rglob("*.parquet"))

    until(is_good)
    store.close()


def test_who_asks_for_no_export_loads_nothing_for_it(tmp_path: Path) -> None:
    program = (
        "import sys, usage_tracker; usage_tracker.install(dsn='sqlite:///usage.db');"
        "usage_tracker.record(provider='openai', model='gpt-4o', input_tokens=1); usage_tracker.flush(20);"
        "print(sorted({'pyarrow', 'fsspec', 'ibis', 'deltalake'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
    assert (tmp_path / "usage.db").exists()


@pytest.mark.parametrize(
    ("package", "extra", "to", "form"),
    [("deltalake", "delta", "table", "delta"), ("fsspec", "export", "s3://lake/usage", "parquet")],
)
def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, to: str, form: str
) -> None:
    store, _ = filled(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"{package} is not installed; run: pip install 'usage-tracker-llm\[{extra}\]'"
    with pytest.raises(ConfigError, match=said):
        open_exporter(store, Plan(to, form))
    store.close()
