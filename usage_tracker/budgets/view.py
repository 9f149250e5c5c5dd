"""What a process knows of the budgets: all of them and what was used of each, as one process of the host has read it
from the store, and left in a file of the spool folder for its neighbours."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from usage_tracker.budgets import VIEW_FILE
from usage_tracker.budgets.budget import Budget
from usage_tracker.journal.disk import write_new, write_over

LARGEST = 64 << 20
"""A file that is larger is not ours."""


class Usual(msgspec.Struct, frozen=True, array_like=True):
    """What nineteen of twenty calls of a model stay below, in the scope of a budget."""

    input_tokens: int
    output_tokens: int


class PriceBook(msgspec.Struct, frozen=True, array_like=True):
    """The store's own price book."""

    version: int
    entries: list[str]
    """Each as JSON."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    read_at: float
    """When reading began, in seconds since 1970: all that was stored before is in it."""
    budgets: list[Budget] = []
    used: dict[str, dict[str, int]] = {}
    """Of each budget, by part: what events of its window have used, as whole amounts."""
    since: dict[str, int] = {}
    """When that window starts, in seconds since 1970; 0 where it rolls."""
    stored: dict[str, int] = {}
    """How far this folder's segments were stored before it was read: those events are in `used`."""
    usual: dict[str, dict[str, Usual]] = {}
    """Of each strict budget, by model."""
    book: PriceBook | None = None

    @property
    def enforces(self) -> bool:
        """Whether a call may have to wait for any of them, or be refused."""
        return any(budget.enforces for budget in self.budgets)


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(View).decode

Stamp = tuple[int, int]


class ViewFile:
    """The file. Its owner's only, or the group's that shares the folder; a process that can't write it keeps its view
    to itself."""

    def __init__(self, folder: Path, group: int | None = None) -> None:
        self._path = folder / VIEW_FILE
        self._group = group
        self._stamp: Stamp | None = None

    def save(self, view: View) -> None:
        """Put the view in the place of the one before. Nothing is written where there are no budgets and never were,
        and nobody has asked."""
        if not view.budgets and not self._path.exists():
            return
        with suppress(OSError):
            write_over(self._path, encode(view), self._group)
            self._stamp = self._look()

    def ask_for(self) -> None:
        """Leave an empty file where there is none, so that who leads writes down as well that there are no budgets."""
        with suppress(OSError):
            write_new(self._path, b"", self._group)

    def changed(self) -> View | None:
        """The view that somebody has saved since the last time; None where there is no newer one, or none at all."""
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return None
        self._stamp = stamp
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return decode(self._path.read_bytes())
        return None

    def forget(self) -> None:
        """In a forked child, look anew."""
        self._stamp = None

    def _look(self) -> Stamp | None:
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return None
        ours = found.st_uid == os.geteuid() or (found.st_gid == self._group and not found.st_mode & stat.S_IWOTH)
        return (found.st_ino, found.st_mtime_ns) if ours and found.st_size <= LARGEST else None
