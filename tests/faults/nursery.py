"""App processes at the price of a fork: one process imports what takes long and forks each app from there.

A child is an app like any other: it imports usage_tracker itself, runs a script as its main program and ends as an
interpreter ends. Run as a program, this module is that process: it reads a line of JSON for each child to start, and
writes one for each that started or ended.
"""

import ctypes
import faulthandler
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from faults.program import seconds_starved

ROOT = Path(__file__).parent.parent.parent
"""The project: where the package and the tests are imported from."""
PATIENCE = 60.0
"""The longest that any step may take before the bench gives up: machines are busy."""
STACKS = signal.SIGUSR2
"""On it, an app prints what its threads are at."""


class Process:
    """A process that was started, and how it ended."""

    def __init__(self, pid: int, output: Path | None = None) -> None:
        self.pid = pid
        self._output = output
        self.status: int | None = None
        """As of `subprocess`: minus the signal that killed it."""
        self.ended_at = 0.0
        """By the monotonic clock."""
        self.starved = 0.0
        """Seconds of its life, as of `seconds_starved`."""
        self._group = True
        """Whether something that it has forked may still run. If not, its number may be another's by now."""
        self._ended = threading.Event()

    def end(self, status: int, at: float, starved: float, *, alone: bool) -> None:
        self.status, self.ended_at, self.starved, self._group = status, at, starved, not alone
        self._ended.set()

    def wait_for(self, program: "subprocess.Popen[bytes]") -> None:
        """In a thread: notice its end."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        at, starved = time.monotonic(), seconds_starved(self.pid)
        status = program.wait()
        self.end(status, at, starved, alone=not is_group(self.pid))

    def runs(self) -> bool:
        return not self._ended.is_set()

    def send(self, number: signal.Signals) -> None:
        if self.runs():
            os.kill(self.pid, number)

    def send_all(self, number: signal.Signals) -> None:
        """To what it has forked as well."""
        if self.has_descendants():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def all_pids(self) -> list[int]:
        """Its own and those of what it has forked."""
        found = []
        for entry in Path("/proc").glob("[0-9]*") if self.has_descendants() else ():
            with suppress(ProcessLookupError, ValueError):
                if os.getpgid(int(entry.name)) == self.pid:
                    found.append(int(entry.name))
        return found

    def has_descendants(self) -> bool:
        """Whether it or something that it has forked still runs."""
        if not self.runs():
            self._group = self._group and is_group(self.pid)
        return self._group

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its status. Fails where it goes on for longer than that."""
        ended = self._ended.wait(seconds)
        assert ended, f"process {self.pid} still runs after {seconds} s\n{self._where()}"
        assert self.status is not None
        return self.status

    def _where(self) -> str:
        """The stacks of its threads and of those of what it has forked, where it tells them."""
        if self._output is None:
            return ""
        self.send_all(STACKS)
        time.sleep(1)
        return self._output.read_text()[-20_000:]


def is_group(number: int) -> bool:
    """Whether there is a process group of that number."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


class Nursery:
    """What forks the apps."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "HOME": "/nonexistent"}
        self._program = subprocess.Popen(
            [sys.executable, "-m", "faults.nursery"], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._started: dict[str, Process] = {}
        self._known: dict[int, Process] = {}
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def start(self, script: Path, environ: Mapping[str, str], output: Path) -> Process:
        """Run that Python file as a main program with exactly that environment. What it prints goes to that file."""
        request = {"script": str(script), "environ": {**environ}, "output": str(output)}
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps(request).encode() + b"\n")
        self._program.stdin.flush()
        with self._news:
            assert self._news.wait_for(lambda: str(output) in self._started, 30), "the nursery does not answer"
            return self._started.pop(str(output))

    def close(self) -> None:
        assert self._program.stdin is not None
        self._program.stdin.close()
        self._program.wait(30)
        self._reading.join()
        assert self._program.stdout is not None
        self._program.stdout.close()

    def _read(self) -> None:
        assert self._program.stdout is not None
        for line in self._program.stdout:
            news = json.loads(line)
            with self._news:
                if "output" in news:
                    app = Process(news["pid"], Path(news["output"]))
                    self._started[news["output"]] = self._known[news["pid"]] = app
                    self._news.notify_all()
                elif ended := self._known.pop(news["pid"], None):  # else it was an orphan
                    ended.end(news["status"], news["at"], news["starved"], alone=news["alone"])


def main() -> None:
    import_what_takes_long()
    adopt_orphans()
    requests = sys.stdin.buffer
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        select.select([requests, woken], [], [])
        if select.select([woken], [], [], 0)[0]:
            os.read(woken, 1000)
        tell_ended()
        if select.select([requests], [], [], 0)[0]:
            line = read_line(requests)
            if not line:
                return
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(woken)
                os.close(wake)
                grow_up(request)
                return
            tell({"output": request["output"], "pid": pid})


def adopt_orphans() -> None:
    """Processes whose parent was killed become our children, so that they are gone once they have ended."""
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def import_what_takes_long() -> None:
    """Nothing of usage_tracker: the app imports that."""
    for name in ("genai_prices.data_snapshot", "msgspec", "psycopg2.extras", "sqlite3", "uuid", "wrapt"):
        import_module(name)
    import openai

    assert openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9/v1").chat.completions is not None
    gc.collect()
    gc.freeze()


def read_line(requests: IO[bytes]) -> bytes:
    """Byte by byte: what is buffered ahead, select() would not see."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(requests.fileno(), 1)):
        line += byte
    return line


def tell(news: dict[str, Any]) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def tell_ended() -> None:
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        at, starved = time.monotonic(), seconds_starved(ended.si_pid)
        _, status = os.waitpid(ended.si_pid, 0)
        alone = not is_group(ended.si_pid)
        status = os.waitstatus_to_exitcode(status)
        tell({"pid": ended.si_pid, "status": status, "at": at, "starved": starved, "alone": alone})


def grow_up(request: dict[str, Any]) -> None:
    """Become the app, with a process group of its own for all that it forks."""
    os.setpgrp()
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    faulthandler.register(STACKS)
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv = [request["script"]]
    runpy.run_path(request["script"], run_name="__main__")


if __name__ == "__main__":
    main()
