"""What docs/privacy.md says is never stored isn't, and what it says is stored is all there is."""

import re
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import psycopg2
import pytest
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated

import usage_tracker
from usage_tracker.budgets.alerts import Alerts, budget_alerts
from usage_tracker.budgets.book import set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.windows import window_at
from usage_tracker.demo.standin import StandIn
from usage_tracker.event import COLUMNS
from usage_tracker.stores import Store

GUIDE = (Path(__file__).parent.parent / "docs" / "privacy.md").read_text(encoding="utf-8")
PROMPT = "What is Zerlina's diagnosis?"
KEY = "sk-proj-zerlina0123456789abcd"


def test_its_table_has_every_column_of_a_call() -> None:
    rows = re.findall(r"^\| [\w ]+ \| (.*?) \| .*\|$", GUIDE, re.MULTILINE)
    said = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    about_the_row = {"event_id", "started_at", "duration_ms", "ttft_ms", "streamed", "sdk", "awaits", "completes"}
    figures = {name for name in COLUMNS if name.endswith("_tokens") or "cost" in name or name.startswith("price_")}
    assert said | about_the_row | figures | {"estimated"} == set(COLUMNS)


def test_no_word_of_a_conversation_is_in_any_file(provider: StandIn, tmp_path: Path) -> None:
    usage_tracker.install(f"sqlite:///{tmp_path}/usage.db", spool_dir=tmp_path / "spool")
    tool: Any = {"type": "function", "function": {"name": "zerlina_lookup", "parameters": {"type": "object"}}}
    with openai.OpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0) as client:
        asked: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}
        answer = client.chat.completions.create(**asked, tools=[tool])
        answered = [answer.choices[0].message.content]
        answered += [chunk.choices[0].delta.content for chunk in client.chat.completions.create(**asked, stream=True)]
        provider.fail_next(500, message=f"I can't say anything about {PROMPT}")
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**asked)
    assert usage_tracker.flush(30)
    usage_tracker.record(provider="acme", model="acme-7b", input_tokens=1)  # is in the journal
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    usage_tracker.uninstall()
    assert b"gpt-4o-mini" in written
    words = [PROMPT, "Zerlina", "zerlina", KEY, *(text for text in answered if text and len(text) > 12)]
    assert [word for word in words if word.encode() in written] == []


@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_somebodys_calls_become_nobodys(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_dsn"))
    with migrated(dsn) as store:
        begun = made_event(user_id="u-123", session_id="s-1", operation="batch", awaits="batch_1")
        store_events(store, [begun, made_event(user_id="u-4", session_id="s-2")])
        budget = Budget(name="each", limit=Decimal(1), each="user", strict=True)
        set_budget(store, budget)
        window = window_at("month", UTC, NOON)
        Alerts([], lambda: store).notice(store, budget_alerts(budget, window, {"u-123": Decimal(2)}))
        account = f"INSERT INTO {store.dialect.prefix}budget_account (budget, part, window_start, used, read_at) "
        store.change(lambda execute: execute(f"{account} VALUES ('each', 'u-123', 0, 1, 0)", ()))
        assert {"u-123", "s-1"} <= words_of(store)
        [sql] = re.findall(r"^```sql\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
        if kind == "postgres":
            connection = psycopg2.connect(dsn)
            connection.cursor().execute(sql)
            connection.commit()
            connection.close()
        else:
            statements = sql.replace("usage_tracker.", "").split(";")
            store.change(lambda execute: [execute(statement, ()) for statement in statements if statement.strip()])
        found = store.select(f"SELECT user_id, session_id FROM {store.dialect.prefix}events ORDER BY user_id IS NULL")
        assert list(found) == [("u-4", "s-2"), (None, None)]
        assert not {"u-123", "s-1"} & words_of(store)


def words_of(store: Store) -> set[str]:
    """All that is in any table."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if store.dialect.name == "postgres":
        tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'usage_tracker'"
    names = [str(name) for (name,) in store.select(tables)]
    found = [row for name in names for row in store.select(f"SELECT * FROM {store.dialect.prefix}{name}")]
    return set(re.findall(r"[\w-]+", str(found)))


def test_the_commands_it_names_are_there() -> None:
    commands = re.findall(r"`usage-tracker ([^`]*)`", GUIDE)
    assert commands
    for words in commands:
        name = words.split(" -")[0].split()
        result = invoke(*name, "--help")
        assert result.exit_code == 0, words
        assert all(option in result.output for option in re.findall(r"--[\w-]+", words))
