"""What docs/warehouses.md says to type works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from made_events import NOON, made_event, store_events
from migrated import migrated
from s3_server import s3_server

from usage_tracker.event import COLUMNS
from usage_tracker.exports.columns import SCHEMA

GUIDE = (Path(__file__).parent.parent / "docs" / "warehouses.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"", "console", "sh", "sql"}
    assert all(line.startswith("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines())


def test_the_commands_work_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    with migrated(dsn) as store:
        whose: dict[str, Any] = {"tags": ("tier:pro",), "project": "alpha"}
        batch = made_event(NOON, awaits="batch", input_tokens=None, output_tokens=None, cost=None, **whose)
        store_events(store, [batch, made_event(NOON, completes="batch", **whose)])
    with s3_server() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("lake")
        environment = {
            **os.environ,
            "TRACKER_DSN": dsn,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
        }
        said = []
        for kind, text in BLOCKS:
            for line in text.splitlines() if kind == "sh" else ():
                if line.startswith("pip "):
                    continue
                done = subprocess.run(
                    ["sh", "-eu", "-c", line],
                    check=False,
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
                assert "Traceback" not in done.stderr
                said.append(done.stdout + done.stderr)
    assert said[:2] == ["2 calls written to 1 file in lake/usage.\n", "lake/usage is up to date.\n"]
    assert "2026-08-15  gpt-4o" in said[-3]
    assert re.search(r"pro +1 +100 ", said[-2])
    assert re.search(r"alpha +1 +100 ", said[-1])
    monkeypatch.chdir(tmp_path)
    [sql] = [text for kind, text in BLOCKS if kind == "sql"]
    [(day, model, calls, dollars)] = duckdb.sql(sql).fetchall()
    assert (str(day), model, calls, str(dollars)) == ("2026-08-15", "gpt-4o", 1, "0.010000000000")
    [shown] = [text for kind, text in BLOCKS if kind == ""]
    [file] = (tmp_path / "lake" / "usage").rglob("*.parquet")
    form = re.escape(shown.strip()).replace(r"2026\-08\-31", r"\d{4}-\d\d-\d\d").replace("1a2b3c4d", r"[0-9a-f]{8}")
    assert re.fullmatch(form, file.relative_to(tmp_path).as_posix())


def test_the_types_are_those_that_the_guide_lists() -> None:
    words = {
        "string": "string", "timestamp, microseconds, UTC": "timestamp[us, tz=UTC]", "double": "double",
        "int64": "int64",
        "decimal(38, 12), US dollars": "decimal128(38, 12)", "map of string to double": "map<string, double>",
        "list of strings, never null": "list<item: string>", "string, JSON": "string", "boolean": "bool",
    }  # fmt: skip
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|$", GUIDE.partition("## Columns")[2].partition("## ")[0], re.MULTILINE)
    listed = {"pid": "int32", "http_status": "int16", "attempts": "int16"}
    for names, kind in rows:
        for name in re.findall(r"`(\w+)`", names):
            if name in COLUMNS and name not in listed:
                listed[name] = words[kind.partition(";")[0]]
    for name in COLUMNS:
        expected = listed.get(name) or ("int64" if name.endswith("_tokens") else "string")
        assert str(SCHEMA.field(name).type).split(" (")[0] == expected
