"""`accounting_entries`, the table of llm-accounting: https://pypi.org/project/llm-accounting/ (version 0.1.34)."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from usage_tracker.attribution import clean
from usage_tracker.capture.tracked_proxy import place_of
from usage_tracker.dsn import Dsn
from usage_tracker.errors import QueryError, UsageTrackerError
from usage_tracker.event import Origin, Usage, UsageEvent
from usage_tracker.history.importing import Found, microseconds
from usage_tracker.instants import to_moment
from usage_tracker.providers.hosts import provider_of
from usage_tracker.providers.usage_fields import dollars, tokens
from usage_tracker.stores.store import read_sql

COLUMNS = (
    "id", "timestamp", "model", "prompt_tokens", "completion_tokens", "cost", "execution_time", "project",
    "caller_name", "username", "session", "cached_tokens", "reasoning_tokens",
)  # fmt: skip
"""Older versions lack the last three."""


class AccountingEntries:
    """See Source. Its `caller_name` is our app, unless one is named."""

    kind = "llm-accounting"

    def __init__(self, dsn: Dsn, app: str | None, until: datetime | None) -> None:
        self.place = dsn.shown
        self._database = (place_of(dsn) if dsn.scheme == "postgresql" else None) or self.place
        """Whose ids they are, whoever connects to it, and with which options."""
        self._dsn = dsn
        self._app = app
        self._until = until

    def count(self, since: int | None) -> int:
        _, row = self._select(f"SELECT count(*) FROM accounting_entries{self._where(since)}")  # noqa: S608
        return int(str(row[0]))

    def read(self, since: int | None) -> Iterator[Found]:
        with closing(self._select("SELECT * FROM accounting_entries WHERE 1 = 0")) as rows:
            columns = next(rows)
        chosen = [name if name in columns else f"NULL AS {name}" for name in COLUMNS]
        text = f"SELECT {', '.join(chosen)} FROM accounting_entries{self._where(since)} ORDER BY timestamp, id"  # noqa: S608
        with closing(self._select(text)) as rows:
            next(rows)
            for row in rows:
                try:
                    found = self.found(dict(zip(COLUMNS, row, strict=True)))
                except (AttributeError, OverflowError, TypeError, ValueError) as error:
                    raise UsageTrackerError(f"the entry {row[0]} of {self.place} can't be read: {error}") from None
                yield found

    def _select(self, text: str) -> Any:
        """The columns' names, then the rows. Raises UsageTrackerError where there is no such table or file."""
        reader = read_file(self._dsn.text, text) if self._dsn.scheme == "sqlite" else read_sql(self._dsn, text)
        try:
            with closing(reader) as rows:
                yield from rows
        except QueryError as error:
            raise UsageTrackerError(f"{self.place} has no such table of llm-accounting: {error}") from None
        except sqlite3.Error as error:
            raise UsageTrackerError(f"{self.place} can't be read: {error}") from None

    def _where(self, since: int | None) -> str:
        """Its times are UTC, without saying so."""
        tests = [f"timestamp >= '{moment(to_moment(since))}'"] if since is not None else []
        if self._until is not None:
            tests.append(f"timestamp < '{moment(self._until)}'")
        return f" WHERE {' AND '.join(tests)}" if tests else ""

    def found(self, row: dict[str, Any]) -> Found:
        """A row as an event. Its `timestamp` is when the call had ended."""
        stated = row["timestamp"]
        ended = datetime.fromisoformat(stated) if isinstance(stated, str) else stated
        seconds = max(0.0, float(row["execution_time"] or 0))
        started = microseconds(ended - timedelta(seconds=seconds))
        model = clean(row["model"])
        event = UsageEvent(
            started_at=started * 1000,
            duration_ms=seconds * 1000,
            operation="chat",
            request_model=model,
            model=model,
            usage=Usage(
                input_tokens=tokens(row["prompt_tokens"]),
                output_tokens=tokens(row["completion_tokens"]),
                cache_read_tokens=tokens(row["cached_tokens"]) or None,
                reasoning_tokens=tokens(row["reasoning_tokens"]) or None,
            ),
            reported_cost=dollars(row["cost"], Decimal(1)) if row["cost"] else None,
        )
        who = Origin(
            provider=provider_of(None, model),
            sdk=self.kind,
            app=self._app or clean(row["caller_name"]),
            project=clean(row["project"]),
            user_id=clean(row["username"]),
            session_id=clean(row["session"]),
        )
        return Found(f"{self._database} {row['id']}", who, event)


def read_file(path: str, sql: str) -> Generator[tuple[object, ...], None, None]:
    """As `read_sql`, of a file that isn't ours: it is neither made where there is none, nor given a write-ahead log."""
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
        cursor = connection.execute(sql)
        yield tuple(column[0] for column in cursor.description)
        yield from cursor


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
