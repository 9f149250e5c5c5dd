"""Processes that ship for their leader: it starts them, tells them when to look and when to end, and adds up what they
have shipped. One that dies is replaced.

The leader has two pipes to each: its standard input, whose end tells it to end, also where the leader is killed, and
its standard output, where it says how it fares.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from usage_tracker.cli.output import say
from usage_tracker.config import Settings

AGAIN_SECONDS = 5.0
"""How long after it was started another may take a process's place: where none can start, not one after the other."""


class Word(msgspec.Struct):
    """What a process of a crew says of itself, a line of JSON."""

    stored: int = 0
    """Events that it has shipped so far."""
    waits: str | None = None
    """Why it can't ship now."""


encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Word).decode


class Member:
    """A process of the crew, as its leader has it."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self.word = Word()
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  ours
        assert self._process.stdin is not None
        self._orders = self._process.stdin
        os.set_blocking(self._orders.fileno(), False)
        self._listener = threading.Thread(target=self._listen, name="usage_tracker crew", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as words:
            for line in words:
                with suppress(msgspec.DecodeError):  # killed in the middle of it
                    self.word = decode(line)

    @property
    def pid(self) -> int:
        return self._process.pid

    def runs(self) -> bool:
        return self._process.poll() is None

    def ring(self) -> None:
        """Let it look for events now."""
        with suppress(OSError):  # it has died, or has heard enough
            os.write(self._orders.fileno(), b"!")

    def tell_to_end(self) -> None:
        self._orders.close()

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        """Until it has ended and all is heard; its exit code."""
        code = self._process.wait()
        self._listener.join()
        self._orders.close()
        return code


class Crew:
    """So many processes. Not thread-safe, but for `stored` and `kill`."""

    def __init__(self, settings: Settings, processes: int, *, once: bool = False) -> None:
        assert settings.dsn is not None
        self._processes = processes
        # -m would look for modules where the leader was started, as that does only if it was started so itself
        here = [] if getattr(sys.modules["__main__"], "__spec__", None) else ["-P"]
        member = ["-m", "usage_tracker.cli.crew_member", str(processes), *(["once"] * once)]
        self._command = [sys.executable, *here, *member]
        self._environ = {
            **os.environ, "TRACKER_DSN": settings.dsn.text, "TRACKER_SPOOL_DIR": str(settings.spool_dir),
        }  # fmt: skip
        self.members: list[Member] = []
        self._gone = 0
        """Events that those have shipped who are no more."""

    @property
    def stored(self) -> int:
        """Events that all of them have shipped; of one that was killed, perhaps without its last batch."""
        return self._gone + sum(member.word.stored for member in self.members)

    @property
    def waits(self) -> str | None:
        """Why one of them can't ship now."""
        return next((member.word.waits for member in self.members if member.word.waits), None)

    def keep(self) -> None:
        """Start those that are missing."""
        for place, member in enumerate(self.members):
            if not member.runs() and time.monotonic() >= member.started_at + AGAIN_SECONDS:
                code = member.wait()
                say(f"A process that ships has ended ({ending(code)}); another goes on.")
                self._gone += member.word.stored
                self.members[place] = self._start()
        while len(self.members) < self._processes:
            self.members.append(self._start())

    def _start(self) -> Member:
        # a process begins with the signals blocked that are where it is started: these are the leader's, which tells
        # it to end, and a terminal or service manager sends them to all
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            return Member(self._command, self._environ)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def ring(self) -> None:
        for member in self.members:
            member.ring()

    def wait(self) -> None:
        """Until all have ended."""
        for member in self.members:
            member.wait()

    def end(self) -> None:
        """Let all ship what is there, and end."""
        for member in self.members:
            member.tell_to_end()
        self.wait()
        self._gone, self.members = self.stored, []

    def kill(self) -> None:
        for member in list(self.members):
            member.kill()


def ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
