"""Open files by their numbers, in a program that may close any number.

Daemons close whatever is open (https://peps.python.org/pep-3143/), and what the app opens next gets those numbers:
whoever goes on with one writes into a file of the app's, or closes it.
"""

import errno
import os
from pathlib import Path


def identity(file: int | str) -> tuple[int, int] | None:
    """Which file is open under that number, or is at that path; None where none is."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Descriptor:
    """An open file that is closed once, and by nobody else. A fork may find it in the middle of that, and closing a
    number again would close what the app has opened under it since."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._identity = identity(number)

    @property
    def number(self) -> int:
        """Raises OSError where it is closed, by whomever."""
        if not self.is_open():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._number

    def is_open(self) -> bool:
        return self._number >= 0 and identity(self._number) == self._identity

    def is_lost(self) -> bool:
        """Whether the app has closed it."""
        return self._number >= 0 and identity(self._number) != self._identity

    def is_at(self, path: Path) -> bool:
        """Whether that path is still the file's."""
        try:
            found = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def close(self) -> None:
        number, self._number = self._number, -1
        if number >= 0 and identity(number) == self._identity:
            os.close(number)


class Witness(Descriptor):
    """Tells whether the app has closed what a library has opened, under numbers that nobody knows, by a descriptor that
    was opened with it. No other file is the same."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        os.close(writing)
        super().__init__(reading)


def never_free(thing: object) -> None:
    """Not even at the interpreter's end: it would close numbers that are others' by now."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
