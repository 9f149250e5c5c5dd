"""Where this host's processes watch the SDKs that they use, and where they can't.

Each process leaves a note of that in the spool folder, one file for all that are alike; whoever leads the folder tells
the store. The notes are written by threads of ours, never on the way of a call.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from usage_tracker.choke_points import ChokePoint
from usage_tracker.journal.disk import write_over
from usage_tracker.patching import State

NOTE_SECONDS = 60.0
ALIVE_SECONDS = 10 * 60.0
"""How long after its last note a process is thought to run."""
KEPT_SECONDS = 86_400.0
MOST_NOTES = 50
LARGEST = 1 << 16
PATTERN = "sdks-*.json"


class Sdk(msgspec.Struct, frozen=True):
    """One SDK as processes have it."""

    name: str
    version: str | None = None
    patched: int = 0
    """In how many places its calls are watched."""
    unpatched: tuple[str, ...] = ()
    """The places that this version has in another shape: calls there are not counted."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(list[Sdk]).decode


class CoverageNotes:
    """The notes of one process."""

    def __init__(
        self, folder: Path, group: int | None, states: Callable[[], Mapping[ChokePoint, State]] | None
    ) -> None:
        self._folder = folder
        self._group = group
        self._states = states
        self._next = 0.0

    def note(self) -> None:
        """Say how it is now, unless that was said a moment ago. Where the disk takes nothing, nothing is said."""
        now = time.monotonic()
        if self._states is None or now < self._next:
            return
        self._next = now + NOTE_SECONDS
        sdks = covered(self._states())
        if not sdks:
            return
        content = encode(sdks)
        path = self._folder / f"sdks-{hashlib.sha256(content).hexdigest()[:16]}.json"
        with suppress(OSError):
            try:
                os.utime(path, follow_symlinks=False)
            except FileNotFoundError:
                write_over(path, content, self._group)  # whole, as processes that are alike only touch what is there


def covered(states: Mapping[ChokePoint, State]) -> list[Sdk]:
    """The SDKs that this process has imported."""
    found: dict[str, list[tuple[ChokePoint, State]]] = {}
    for point, state in states.items():
        if state != "not imported":
            found.setdefault(point.sdk, []).append((point, state))
    return [
        Sdk(
            name,
            version_seen([name.replace("-", "."), *(point.module for point, _ in rows)]),
            sum(state == "patched" for _, state in rows),
            tuple(f"{point.module}.{point.attribute}" for point, state in rows if state == "shape unknown"),
        )
        for name, rows in sorted(found.items())
    ]


def version_seen(modules: list[str]) -> str | None:
    """What an imported SDK says of its own version: the package of its name first, as it may be watched in another
    one's. Asking its package's metadata would import more, in a thread."""
    for module in modules:
        name = module
        while name:
            version = getattr(sys.modules.get(name), "__version__", None)
            if isinstance(version, str):
                return version[:50]
            name = name.rpartition(".")[0]
    return None


def read_notes(folder: Path) -> list[Sdk]:
    """What processes of the folder have said lately, each once. Notes of long ago are deleted."""
    now, found = time.time(), dict[Sdk, None]()
    with suppress(OSError):
        for path in sorted(folder.glob(PATTERN))[:MOST_NOTES]:
            with suppress(OSError, msgspec.MsgspecError):
                seen = os.stat(path, follow_symlinks=False)
                if now - seen.st_mtime > KEPT_SECONDS:
                    path.unlink(missing_ok=True)
                elif now - seen.st_mtime <= ALIVE_SECONDS and seen.st_size <= LARGEST:
                    found |= dict.fromkeys(decode(path.read_bytes()))
    return list(found)
