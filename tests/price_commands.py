"""What tests do with `usage-tracker prices`, and with calls that a program of theirs has priced."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from click.testing import Result
from commanding import invoke
from made_events import NOON

from usage_tracker.config import load_settings
from usage_tracker.event import Origin, Usage, UsageEvent
from usage_tracker.journal import Journal
from usage_tracker.pipeline import make_shipper, open_spool


def prices(*words: str, **options: Any) -> Result:
    return invoke("prices", *words, **options)


def document(*words: str) -> Any:
    result = prices(*words, "-o", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["schema_version"] == 1
    return found


def ship(events: int, path: Path | None = None, at: datetime = NOON) -> None:
    """Calls of a model that only the book knows, priced and stored as by a program that runs."""
    settings = load_settings(prices=path)
    assert settings.dsn is not None
    journal = Journal(open_spool(settings))
    for _ in range(events):
        usage = Usage(input_tokens=1000, output_tokens=100)
        started = int(at.timestamp()) * 1_000_000_000
        event = UsageEvent(started_at=started, duration_ms=1, operation="chat", model="acme-1", usage=usage)
        journal.append(Origin(provider="acme", sdk="openai"), event)
    journal.close()
    shipper = make_shipper(settings, settings.dsn)
    while shipper.step():
        continue
    shipper.close()


def stored_costs() -> list[tuple[str | None, str | None, str | None]]:
    lines = invoke("events", "-n", "0", "-o", "jsonl").stdout.splitlines()
    events = [json.loads(line) for line in reversed(lines)]
    return [(event["cost"], event["price_source"], event["price_version"]) for event in events]
