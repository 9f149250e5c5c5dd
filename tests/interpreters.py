"""Programs that begin with the same imports, at the price of a fork: one interpreter has run them, and forks for each.

Run as a program, with that beginning as its argument, this module is such an interpreter: it reads a line of JSON for
each program to run, and writes its exit status once it has ended.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self


class Ran(NamedTuple):
    """What became of a program."""

    said: str
    status: int


class Interpreters:
    """Each has run something already, and waits for how it goes on."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, ...], subprocess.Popen[str]] = {}
        self._folder = TemporaryDirectory(prefix="interpreters-")
        self.folder = Path(self._folder.name)
        """Of all of them, for what a beginning makes and what goes on with it looks for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for interpreter in self._waiting.values():
            interpreter.communicate(timeout=30)
        self._folder.cleanup()

    def run(self, beginning: str, rest: str, options: Sequence[str], environ: Mapping[str, str], output: Path) -> Ran:
        """Run both as one main program. The beginning has the environment of the first program that begins so."""
        key = (beginning, *options)
        if key not in self._waiting:
            self._waiting[key] = subprocess.Popen(
                [sys.executable, *options, __file__, beginning],
                env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        interpreter = self._waiting[key]
        assert interpreter.stdin is not None
        assert interpreter.stdout is not None
        interpreter.stdin.write(json.dumps({"rest": rest, "environ": dict(environ), "output": str(output)}) + "\n")
        interpreter.stdin.flush()
        status = interpreter.stdout.readline()
        return Ran(output.read_text(), int(status))


def main() -> None:
    beginning, names = sys.argv.pop(), {"__name__": "__main__"}
    exec(beginning, names)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            grow_up(request)
            exec(request["rest"], names)
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def grow_up(request: dict[str, Any]) -> None:
    """Become that program, up to where it begins."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for number in {nothing, output} - {0, 1, 2}:
        os.close(number)
    os.environ.clear()
    os.environ.update(request["environ"])


if __name__ == "__main__":
    main()
