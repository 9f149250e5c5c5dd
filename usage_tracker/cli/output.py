"""Data to stdout, everything else to stderr."""

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click


def emit(pieces: Iterable[str]) -> None:
    """Write data to stdout as it comes. A reader that has seen enough (`| head`) ends the command quietly."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        for piece in pieces:
            click.echo(piece, nl=False, color=True)
    except BrokenPipeError:
        # what is still in the buffer must not be written again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


def write_file(path: Path, text: str) -> None:
    """Write a whole file or, where that fails, none. Raises click.FileError."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise click.FileError(str(path), error.strerror) from None


def say(text: str) -> None:
    """A remark to stderr."""
    click.echo(text, err=True)
