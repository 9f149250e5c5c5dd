"""Data to stdout, everything else to stderr."""

import codecs
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import IO

import click

from usage_tracker.cli.figures import escape, printable
from usage_tracker.cli.hints import repeating

LOOK_ALIKES = dict(zip("─—·…→Δ×≠█▉▊▋▌▍▎▏▇▆▅▄▃▂▁", "---~>dx!####||||#*+=-._", strict=True))
"""Our own signs, and what stands for them where the terminal's encoding lacks them."""


def look_alike(error: UnicodeError) -> tuple[str, int]:
    """Another text for what can't be encoded, as long where it is a sign of ours."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(LOOK_ALIKES.get(char) or escape(char) for char in lacking), error.end


LOOK_ALIKE = "usage_tracker.look_alike"
codecs.register_error(LOOK_ALIKE, look_alike)


def emit(pieces: Iterable[str], lacking: str = LOOK_ALIKE) -> None:
    """Write data to stdout as it comes. A reader that has seen enough (`| head`) ends the command quietly. `lacking`:
    what becomes of characters that its encoding lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=lacking)
    try:
        for chunk in gathered(pieces):
            click.echo(chunk, nl=False, color=True)
    except BrokenPipeError:
        raise click.exceptions.Exit(0) from None


def emit_data(pieces: Iterable[str]) -> None:
    """As `emit`, of text for programs, whose values are as they are. Where nobody but a person at a terminal reads it,
    what could act on that is written out."""
    emit(map(harmless, pieces) if sys.stdout.isatty() else pieces, lacking="backslashreplace")


def harmless(text: str) -> str:
    return "".join(char if char in "\n\t" else printable(char) for char in text)


CHUNK = 1 << 15


def gathered(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in fewer pieces: each that is written costs a system call."""
    waiting, size = list[str](), 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield "".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield "".join(waiting)


def emit_page(pieces: Iterable[str]) -> None:
    """As `emit`, all at once; what is longer than the terminal goes through the user's pager."""
    text, screen = "".join(pieces), shutil.get_terminal_size()
    if is_terminal(sys.stdout) and can_ask() and text.count("\n") >= screen.lines:
        click.echo_via_pager(text)  # by click's own choice of colours: it knows which pagers show them, and how
    else:
        emit([text])


class InPlaceOfAFile(io.StringIO):
    """What stdout is while text is made that goes into a file."""


@contextmanager
def as_for_a_file() -> Iterator[None]:
    """Text that is made in the block has neither the colours nor the width of the terminal that the command runs in."""
    with redirect_stdout(InPlaceOfAFile()):
        yield


def may_have_colours() -> bool:
    """Whether stdout is a terminal, or is said to be one, which no file is."""
    said = any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))
    return sys.stdout.isatty() or (said and not isinstance(sys.stdout, InPlaceOfAFile))


def write_file(path: Path, text: str) -> None:
    """Write a whole file or, where that fails, none. Raises click.FileError."""
    write_pieces(path, [text])


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """As `write_file`, piece by piece as they come. What is there already stays until all is written, and so does who
    may read it; a link leads to what is written. What is no file, such as a pipe or /dev/null, is written to and not
    replaced."""
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="") as stream:
                stream.writelines(pieces)
        else:
            replace_file(Path(os.path.realpath(path)), pieces)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from None


def replace_file(path: Path, pieces: Iterable[str]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            if path.exists():
                shutil.copymode(path, part)
            file.writelines(pieces)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


UNLIMITED = 10_000
"""The width of what is not a terminal, unless COLUMNS names one: nothing is folded, cut or left out."""


def room_on_stdout(elsewhere: int = UNLIMITED) -> int:
    """How many characters a line may have: what COLUMNS says or, without it, what the terminal has; `elsewhere` where
    there is neither."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said[:DIGITS]):
        return int(said[:DIGITS])
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else elsewhere


DIGITS = 4
"""What is read of COLUMNS: a line of ten thousand characters is one without end."""


def say(text: str) -> None:
    """A remark to stderr, broken between words where that is a terminal. Where nobody reads it, the command goes on."""
    text = repeating(text)
    if sys.stderr.isatty():
        text = broken(text, shutil.get_terminal_size().columns)
    with suppress(BrokenPipeError):
        click.echo(text, err=True)


def broken(text: str, width: int) -> str:
    """The text in lines of that width, broken between words."""
    wrap = textwrap.TextWrapper(max(MINIMAL_WIDTH, width), break_long_words=False, break_on_hyphens=False).fill
    return "\n".join(map(wrap, text.split("\n")))


MINIMAL_WIDTH = 20


def is_terminal(stream: IO[str]) -> bool:
    """Whether it is a screen on which something can be drawn anew."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal and the total is known; what it is given is called with how many more are
    done."""
    if total is None or not is_terminal(sys.stderr):
        yield lambda _: None
        return
    with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
        yield bar.update
