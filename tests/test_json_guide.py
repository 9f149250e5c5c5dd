"""What docs/json.md promises of the JSON document of a report is what the command prints."""

import json
import os
import re
from pathlib import Path

import pytest
from commanding import invoke
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.cli.columns import FIELDS
from usage_tracker.cli.plain import SCHEMA_VERSION, TSV, escaped
from usage_tracker.report import MOST_EVENTS

GUIDE = (Path(__file__).parent.parent / "docs" / "json.md").read_text(encoding="utf-8")
TABLES = [re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE) for part in GUIDE.split("Money is exact")]


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")
    with migrated(os.environ["TRACKER_DSN"]) as found:
        store_events(found, [made_event()])


def test_the_document_has_the_fields_that_are_promised() -> None:
    words = ["report", "--during", "2026-08", "--compare", "previous", "-o", "json"]
    document = json.loads(invoke(*words).stdout)
    promised, figures = ([name for name, _ in table] for table in TABLES)
    assert sorted(document) == sorted(promised)
    assert document["schema_version"] == SCHEMA_VERSION == int(dict(TABLES[0])["schema_version"])
    assert figures == list(FIELDS)
    assert list(document["rows"][0]) == ["model", *figures, "before", "cost_change"]
    assert list(document["total"]) == [*figures, "before", "cost_change"]
    assert f"{MOST_EVENTS:,}" in GUIDE


def test_columns_are_the_same_and_what_is_compared() -> None:
    words = ["report", "--during", "2026-08", "--compare", "previous", "-o", "csv"]
    [header, _] = invoke(*words).stdout.splitlines()
    assert header.split(",") == ["model", *FIELDS, "cost_before"]
    assert "last column is `cost_before`" in GUIDE
    assert "".join(map(escaped, TSV.finditer("\t\n\r\\"))) == r"\t\n\r\\"
    assert r"`\t`, `\n`, `\r` or `\\`" in GUIDE


def test_the_commands_run() -> None:
    commands = re.findall(r"^usage-tracker (.*)$", GUIDE, re.MULTILINE)
    assert commands
    for line in commands:
        result = invoke(*line.split())
        assert result.exit_code == 0, f"{line}\n{result.output}"
