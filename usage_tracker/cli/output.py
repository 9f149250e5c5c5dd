"""Data to stdout, everything else to stderr."""

import io
import os
import sys
from collections.abc import Iterable

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


def say(text: str) -> None:
    """A remark to stderr."""
    click.echo(text, err=True)
