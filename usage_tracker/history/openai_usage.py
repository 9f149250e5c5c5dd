"""OpenAI's usage export, a CSV file: sums of calls, one line for each hour or day, model, project, key and so on, as
far as it was asked to be broken down. https://platform.openai.com/usage (Export)

A line becomes one event: how many calls it sums is in `usage`, as nobody knows which used how much.
"""

import csv
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from math import isfinite
from pathlib import Path

from usage_tracker.attribution import clean
from usage_tracker.errors import UsageTrackerError
from usage_tracker.event import UNTIMED, Origin, Usage, UsageEvent
from usage_tracker.history.importing import Found, microseconds, optional
from usage_tracker.instants import to_instant
from usage_tracker.pricing.bill import SUMMED

OPERATIONS = (
    ("num_images", "image"),
    ("images", "image"),
    ("characters", "speech"),
    ("num_characters", "speech"),
    ("seconds", "transcription"),
    ("num_seconds", "transcription"),
    ("output_tokens", "chat"),
    ("input_tokens", "embeddings"),
)
"""What a file is about, by the first of these columns that it has."""
UNITS = {
    "image": ("images", ("images", "num_images")),
    "speech": ("characters", ("characters", "num_characters")),
    "transcription": ("seconds", ("seconds", "num_seconds")),
}
COUNTS = frozenset((*SUMMED, *(name for name, _ in OPERATIONS)))
"""Without any of these columns it is another of its exports, such as that of costs."""
KEYS = ("start_time", "project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "size", "source")
"""What tells a line from the others of its file."""


class UsageExport:
    """See Source."""

    kind = "openai"

    def __init__(self, path: Path, app: str | None, until: datetime | None) -> None:
        self.place = str(path.resolve())
        self._path = path
        self._app = app
        self._until = optional(until)
        self.unfinished = 0
        """Lines that were left out, as their hour or day isn't over: its sums still grow, and a line comes once."""

    def count(self, since: int | None) -> int | None:
        return sum(1 for _ in self._rows()) if self._path.is_file() else None

    def read(self, since: int | None) -> Iterator[Found]:
        before: dict[bytes, tuple[int, bytes]] = {}
        for number, row in enumerate(self._rows(), 2):
            try:
                found, over = self.found(row), is_over(row)
            except (ValueError, OverflowError, OSError) as error:
                raise UsageTrackerError(f"line {number} of {self._path} can't be read: {error}") from None
            said = digest(row)
            earlier, same = before.setdefault(digest(found.name), (number, said))
            if same != said:
                raise UsageTrackerError(
                    f"line {number} of {self._path} is about the same as line {earlier} and says something else; "
                    "export it with what tells them apart, such as projects, users or keys"
                )
            started = found.event.started_at // 1000
            if (since is None or started >= since) and (self._until is None or started < self._until):
                if over:
                    yield found
                else:
                    self.unfinished += 1

    def _rows(self) -> Iterator[dict[str, str]]:
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restval="")
            try:
                if "start_time" not in (rows.fieldnames or ()):
                    raise UsageTrackerError(f"{self._path} is no usage export of OpenAI: it has no column start_time")
                if COUNTS.isdisjoint(rows.fieldnames or ()):
                    raise UsageTrackerError(
                        f"{self._path} is no usage export of OpenAI: it counts neither tokens nor requests; export the "
                        "usage, not the cost"
                    )
                yield from rows
            except (UnicodeDecodeError, csv.Error) as error:
                raise UsageTrackerError(f"{self._path} is no CSV file in UTF-8: {error}") from None

    def found(self, row: Mapping[str, str]) -> Found:
        """A line as an event."""
        operation = next((operation for name, operation in OPERATIONS if name in row), "chat")
        unit, names = UNITS.get(operation, ("", ()))
        counted = next((measure(row[name]) for name in names if row.get(name)), None)
        model = clean(row.get("model"))
        raw = {name: int(row[name]) for name in SUMMED if row.get(name)}
        tags = [f"batch:{row['batch'].lower()}"] if row.get("batch") else []
        event = UsageEvent(
            started_at=instant(row["start_time"]) * 1000,
            duration_ms=UNTIMED,
            operation=operation,
            request_model=model,
            model=model,
            service_tier="batch" if (row.get("batch") or "").lower() == "true" else clean(row.get("service_tier")),
            usage=Usage(
                input_tokens=count(row, "input_tokens"),
                output_tokens=count(row, "output_tokens"),
                cache_read_tokens=count(row, "input_cached_tokens"),
                input_audio_tokens=count(row, "input_audio_tokens") or None,
                output_audio_tokens=count(row, "output_audio_tokens") or None,
                units={unit: counted} if counted else None,
            ),
            raw=raw or None,
        )
        who = Origin(
            provider="openai",
            sdk="openai-usage-export",
            api_key=clean(row.get("api_key_id")),
            app=self._app,
            project=clean(row.get("project_name") or row.get("project_id")),
            user_id=clean(row.get("user_id")),
            tags=tuple(tags),
        )
        keys = {**row, "project_id": row.get("project_id") or row.get("project_name") or ""}
        return Found(" ".join([operation, *(keys.get(name) or "" for name in KEYS)]), who, event)


def digest(said: object) -> bytes:
    """What stands for it where many are kept."""
    return blake2b(repr(said).encode("utf-8", "replace"), digest_size=10).digest()


def instant(text: str) -> int:
    """Raises ValueError and, where it is beyond the calendar, OverflowError or OSError."""
    return microseconds(datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text))


def is_over(row: Mapping[str, str]) -> bool:
    """Whether a line's time has passed, as far as it says when it ends. Raises as `instant` does."""
    end = row.get("end_time")
    return not end or instant(end) <= to_instant(datetime.now(UTC))


def count(row: Mapping[str, str], name: str) -> int | None:
    """Raises ValueError."""
    found = int(row[name]) if row.get(name) else None
    if found is not None and found < 0:
        raise ValueError(f"{name} is below zero")
    return found


def measure(text: str) -> float:
    """Raises ValueError."""
    found = float(text)
    if not isfinite(found) or found < 0:
        raise ValueError(f"{text!r} is no count")
    return found
