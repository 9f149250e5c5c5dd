"""What is set aside in the spool folder for a look: unreadable bytes, events that the store refuses, and how many were
dropped."""

import os
from contextlib import suppress
from pathlib import Path

from usage_tracker.event import PricedEvent, flatten
from usage_tracker.journal.disk import OPEN_SAFELY, share, write_new
from usage_tracker.journal.spool import Spool

REFUSED = "refused.jsonl"
CORRUPT = "corrupt"
DROPS = "dropped"
KEPT_ASIDE_MAX = 64 << 20
DROPS_MAX = 1 << 16


def keep_aside(spool: Spool, segment: str, corrupt: list[tuple[int, bytes]]) -> None:
    """Keep unreadable bytes, up to KEPT_ASIDE_MAX for the folder and as far as the disk takes them."""
    kept_in = spool.folder / CORRUPT
    with suppress(OSError):
        if not os.path.lexists(kept_in):
            kept_in.mkdir(mode=0o700)
            if spool.group is not None:
                kept_in.chmod(0o2770)
        if kept_in.is_symlink():
            return
        kept = sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(kept_in))
        for position, content in corrupt:
            if kept + len(content) <= KEPT_ASIDE_MAX:
                with suppress(FileExistsError):  # kept by a leader that died before it could go on
                    write_new(kept_in / f"{segment}-{position}.bin", content, spool.group)
                kept += len(content)


def refuse(spool: Spool, priced: PricedEvent, reason: str) -> None:
    """Write an event to the dead-letter file, as one JSON line with the reason. Raises OSError."""
    import json

    line = json.dumps({"reason": reason, **flatten(priced)}, default=str, ensure_ascii=False)
    path = spool.folder / REFUSED
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | OPEN_SAFELY, 0o600)
    with open(descriptor, "a", encoding="utf-8", errors="replace") as letters:
        share(descriptor, spool.group)
        letters.write(line + "\n")


def note_dropped(spool: Spool, count: int) -> None:
    """Note that many more dropped events, as far as the disk takes it."""
    with suppress(OSError):
        descriptor = os.open(spool.folder / DROPS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | OPEN_SAFELY, 0o600)
        try:
            share(descriptor, spool.group)
            if os.fstat(descriptor).st_size < DROPS_MAX:
                os.write(descriptor, f"{count}\n".encode())
        finally:
            os.close(descriptor)


def noted_dropped(folder: Path) -> int:
    """How many events of this folder are known to have been dropped: at least those."""
    try:
        lines = (folder / DROPS).read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    return sum(int(line) for line in lines if line.isdecimal())


def noted_since(folder: Path, moment: float) -> int:
    """As `noted_dropped`, where any of them was noted since then (in seconds since 1970); else 0."""
    with suppress(OSError):
        if (folder / DROPS).stat().st_mtime >= moment:
            return noted_dropped(folder)
    return 0
