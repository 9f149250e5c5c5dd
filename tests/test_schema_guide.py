"""What docs/schema.md says is in a store is what the migrations make, column by column, in Postgres and SQLite."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from commanding import invoke
from migrated import migrated

from usage_tracker.event import COLUMNS

GUIDE = (Path(__file__).parent.parent / "docs" / "schema.md").read_text(encoding="utf-8")
SQL = {
    "postgres": """SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'usage_tracker'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
            AND a.attnum > 0 AND NOT a.attisdropped""",
    "sqlite": """SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
        WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite_%'""",
}


def described() -> dict[frozenset[str], list[str]]:
    """The columns that the guide has for each heading with relations."""
    found = {}
    for part in re.split(r"^### ", GUIDE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        rows = re.findall(r"^\| (`.*?) \|", text.partition("\n## ")[0], re.MULTILINE)
        found[frozenset(re.findall(r"`(\w+)`", heading))] = [
            name for row in rows for name in re.findall(r"`(\w+)`", row)
        ]
    return found


def made(dsn: str, kind: str) -> Mapping[str, set[str]]:
    """The columns of each relation of a migrated store."""
    with migrated(dsn) as store:
        found: dict[str, set[str]] = {}
        for relation, column in store.select(SQL[kind]):
            found.setdefault(str(relation), set()).add(str(column))
    return found


def test_each_column_is_described_and_nothing_else(postgres_dsn: str, tmp_path: Path) -> None:
    stores = [made(postgres_dsn, "postgres"), made(f"sqlite:///{tmp_path}/usage.db", "sqlite")]
    guide = described()
    assert {name for names in guide for name in names} == {name for store in stores for name in store}
    for names, columns in guide.items():
        there = {column for store in stores for name in names for column in store.get(name, ())}
        assert there == set(columns), names
        assert len(columns) == len(set(columns)), f"twice: {names}"


def test_the_view_of_events_is_described_in_its_order() -> None:
    assert described()[frozenset({"events"})] == list(COLUMNS)


def test_each_figure_has_its_unit() -> None:
    tokens = [line.split(" | ")[-1] for line in GUIDE.splitlines() if re.match(r"\| `\w+_tokens`", line)]
    assert set(tokens) == {"tokens |"}
    times = [line.split(" | ")[-1] for line in GUIDE.splitlines() if re.match(r"\| `\w+_ms` ", line)]
    assert set(times) == {"milliseconds |"}
    costs = [
        line.split(" | ")[-1] for line in GUIDE.splitlines() if re.match(r"\| `(reported_|original_)?cost` ", line)
    ]
    assert set(costs) == {"US dollars |"}


def test_the_commands_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")
    assert invoke("migrate").exit_code == 0
    commands = re.findall(r'^usage-tracker query "(.*)"(?: -o (\w+))?$', GUIDE, re.MULTILINE)
    assert len(commands) == 2
    for sql, form in commands:
        result = invoke("query", sql, "-o", form or "table")
        assert result.exit_code == 0, result.output
