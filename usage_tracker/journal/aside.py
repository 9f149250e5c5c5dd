"""What is set aside in the spool folder for a look: unreadable bytes, and events that the store refuses."""

import os
from contextlib import suppress
from pathlib import Path

from usage_tracker.event import PricedEvent, flatten
from usage_tracker.journal.files import OPEN_SAFELY

KEPT_ASIDE_MAX = 64 << 20


def keep_aside(folder: Path, segment: str, corrupt: list[tuple[int, bytes]]) -> None:
    """Keep unreadable bytes, up to KEPT_ASIDE_MAX for the folder and as far as the disk takes them."""
    kept_in = folder / "corrupt"
    with suppress(OSError):
        kept_in.mkdir(mode=0o700, exist_ok=True)
        kept = sum(entry.stat().st_size for entry in os.scandir(kept_in))
        for position, content in corrupt:
            if kept + len(content) <= KEPT_ASIDE_MAX:
                (kept_in / f"{segment}-{position}.bin").write_bytes(content)
                kept += len(content)


def refuse(folder: Path, priced: PricedEvent, reason: str) -> None:
    """Write an event to the dead-letter file, as one JSON line with the reason. Raises OSError."""
    import json

    line = json.dumps({"reason": reason, **flatten(priced)}, default=str, ensure_ascii=False)
    descriptor = os.open(folder / "refused.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | OPEN_SAFELY, 0o600)
    with open(descriptor, "a", encoding="utf-8", errors="replace") as letters:
        letters.write(line + "\n")
