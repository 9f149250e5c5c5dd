"""The standard streams of a command: closed, full, read by nobody, or in an encoding that lacks signs."""

import codecs
import io
import os
import sys


def open_closed_streams() -> None:
    """What a shell has closed (`>&-`) leads nowhere, and no file that is opened later gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def show_all_signs() -> None:
    """What the terminal's encoding lacks of a help is shown otherwise, as it is of data."""
    if isinstance(sys.stdout, io.TextIOWrapper) and codecs.lookup(sys.stdout.encoding).name != "utf-8":
        from usage_tracker.cli.output import LOOK_ALIKE  # more than --help needs elsewhere

        sys.stdout.reconfigure(errors=LOOK_ALIKE)


def let_go_of_unwritten() -> None:
    """At the end: what could not be written and is still in a buffer is not tried again by the interpreter, which would
    end with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
